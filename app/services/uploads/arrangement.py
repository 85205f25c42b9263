"""How a set of images is arranged: by folders, by manifests, or as samples."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from app.services.labels import named
from app.services.uploads.files import Files
from app.services.uploads.folders import FolderLayout, MisplacedError, Path, Place
from app.services.uploads.manifests import ManifestLayout
from app.services.uploads.samples import SampleLayout
from app.services.uploads.sources import Rejection, shown

_UNDERSTOOD = (
    "Understood are: a folder for each class, also inside train/ and val/ or test/; a CSV, JSON or "
    "JSON Lines file with a column file and a column label; exports of Roboflow and Label Studio; "
    "webdataset; and Parquet with images and labels"
)


class Arrangement(Protocol):
    """What is known of files before they are read."""

    @property
    def wrapping(self) -> Path:
        """The folders around everything, outermost first."""

    @property
    def notes(self) -> Iterable[str]:
        """What was taken for what, where it is not plain."""

    @property
    def missing(self) -> Sequence[Rejection]:
        """Files that are named, and are not there."""

    def place_of(self, path: Path) -> Place | None:
        """Return the place of a file; None for one that is passed over. Raises MisplacedError."""


def arranged(files: Files, *, grouped: bool) -> tuple[Arrangement, list[str]]:
    """Return how files are arranged, and what is to be said of it.

    With `grouped`, folders inside those of classes are groups.
    """
    notes = []
    for reason in dict.fromkeys(files.left_out.values()):
        paths = [shown("/".join(path)) for path, why in files.left_out.items() if why == reason]
        notes.append(f"{named(paths, 3)} was not read: {reason}.")
    arrangement: Arrangement | None = SampleLayout.of(files)
    if arrangement is None:
        arrangement, unread = ManifestLayout.of(files)
        notes += unread
    if arrangement is None:
        arrangement = FolderLayout.of(files.tree, grouped=grouped)
    return arrangement, [*notes, *arrangement.notes]


def not_understood(files: Files, arrangement: Arrangement) -> str | None:
    """Return in one line why no image has a place, and what would be understood; None if one has.

    Files that are no images are left to those who read them.
    """
    if not files.images:
        return None
    reasons: Counter[str] = Counter()
    first: dict[str, Path] = {}
    for path in files.images:
        try:
            if arrangement.place_of(path) is not None:
                return None
        except MisplacedError as error:
            reasons[str(error)] += 1
            first.setdefault(str(error), path)
    found = "; ".join(
        f"{count} {reason} (such as {shown('/'.join(first[reason]))})"
        for reason, count in reasons.most_common(3)
    )
    return f"No image is in a place that says its class: {found}. {_UNDERSTOOD}."
