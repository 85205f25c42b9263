"""Labels that are nearly equal: probably two ways to write one class."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

# Letters of a word below which one other letter makes another word: cat and bat, stop and step.
_LONG = 5
# Swapping two neighbours seldom makes another word.
_LONG_FOR_A_SWAP = 4
_DIGITS = re.compile(r"\d+")
_ROMAN = re.compile(r"[ivxlcdm]+")
_NAMED = 20
# Of labels that are equal but for one letter at the same place, how many are compared with another.
# Where there are more, the letter is what tells them apart.
_SERIES = 30
# Letters of all labels together up to which slips are looked for: each takes memory for a variant.
_LETTERS = 200_000
# Letters of Cyrillic and Greek that look like Latin ones.
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u03bf\u03bd", "aeopcyxisjov"
)

_Key = tuple[str, tuple[int, ...]]


def warnings(new: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Return a warning for each pair of labels that are nearly equal, the first of them new."""
    pairs = list(nearly_equal(new, known))
    lines = [f"The labels {new!r} and {other!r} are nearly equal" for new, other in pairs[:_NAMED]]
    if len(pairs) > _NAMED:
        lines.append(f"{len(pairs) - _NAMED} more pairs of labels are nearly equal")
    return [
        f"{line}, and are different classes. If they mean one class, use one label."
        for line in lines
    ]


def nearly_equal(new: Iterable[str], known: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a new label and another new or known one that are nearly equal.

    They differ in case, white space, accents, invisible characters, letters of other scripts that
    look the same or how they are normalised, or by one letter of a longer word. Labels whose
    numbers differ are not nearly equal. A label that differs from several in no letter is paired
    with the first of them only. Where labels have very many letters together, later ones are not
    searched for slips.
    """
    known = dict.fromkeys(known)
    seen = _Seen()
    for label in known:
        seen.add(label)
    for label in dict.fromkeys(new):
        if label not in known:
            for other in seen.add(label):
                yield label, other


class _Seen:
    """Labels, found by what is nearly equal to them, in time and memory linear in their letters."""

    def __init__(self) -> None:
        self._first: dict[_Key, str] = {}
        # Keys by themselves and with each one character left out: those one edit apart share one of
        # these (the deletion neighbourhood of SymSpell: W. Garbe, 2012).
        self._near: dict[_Key, list[_Key]] = {}
        self._letters = 0

    def add(self, label: str) -> list[str]:
        """Add a label, and return those before it that are nearly equal to it."""
        key = _key(label)
        if key in self._first:
            return [self._first[key]]
        self._first[key] = label
        text, numbers = key
        self._letters += len(text)
        if self._letters > _LETTERS:
            return []
        found: dict[str, None] = {}
        shorter = {text[:at] + text[at + 1 :] for at in range(len(text))}
        for variant in sorted({text, *shorter}):
            others = self._near.setdefault((variant, numbers), [])
            found |= {self._first[its]: None for its in others if _is_slip(its[0], text)}
            if len(others) < _SERIES:
                others.append(key)
        return list(found)


def _key(label: str) -> _Key:
    """Return what is left of a label without what is easily overlooked, and its numbers."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", label).casefold())
    # Accents of Latin, Greek and Cyrillic; marks of other scripts are letters of their own.
    visible = "".join(
        character
        for character in decomposed
        if not "\u0300" <= character <= "\u036f" and unicodedata.category(character) != "Cf"
    )
    words = " ".join(re.sub(r"[\s_-]+", " ", visible.translate(_LOOKALIKES)).split())
    numbers = tuple(int(number) for number in _DIGITS.findall(words))
    return _DIGITS.sub("0", words), numbers


def _is_slip(first: str, second: str) -> bool:
    """Say whether two keys are equal, or one slip of a finger in a longer word apart."""
    if first == second:
        return True
    if len(first) > len(second):
        first, second = second, first
    start = 0
    while start < len(first) and first[start] == second[start]:
        start += 1
    end = 0
    while end < len(first) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    ours, theirs = first[start : len(first) - end], second[start : len(second) - end]
    swapped = len(ours) == 2 and ours[::-1] == theirs
    if not swapped and (len(ours) > 1 or len(theirs) > 1):
        return False
    if not all(map(_is_slippery, ours + theirs)):
        return False
    word, other = _word_at(first, start), _word_at(second, start)
    if _ROMAN.fullmatch(word) and _ROMAN.fullmatch(other):
        return False
    return max(len(word), len(other)) >= (_LONG_FOR_A_SWAP if swapped else _LONG)


def _is_slippery(character: str) -> bool:
    """Say whether a character may be a slip: a letter that is one of many in a word, or a space.

    Where a word is written with one or two characters, another one is another word.
    """
    return character == " " or unicodedata.category(character) == "Ll"


def _word_at(text: str, at: int) -> str:
    """Return the word around a position."""
    return text[text.rfind(" ", 0, at) + 1 :].split(" ", 1)[0]
