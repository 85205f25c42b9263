"""Labels that people take for one, and labels that only look so to a machine."""

import random
import time
import tracemalloc

import pytest

from app.services import similar_labels
from app.services.similar_labels import nearly_equal


@pytest.mark.parametrize(
    ("new", "known"),
    [
        ("Tulip", "tulip"),
        ("stop  sign", "stop sign"),
        ("stop\u00a0sign", "stop sign"),
        ("stop\u200bsign", "stopsign"),
        ("stop_sign", "stop sign"),
        ("stopsign", "stop sign"),
        ("\uff54ulip", "tulip"),
        ("cafe", "café"),
        ("STRASSE", "straße"),
        ("tulp", "tulip"),
        ("tulipp", "tulip"),
        ("tulap", "tulip"),
        ("tulpi", "tulip"),
        ("stpo", "stop"),
        ("тюльпн", "тюльпан"),
        ("sign 01", "sign 1"),
        # Cyrillic letters that look like Latin ones.
        ("\u0441\u0430t", "cat"),
    ],
)
def test_nearly_equal(new: str, known: str) -> None:
    assert list(nearly_equal([new], [known])) == [(new, known)]
    assert list(nearly_equal([known, new])) == [(new, known)]
    (warning,) = similar_labels.warnings([new], [known])
    assert repr(new) in warning
    assert repr(known) in warning


@pytest.mark.parametrize(
    ("new", "known"),
    [
        ("class_1", "class_2"),
        ("sign 10", "sign 11"),
        ("sign 1", "sign 11"),
        ("1", "2"),
        ("speed limit 30", "speed limit 50"),
        ("n01440764", "n01440765"),
        ("cat", "bat"),
        ("A", "B"),
        ("grade A", "grade B"),
        ("type II", "type III"),
        ("左折専用道", "右折専用道"),
        ("male", "female"),
        ("tulip", "rose"),
        ("a+", "a-"),
        ("left arrow", "right arrow"),
    ],
)
def test_different(new: str, known: str) -> None:
    assert list(nearly_equal([new, known])) == []


def test_equal_labels_and_pairs_of_known_ones_are_not_said() -> None:
    assert list(nearly_equal(["tulip", "tulip"], ["tulip", "Tulip"])) == []


def test_many_pairs_are_counted() -> None:
    labels = [f"{'x' * length}tulip" for length in range(1, 200)]
    warnings = similar_labels.warnings(labels)
    # 198 neighbours; the first 20 are named.
    assert len(warnings) == 21
    assert "178 more" in warnings[-1]


def test_one_label_written_in_many_ways_is_said_once_for_each_way() -> None:
    pairs = list(nearly_equal(["tulip", "Tulip", "TULIP"], ["tuLip"]))
    assert pairs == [("tulip", "tuLip"), ("Tulip", "tuLip"), ("TULIP", "tuLip")]


@pytest.mark.parametrize(
    "labels",
    [
        # Equal but for one letter.
        [f"label{chr(0x4E00 + at)}" for at in range(6_000)],
        # Equal but for what cannot be seen.
        ["cat" + "\u200b" * (at % 100) + "\u200c" * (at // 100) for at in range(6_000)],
    ],
    ids=["one-letter", "invisible"],
)
def test_labels_that_are_all_alike_are_not_compared_in_pairs(labels: list[str]) -> None:
    """Comparing each of the 18 million pairs takes half a minute."""
    before = time.process_time()
    warnings = similar_labels.warnings(labels)
    assert len(warnings) <= 21
    assert time.process_time() - before < 6


@pytest.mark.slow
def test_long_labels_take_little_memory() -> None:
    """Each of a million variants of 5,000 labels, of 200 bytes, would take more than 200 MB."""
    letters = random.Random(0)
    labels = ["".join(letters.choices("abcdefgh", k=199)) for _ in range(5_000)]
    tracemalloc.start()
    try:
        similar_labels.warnings(labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150e6
