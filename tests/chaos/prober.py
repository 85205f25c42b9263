"""Predicts with the live version of every classifier all the time, and records which answers."""

import io
import threading
from collections.abc import Sequence

import httpx
import numpy as np
from PIL import Image

from tests.chaos.clients import Tally

_PAUSE_SECONDS = 0.05


def picture() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3))
    Image.fromarray(noise.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class Prober:
    """Predicts, in a thread, until it is stopped.

    Allowed are answers, no connection, and 503 while the database is away. A classifier that has
    answered once must not say that it has no version, and no API process may go back to an older
    one: nobody rolls back during a run.
    """

    def __init__(self, urls: Sequence[str], classifiers: Sequence[str], tally: Tally) -> None:
        self._urls, self._classifiers, self._tally = urls, classifiers, tally
        self._image = picture()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
        # Newest version seen, by API process and classifier.
        self._newest: dict[tuple[str, str], int] = {}
        # Every version that answered: classifier and number to the labels it gave.
        self.answered: dict[tuple[str, int], set[str]] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=30) as http:
            while not self._stopped.is_set():
                for name in self._classifiers:
                    for url in self._urls:
                        self._probe(http, url, name)
                        if self._stopped.wait(_PAUSE_SECONDS):
                            return

    def _probe(self, http: httpx.Client, url: str, name: str) -> None:
        path = f"{url}/v1/classifiers/{name}/predict"
        try:
            answer = http.post(path, content=self._image, headers={"Content-Type": "image/png"})
        except httpx.TransportError:
            self._tally.count("predictions without a connection")
            return
        if answer.status_code == 200:
            self._tally.count("predictions answered")
            self._note(url, name, answer.json())
            return
        code = answer.json()["code"]
        known = any(seen == name for _, seen in self._newest)
        if (answer.status_code, code) == (503, "database-unavailable"):
            self._tally.count("predictions refused: 503 database-unavailable")
        elif code not in ("no-version-yet", "classifier-not-found") or known:
            self._tally.violate(f"predict {name}: {answer.status_code} {answer.text}")

    def _note(self, url: str, name: str, body: dict[str, object]) -> None:
        number = int(str(body["version"]))
        newest = self._newest.get((url, name), 0)
        if number < newest:
            self._tally.violate(f"{name}: {url} went back from version {newest} to {number}")
        self._newest[url, name] = number
        result = body["results"][0]  # type: ignore[index]
        self.answered.setdefault((name, number), set()).add(result["label"])
