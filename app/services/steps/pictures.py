"""Pictures: which image files show the same picture, in whichever form they are stored."""

from collections.abc import Iterable

from app.db.repositories.learning import IdentifiedImage
from app.imaging.likeness import pairs_alike


class Pictures:
    """The images of a step, joined where they are the same or look alike.

    An image is named by its file's SHA-256 and so is a picture: by that of one of its images.
    """

    def __init__(
        self, new: Iterable[IdentifiedImage], known: Iterable[IdentifiedImage] = ()
    ) -> None:
        self._same, self._alike = Sets(), Sets()
        looks: tuple[dict[str, str], dict[str, str]] = ({}, {})
        by_pixels: dict[str, str] = {}
        for images, hashes in ((new, looks[0]), (known, looks[1])):
            for sha256, pixels, look in images:
                if pixels is not None:
                    first = by_pixels.setdefault(pixels, sha256)
                    self._same.join(first, sha256)
                    self._alike.join(first, sha256)
                if look is not None:
                    # One image for each hash: equal hashes need no comparison.
                    self._alike.join(hashes.setdefault(look, sha256), sha256)
        named = [*looks[0].values(), *looks[1].values()]
        for first_at, second_at in pairs_alike(tuple(looks[0]), tuple(looks[1])):
            self._alike.join(named[first_at], named[second_at])

    def same(self, sha256: str) -> str:
        """Return the name of the picture with the image's pixels."""
        return self._same.find(sha256)

    def alike(self, sha256: str) -> str:
        """Return the name of the picture that the image looks like."""
        return self._alike.find(sha256)


class Sets:
    """Disjoint sets of names (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def find(self, name: str) -> str:
        """Return the name that stands for the set of this one."""
        path = []
        while (parent := self._parents.get(name, name)) != name:
            path.append(name)
            name = parent
        for passed in path:
            self._parents[passed] = name
        return name

    def join(self, first: str, second: str) -> None:
        """Make one set of those of two names."""
        self._parents[self.find(second)] = self.find(first)
