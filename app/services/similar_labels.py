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

    They differ in case, white space, accents, invisible characters or how they are normalised, or
    by one letter of a longer word. Labels whose numbers differ are not nearly equal.
    """
    first = dict.fromkeys(known)
    mine = [label for label in dict.fromkeys(new) if label not in first]
    # Labels by their key and by each key with one character left out: those one edit apart share
    # one of them (the deletion neighbourhood of SymSpell: W. Garbe, 2012).
    near: dict[_Key, list[tuple[str, _Key]]] = {}
    for label in first:
        _find(label, near)
    for label in mine:
        for other in _find(label, near):
            yield label, other


def _find(label: str, near: dict[_Key, list[tuple[str, _Key]]]) -> list[str]:
    """Return the labels in `near` that are nearly equal to one, and add it to them."""
    key = _key(label)
    text, numbers = key
    found: dict[str, None] = {}
    shorter = {text[:at] + text[at + 1 :] for at in range(len(text))}
    for variant in sorted({text, *shorter}):
        others = near.setdefault((variant, numbers), [])
        found |= {other: None for other, its in others if _is_slip(its[0], text)}
        others.append((label, key))
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
    words = " ".join(re.sub(r"[\s_-]+", " ", visible).split())
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
