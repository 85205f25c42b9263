"""A port that several processes share is kept from other services."""

import socket

import pytest

from app.cli.listening import bind_shared, hold_shared, listen
from app.client.errors import CommandError

HOST = "127.0.0.1"


def test_another_service_is_refused_while_no_process_listens_yet() -> None:
    with listen(HOST, 0) as listener:
        port = listener.getsockname()[1]
    with hold_shared(HOST, port):
        with pytest.raises(CommandError, match=f"Cannot listen on {HOST} port {port}"):
            listen(HOST, port)
        with bind_shared(HOST, port) as one, bind_shared(HOST, port) as other:
            one.listen()
            other.listen()
            socket.create_connection((HOST, port)).close()
            with pytest.raises(CommandError, match="Cannot listen"):
                listen(HOST, port)
    # Connections of before do not keep the port.
    with listen(HOST, port):
        pass
