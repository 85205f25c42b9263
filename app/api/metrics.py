"""``GET /metrics``: metrics of this process, and metrics of all processes from the database."""

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from app.api.access import Router, needs
from app.api.deps import FleetMetrics, Processes
from app.api.problems import responses
from app.monitoring.scrape import Scrape

router = Router(tags=["health"], dependencies=[needs("metrics")])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **responses(),
        200: {
            "description": "Metrics in Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
)
async def metrics(together: Processes, fleet: FleetMetrics) -> Response:
    """Return metrics for Prometheus."""
    scrape = Scrape([*await together.families(), *await fleet.families()])
    content = await run_in_threadpool(generate_latest, scrape)
    return Response(content, media_type=CONTENT_TYPE_PLAIN_0_0_4)
