"""Several API processes behind one port, as real processes."""

import signal
import socket
from collections.abc import Callable

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.harness import Digits, Service, gone, wait_for


def samples(service: Service, name: str) -> dict[str, float]:
    """The values of a metric by process, summed over its other labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"{service.url}/metrics").text):
        for sample in family.samples:
            if sample.name == name:
                place = sample.labels["process"]
                found[place] = found.get(place, 0) + sample.value
    return found


@pytest.mark.slow
def test_processes_share_a_port_and_are_replaced(
    start: Callable[..., Service], digits: Digits
) -> None:
    service = start(ACCRUE_API_PROCESSES="2")
    wait_for(lambda: service.child("accrue api 0") and service.child("accrue api 1"))
    wait_for(lambda: samples(service, "accrue_api_process_up") == {"0": 1, "1": 1})
    service.create("shared")
    service.learn("shared", digits.zip([0, 1]))
    service.learn("shared", digits.zip([2, 3]))
    image = digits.held_out(0)

    def predict(**query: object) -> int:
        """On a connection of its own, so that either process may get it."""
        answer = httpx.post(
            f"{service.url}/v1/classifiers/shared/predict",
            content=image,
            params=query,  # type: ignore[arg-type]
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["version"])

    # Each counts its own, and a scrape of either shows all. A connection's process is chance.
    wait_for(lambda: predict() == 2)
    sent = 40
    before = samples(service, "accrue_predict_images_total")
    for _ in range(sent):
        predict()
    after = samples(service, "accrue_predict_images_total")
    grown = {place: after[place] - before[place] for place in after}
    assert sum(grown.values()) == sent
    assert all(count > 0 for count in grown.values()), grown

    # A hot swap under load: once it is answered, no connection gets the version before.
    for number in (1, 2, 1):
        moved = service.http.put("/v1/classifiers/shared/aliases/live", json={"version": number})
        assert moved.status_code == 200, moved.text
        assert {predict() for _ in range(12)} == {number}

    # One dies: the other answers new connections until it is replaced. Connections that Linux had
    # given to the dying one, whose threads do not end all at once, are cut.
    killed = service.child("accrue api 1")
    assert killed is not None
    killed.kill()

    def answered() -> bool:
        try:
            return {predict() for _ in range(12)} == {1}
        except httpx.TransportError:
            return False

    wait_for(lambda: gone([killed]))
    wait_for(answered, 20)

    def replaced() -> bool:
        found = service.child("accrue api 1")
        return found is not None and found.pid != killed.pid

    wait_for(replaced)
    wait_for(lambda: samples(service, "accrue_api_process_up") == {"0": 1, "1": 1})
    assert {predict() for _ in range(12)} == {1}

    # A graceful shutdown: a request that has come in part is answered, by either process.
    url = httpx.URL(service.url)
    head = (
        f"POST /v1/classifiers/shared/predict HTTP/1.1\r\nHost: {url.host}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
    )
    connections = [socket.create_connection((url.host, url.port or 80), 60) for _ in range(6)]
    for connection in connections:
        connection.sendall(head.encode() + image[:9])
    wait_for(lambda: samples(service, "process_open_fds"))  # they were accepted before this
    processes = psutil.Process(service.process.pid).children(recursive=True)
    service.process.send_signal(signal.SIGTERM)
    for connection in connections:
        connection.sendall(image[9:])
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200")
        connection.close()
    assert service.process.wait(60) == 0
    wait_for(lambda: gone(processes))
