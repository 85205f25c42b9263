"""A real Label Studio: `make test-label-studio` installs it into ``.peers/label-studio``."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests import peers
from tests.e2e.harness import wait_for
from tests.servers import free_port

REQUIREMENT = "label-studio==1.23.2"
COMMAND = peers.command("label-studio", "label-studio")

EMAIL, PASSWORD = "annotator@example.org", "not a secret"
_ENVIRONMENT = {
    # Accrue is at a loopback address here.
    "USE_DEFAULT_BANNED_SUBNETS": "false",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
}


class LabelStudio:
    """A server with one user, who is signed in by a personal access token."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "label-studio.log"
        command = [COMMAND, "start", "--no-browser", "--internal-host", "127.0.0.1"]
        command += ["--port", str(port), "--data-dir", folder / "data"]
        command += ["--username", EMAIL, "--password", PASSWORD]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # It writes its tables first.
        wait_for(self._healthy, 300)
        self.token = self._new_token()
        refreshed = httpx.post(f"{self.url}/api/token/refresh/", json={"refresh": self.token})
        # Good for five minutes, which is longer than the test takes.
        access = refreshed.raise_for_status().json()["access"]
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {access}"}, timeout=120
        )

    def _healthy(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def _new_token(self) -> str:
        """Sign in as the page does, and make a personal access token."""
        with httpx.Client(base_url=self.url, follow_redirects=True) as http:
            page = http.get("/user/login/").raise_for_status().text
            found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
            assert found
            form = {
                "csrfmiddlewaretoken": found[1],
                "email": EMAIL,
                "password": PASSWORD,
            }
            http.post("/user/login/", data=form, headers={"Referer": self.url}).raise_for_status()
            header = {"X-CSRFToken": http.cookies["csrftoken"]}
            return str(http.post("/api/token/", headers=header).raise_for_status().json()["token"])

    def stop(self) -> None:
        self.http.close()
        self._process.terminate()
        self._process.wait(30)

    def sent(self, method: str, path: str, **given: Any) -> Any:
        """Send a request of the API and return its answer."""
        answer = self.http.request(method, path, **given)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None
