"""`accrue show`: where suspected images are written."""

import pytest

from app.cli.show import _folder_name
from app.client.client import classifier_path
from app.client.errors import CommandError


@pytest.mark.parametrize("label", ["..", ".", "../up", "a/b", "/etc", "C:\\x", "café", "two words"])
def test_labels_name_one_folder_below(label: str) -> None:
    """A label is any text, also of a server that is not to be trusted (path traversal)."""
    name = _folder_name(label)
    assert "/" not in name
    assert "\\" not in name
    assert name.strip(".")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../other"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="cannot be the name"):
        classifier_path(name)
