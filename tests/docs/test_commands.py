"""Every page with commands is followed by a test, or says here why not."""

from tests.docs.commands import commands
from tests.docs.pages import PAGES, ROOT

NOT_FOLLOWED = {
    "deployment.md": "It needs Docker: `make test-deploy`.",
    "imports.md": "It needs data sets of others.",
    "label-studio.md": "It needs Label Studio.",
}


def test_pages_with_commands_are_followed() -> None:
    followed = (ROOT / "tests" / "e2e" / "test_page_commands.py").read_text()
    for page in PAGES:
        if any(True for _ in commands(page)) and page.name not in NOT_FOLLOWED:
            assert f'follow("{page.relative_to(ROOT)}"' in followed, page
