"""The client: a service, and what it has."""

from types import TracebackType
from typing import Any, Self

from accrue_client import operations
from accrue_client.blocking.classifiers import Classifiers
from accrue_client.blocking.jobs import Job
from accrue_client.blocking.session import Session
from accrue_client.connecting import Connection
from accrue_client.progress import Tell, teller
from accrue_client.sources import GroupBy, Split
from accrue_client.telling import tell_of_upload
from accrue_client.uploading import upload
from accrue_client.views import Advice, KeyView, Upload


class Accrue:
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
    def classifiers(self) -> Classifiers:
        """The classifiers of the key's workspace."""
        return Classifiers(self._session)

    def upload(
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
        """Send labelled images for several classifiers; see `Classifier.learn`."""
        sent = self._session.threads.run(
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

    def advise(
        self, source: Any, *, seconds: float | None = None, progress: bool | Tell = False
    ) -> Advice:
        """Measure on images which method, backbone and image size to choose for them."""
        steps = operations.advise(self._session.api, source, teller(progress), seconds)
        sent, found = self._session.threads.run(steps)
        if sent is not source:
            tell_of_upload(sent)
        return found

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return Job(
            self._session,
            self._session.threads.run(operations.get_job(self._session.api, job_id)),
            None,
        )

    def key(self) -> KeyView:
        """Return what the key may do, and what is left of its limits."""
        return self._session.threads.run(operations.get_key(self._session.api))

    def close(self) -> None:
        """Close the connections."""
        self._session.threads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
