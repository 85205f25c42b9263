"""The ways in which people use a page: a mouse, fingers on a phone, the keyboard alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from playwright.sync_api import Locator, Page, expect

Role = Literal["button", "link"]
# More than any screen has places for the focus.
_TABS = 120


class Mouse:
    """Clicks."""

    window: ClassVar[dict[str, Any]] = {}

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, name: str | re.Pattern[str], role: Role = "button") -> None:
        """Press the button, or follow the first link, of that name."""
        self._press(self.page.get_by_role(role, name=name, exact=True).first)

    def choose(self, button: str, files: Path | Sequence[Path]) -> None:
        """Press a button that asks for files, or for a folder."""
        with self.page.expect_file_chooser() as chooser:
            self.press(button)
        chooser.value.set_files(files)

    def write(self, label: str, text: str) -> None:
        """Write into the field of that label."""
        field = self.page.get_by_label(label, exact=True)
        self._reach(field)
        field.press("Control+a")
        self.page.keyboard.type(text)

    def correct(self) -> None:
        """Decide on a suspected label: it is what the version says."""
        self._press(self.page.get_by_role("button", name="Correct to"))

    def _reach(self, target: Locator) -> None:
        target.click()

    def _press(self, target: Locator) -> None:
        target.click()


class Fingers(Mouse):
    """Taps on the screen of a phone, which has no folders to choose."""

    window: ClassVar[dict[str, Any]] = {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "permissions": ["camera"],
    }

    def _reach(self, target: Locator) -> None:
        target.tap()

    def _press(self, target: Locator) -> None:
        target.tap()


class Keyboard(Mouse):
    """Goes on with Tab until the focus is there, then presses Enter."""

    def correct(self) -> None:
        """Decide on a suspected label by its key."""
        self._reach(self.page.get_by_role("region", name="Suspected label", exact=True))
        self.page.keyboard.press("c")

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        expect(target).to_be_enabled()
        for _ in range(_TABS):
            if target.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the focus never came to {target}")

    def _press(self, target: Locator) -> None:
        self._reach(target)
        self.page.keyboard.press("Enter")
