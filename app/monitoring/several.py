"""Metrics of several processes behind one port: each series says which process counted it."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

LABEL = "process"


def exposed(registry: CollectorRegistry) -> bytes:
    """Return the families of a process, for `labelled` in another one."""
    return generate_latest(registry)


def labelled(by_place: Mapping[int, bytes | None]) -> list[Metric]:
    """Join what processes have exposed, by their places; None is one that does not answer.

    Its series are missing in this scrape, as those of a target that is down.
    """
    families: dict[str, Metric] = {}
    for place, text in sorted(by_place.items()):
        for family in _parsed(text):
            joined = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            joined.samples += [_with_place(sample, place) for sample in family.samples]
    return [*families.values(), up({place: text is not None for place, text in by_place.items()})]


def up(by_place: Mapping[int, bool]) -> Metric:
    """Return which processes behind the port answered the one that was asked, by their places."""
    family = GaugeMetricFamily(
        "accrue_api_process_up",
        "Whether the API process of this number answered the one that was asked.",
        labels=(LABEL,),
    )
    for place, answered in sorted(by_place.items()):
        family.add_metric((str(place),), float(answered))
    return family


def _parsed(text: bytes | None) -> Iterable[Metric]:
    return () if text is None else text_string_to_metric_families(text.decode())


def _with_place(sample: Sample, place: int) -> Sample:
    return Sample(sample.name, {**sample.labels, LABEL: str(place)}, sample.value)
