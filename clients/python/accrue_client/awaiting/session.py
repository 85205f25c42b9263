"""What all objects of one client share."""

from dataclasses import dataclass
from typing import Self

from accrue_client.connecting import Connection
from accrue_client.http_api import Api
from accrue_client.retrying import Retrying
from accrue_client.running import Tasks


@dataclass(frozen=True)
class Session:
    """The operations of a service, and what runs them."""

    url: str
    api: Api
    tasks: Tasks

    @classmethod
    def of(cls, connection: Connection, patience: float) -> Self:
        """Open a session. Raises AccrueError for a proxy that cannot be used."""
        return cls(connection.url, Api(Retrying(patience)), Tasks(connection))
