"""Finds environment variables that look like settings but are not."""

import difflib
from collections.abc import Iterator

from app.doctor.findings import CheckContext, Finding, Say
from app.settings import Settings

_PREFIX = "ACCRUE_"
# Variables of the client commands, and of the folder with secrets.
OTHERS = frozenset({"ACCRUE_URL", "ACCRUE_KEY", "ACCRUE_KEY_FILE", "ACCRUE_SECRETS_DIR"})


def check(context: CheckContext) -> Iterator[Finding]:
    """Report every variable with the prefix of the settings that nothing reads."""
    say = Say("settings")
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | OTHERS
    # Like the settings, this ignores the case of names.
    given = {name.upper() for name in context.environment if name.upper().startswith(_PREFIX)}
    for name in sorted(given - known):
        like = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {like[0]}? " if like else ""
        yield say.warning(
            f"{name} is set, and nothing reads it",
            f"{meant}docs/operations.md lists the settings.",
        )
    yield say.ok(f"Valid; {len(given & known)} are set in the environment")
