"""nginx on the host, as docs/deployment.md says: deploy/nginx.conf with published ports."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.docker import ROOT
from tests.docs.blocks import snippets
from tests.e2e.conftest import service  # noqa: F401 - a fixture
from tests.e2e.harness import Service, wait_for
from tests.servers import free_port

# The folders that nginx makes when it starts.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def on_the_host() -> str:
    """The configuration with what the page shows instead of `resolver` and `set`."""
    (shown,) = snippets("docs/deployment.md", "nginx")
    upstream, location = shown.split("…\n")
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    text, found = re.subn(r"^ *(resolver|set) .*;\n", "", text, flags=re.MULTILINE)
    assert found == 2
    text, found = re.subn(r"^ *location / \{[^}]*\}\n", location, text, flags=re.MULTILINE)
    assert found == 1
    assert "$accrue" not in text
    return upstream + text


def test_every_block_is_closed_and_every_directive_ends() -> None:
    text = re.sub(r"#.*|'[^']*'", "", on_the_host())
    assert text.count("{") == text.count("}")
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if line and not line.endswith((";", "{", "}", "accrue"))] == []


@pytest.fixture
def nginx(service: Service, tmp_path: Path) -> Iterator[int]:  # noqa: F811
    """The port of an nginx before two addresses, of which one answers."""
    for program in ("nginx", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    certificate = ["-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        + [str(each) for each in certificate],
        check=True,
        capture_output=True,
    )
    tls, plain = free_port(), free_port()
    text = on_the_host()
    for ours, real in (
        ("/etc/nginx/tls", str(tmp_path)),
        ("/var/log/nginx", str(tmp_path)),
        ("listen 443", f"listen 127.0.0.1:{tls}"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
        ("127.0.0.1:8000", f"127.0.0.1:{free_port()}"),
        ("127.0.0.1:8001", service.url.removeprefix("http://")),
    ):
        assert ours in text
        text = text.replace(ours, real)
    kept = [f"{name}_temp_path {tmp_path}/{name};" for name in TEMPORARY]
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; daemon off; events {{}} http {{ {' '.join(kept)} {text} }}"
    )
    command = ["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    subprocess.run([*command, "-t"], check=True)
    with subprocess.Popen(command) as running:
        yield tls
        running.terminate()


@pytest.mark.slow
def test_it_passes_on_to_the_container_that_answers(nginx: int) -> None:
    with httpx.Client(base_url=f"https://localhost:{nginx}", verify=False) as http:
        wait_for(lambda: answers(http))
        assert http.get("/v1/classifiers").status_code == 200
        assert http.get("/metrics").status_code == 404


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False
