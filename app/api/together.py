"""What the API processes behind one port do together: metrics, hot swaps and rate limits.

A process by itself does the same, with nobody to ask.
"""

import asyncio
from collections.abc import Sequence

import orjson
from fastapi.concurrency import run_in_threadpool
from prometheus_client import Metric

from app.inference.registry import REFRESH_SECONDS, Registry
from app.monitoring.process import ProcessMetrics
from app.monitoring.several import exposed, labelled, up
from app.services.access.keyring import KeyRing
from app.siblings import Siblings

# How often processes tell each other what keys have spent: for so long, each allows on its own.
_SHARE_SECONDS = 0.1
# Longer than a refresh waits for what must be loaded.
_SWAP_SECONDS = REFRESH_SECONDS + 2.0


class Together:
    """One API process among its siblings. For one event loop."""

    def __init__(
        self,
        siblings: Siblings,
        metrics: ProcessMetrics,
        registry: Registry,
        keyring: KeyRing | None,
    ) -> None:
        self._siblings = siblings
        self._metrics = metrics
        self._registry = registry
        self._keyring = keyring

    async def start(self) -> None:
        """Answer the siblings."""
        self._loop = asyncio.get_running_loop()
        await self._siblings.start(
            {"metrics": self._expose, "refresh": self._refresh, "spent": self._spend}
        )

    def close(self) -> None:
        """Answer them no more."""
        self._siblings.close()

    async def families(self) -> Sequence[Metric]:
        """Return the metrics of this process; of several, with a label that tells them apart."""
        if not self._siblings.others:
            own = await run_in_threadpool(list, self._metrics.registry.collect())
            return [*own, up({self._siblings.place: True})]
        found = await self._siblings.ask("metrics")
        by_place = {**found, self._siblings.place: await self._expose()}
        return await run_in_threadpool(labelled, by_place)

    def swap(self) -> None:
        """Let all processes serve what has changed: call from a thread.

        Waits some seconds for what must be loaded. What takes longer is swapped in the background.
        """
        others = asyncio.run_coroutine_threadsafe(
            self._siblings.ask("refresh", seconds=_SWAP_SECONDS), self._loop
        )
        self._registry.refresh()
        others.result()

    async def share_spent(self) -> None:
        """Tell the siblings what keys with a rate limit have spent, until cancelled."""
        while self._keyring is not None and self._siblings.others:
            await asyncio.sleep(_SHARE_SECONDS)
            if spent := self._keyring.take_spent():
                # One that does not answer begins with full buckets, as after any start.
                await self._siblings.ask("spent", orjson.dumps(spent))

    async def _expose(self, _content: bytes = b"") -> bytes:
        return await run_in_threadpool(exposed, self._metrics.registry)

    async def _refresh(self, _content: bytes) -> bytes:
        await run_in_threadpool(self._registry.refresh)
        return b""

    async def _spend(self, content: bytes) -> bytes:
        if self._keyring is not None:
            self._keyring.spent_elsewhere(orjson.loads(content))
        return b""
