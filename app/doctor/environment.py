"""Variables that look like settings, and are none."""

import difflib
from collections.abc import Iterator

from app.doctor.findings import CheckContext, Finding, Say
from app.settings import Settings

_PREFIX = "ACCRUE_"
# What else reads the environment: the client commands, and the settings' own search for secrets.
OTHERS = frozenset({"ACCRUE_URL", "ACCRUE_KEY", "ACCRUE_KEY_FILE", "ACCRUE_SECRETS_DIR"})


def check(context: CheckContext) -> Iterator[Finding]:
    """Name every variable with our prefix that nothing reads."""
    say = Say("settings")
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | OTHERS
    # As the settings do: the case of a variable says nothing.
    given = {name.upper() for name in context.environment if name.upper().startswith(_PREFIX)}
    for name in sorted(given - known):
        like = difflib.get_close_matches(name, known, n=1)
        meant = f"Is {like[0]} meant? " if like else ""
        yield say.warning(
            f"{name} is set, and nothing reads it",
            f"{meant}docs/operations.md lists the settings.",
        )
    yield say.ok(f"Valid; {len(given & known)} are set in the environment")
