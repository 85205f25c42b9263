"""An HTTP server on loopback with files, and with answers as those of Label Studio."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

CONFIG = (
    '<View><Image name="picture" value="$image"/>'
    '<Choices name="kind" toName="picture"><Choice value="a"/><Choice value="b"/></Choices></View>'
)


class Answer(NamedTuple):
    """What is answered to a path."""

    body: bytes = b""
    status: int = 200
    location: str | None = None


class Site:
    """Answers what `answers` has for a path, else 404, and records the requests."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, Message]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, self.headers))
                self.rfile.read(int(self.headers.get("content-length") or 0))
                answer = site.answers.get(self.path, Answer(status=404))
                self.send_response(answer.status)
                if answer.location is not None:
                    self.send_header("Location", answer.location)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def project(self, number: int, tasks: list[dict[str, Any]], config: str = CONFIG) -> None:
        """Answer as the API does of a project with these tasks."""
        about = json.dumps({"id": number, "label_config": config}).encode()
        self.answers[f"/api/projects/{number}/"] = Answer(about)
        path = f"/api/projects/{number}/export?exportType=JSON"
        self.answers[path] = Answer(json.dumps(tasks).encode())


@contextmanager
def site() -> Iterator[Site]:
    """A server for a test."""
    made = Site()
    try:
        yield made
    finally:
        made.close()


def annotated(number: int, image: str, *labels: str, **given: Any) -> dict[str, Any]:
    """A task as it is exported, with an annotation that chose these labels."""
    result = {
        "from_name": "kind",
        "to_name": "picture",
        "type": "choices",
        "value": {"choices": list(labels)},
    }
    annotation = {"result": [result], "was_cancelled": False, "ground_truth": False, **given}
    return {"id": number, "data": {"image": image}, "annotations": [annotation]}
