"""Exponential backoff."""

from app.inference.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    now = 100.0
    backoff = Backoff(10, 60, clock=lambda: now)
    assert backoff.due("a")
    for pause in (10, 20, 40, 60, 60):
        assert backoff.failed("a") == pause
        now += pause - 1
        assert not backoff.due("a")
        assert backoff.due("b")
        now += 1
        assert backoff.due("a")


def test_what_is_not_retained_begins_again() -> None:
    backoff = Backoff(10, 60, clock=lambda: 0.0)
    for name in ("a", "a", "b", "b"):
        backoff.failed(name)
    backoff.retain({"b"})
    assert backoff.due("a")
    assert (backoff.failed("a"), backoff.failed("b")) == (10, 40)
