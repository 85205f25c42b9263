"""Which query strings of predictions are remembered."""

from app.api import predict_queries
from app.api.predict_queries import Asked, KnownQueries
from app.api.predict_views import PredictOptions

ASKED = Asked(None, PredictOptions("live", 5, None, "auto", None, False))


def test_those_in_use_stay_however_many_others_come() -> None:
    known = KnownQueries()
    known.remember("/predict", b"used", ASKED)
    for number in range(2 * predict_queries._ENTRIES):
        known.remember("/predict", b"%d" % number, ASKED)
        assert known.find("/predict", b"used") is ASKED
    assert known.find("/predict", b"0") is None


def test_long_ones_are_not_remembered() -> None:
    known = KnownQueries()
    known.remember("/predict", b"a" * 501, ASKED)
    assert known.find("/predict", b"a" * 501) is None
