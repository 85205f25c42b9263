"""Jobs."""

from typing import Any

from accrue_client import operations
from accrue_client.awaiting.session import Session
from accrue_client.awaiting.versions import AsyncVersion
from accrue_client.progress import Tell, teller
from accrue_client.views import Event, JobView, Upload
from accrue_client.waiting import events, report, wait


class AsyncJob:
    """A job; `info` is what the service said of it last, `upload` what it learns, if sent here."""

    def __init__(self, session: Session, info: JobView, upload: Upload | None) -> None:
        self._session = session
        self.info = info
        self.upload = upload

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}: {self.info.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.info.id

    async def wait(
        self, *, timeout: float | None = None, progress: bool | Tell = False
    ) -> AsyncVersion:
        """Return the version that the job made, once it has succeeded.

        Raises JobFailedError where it failed or was cancelled, WaitTimeoutError after `timeout`
        seconds, and ValueError for a job that makes no version: `finish` waits for any.
        """
        job = await self.finish(timeout=timeout, progress=progress)
        name, number = operations.made(job)
        steps = operations.get_version(self._session.api, name, number)
        return AsyncVersion(self._session, name, await self._session.tasks.run(steps))

    async def finish(
        self, *, timeout: float | None = None, progress: bool | Tell = False
    ) -> JobView:
        """Return the job once it has succeeded. Raises JobFailedError and WaitTimeoutError."""
        steps = wait(self._session.api, self.id, teller(progress), timeout)
        self.info = await self._session.tasks.run(steps)
        return self.info

    async def refresh(self) -> JobView:
        """Return the job as it is now."""
        self.info = await self._session.tasks.run(operations.get_job(self._session.api, self.id))
        return self.info

    async def events(self, after: int = 0) -> list[Event]:
        """Return what has happened since the event number `after`."""
        return await self._session.tasks.run(events(self._session.api, self.id, after))

    async def report(self) -> dict[str, Any]:
        """Return what the job found out. Raises NoReportError."""
        return await self._session.tasks.run(report(self._session.api, self.id))

    async def cancel(self) -> None:
        """Cancel the job. Raises JobFinishedError."""
        self.info = await self._session.tasks.run(
            operations.change_job(self._session.api, self.id, "cancel")
        )

    async def retry(self) -> None:
        """Queue the job again. Raises JobNotRetryableError."""
        self.info = await self._session.tasks.run(
            operations.change_job(self._session.api, self.id, "retry")
        )
