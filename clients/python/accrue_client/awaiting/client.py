"""The client: a service, and what it has."""

from types import TracebackType
from typing import Any, Self

from accrue_client import operations
from accrue_client.awaiting.classifiers import AsyncClassifiers
from accrue_client.awaiting.jobs import AsyncJob
from accrue_client.awaiting.session import Session
from accrue_client.connecting import Connection
from accrue_client.progress import Tell, teller
from accrue_client.sources import GroupBy, Split
from accrue_client.telling import tell_of_upload
from accrue_client.uploading import upload
from accrue_client.views import Advice, KeyView, Upload


class AsyncAccrue:
    """A service, at `url` (else ACCRUE_URL, else this machine), with `key` (else ACCRUE_KEY).

    `patience` is for how many seconds requests are repeated while the service does not answer.
    """

    def __init__(
        self, url: str | None = None, *, key: str | None = None, patience: float = 300.0
    ) -> None:
        """Raises AccrueError for a URL or a proxy that cannot be used."""
        connection = Connection.to(url, key)
        self.url = connection.url
        self._session = Session.of(connection, patience)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def classifiers(self) -> AsyncClassifiers:
        """The classifiers of the key's workspace."""
        return AsyncClassifiers(self._session)

    async def upload(
        self,
        source: Any,
        *,
        label: str | None = None,
        split: Split | None = None,
        group: GroupBy | None = None,
        names: str | None = None,
        strict: bool = False,
        resume: str | None = None,
        progress: bool | Tell = False,
    ) -> Upload:
        """Send labelled images for several classifiers; see `AsyncClassifier.learn`."""
        sent = await self._session.tasks.run(
            upload(
                self._session.api,
                source,
                teller(progress),
                label=label,
                split=split,
                group=group,
                names=names,
                strict=strict,
                resume=resume,
            )
        )
        tell_of_upload(sent)
        return sent

    async def advise(
        self, source: Any, *, seconds: float | None = None, progress: bool | Tell = False
    ) -> Advice:
        """Measure on images which method, backbone and image size to choose for them."""
        steps = operations.advise(self._session.api, source, teller(progress), seconds)
        sent, found = await self._session.tasks.run(steps)
        if sent is not source:
            tell_of_upload(sent)
        return found

    async def job(self, job_id: str) -> AsyncJob:
        """Return a job."""
        return AsyncJob(
            self._session,
            await self._session.tasks.run(operations.get_job(self._session.api, job_id)),
            None,
        )

    async def key(self) -> KeyView:
        """Return what the key may do, and what is left of its limits."""
        return await self._session.tasks.run(operations.get_key(self._session.api))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.tasks.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()
