"""Send a running service what its OpenAPI document allows, and what it forbids: `make fuzz-api`.

    python -m tests.fuzz --seconds 120

Schemathesis makes the requests, one by one and in sequences (stateful), with keys off and on. It is
installed into an environment of its own, .peers/fuzz. The status is 1 where it finds something.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests import peers
from tests.app.learnt import png
from tests.e2e.harness import ACCRUE, Service, zip_of

_TOOL = "schemathesis==4.32.5"
# A key that was revoked is still shown.
_CONFIG = """
[[operations]]
include-path = "/v1/keys/{key_id}"
checks.use_after_free.enabled = false
"""
# The document cannot say all that makes a request valid, such as which options a method has.
_EXCLUDED = "positive_data_acceptance"


def _document(http: httpx.Client, *, keys: bool) -> dict[str, object]:
    """Return the document, with what it does not say.

    Parameters without a value count as not given. Where keys are off, there is no security.
    """
    document = http.get("/openapi.json").raise_for_status().json()
    lists = [document["components"]["parameters"].values()]
    lists += [
        operation.get("parameters", ())
        for item in document["paths"].values()
        for method, operation in item.items()
        if method not in ("delete", "parameters")
    ]
    for parameter in (each for parameters in lists for each in parameters):
        if parameter.get("in") == "query":
            parameter["allowEmptyValue"] = True
    if not keys:
        del document["security"], document["components"]["securitySchemes"]
        for item in document["paths"].values():
            for operation in (each for each in item.values() if isinstance(each, dict)):
                operation.pop("security", None)
    return document


def _fuzz(folder: Path, seconds: int, seed: int, *, keys: bool) -> bool:
    """Fuzz a service with a classifier that has learnt; say whether nothing was found."""
    data, state = folder / "data", "required" if keys else "off"
    subprocess.run([*ACCRUE, "migrate", "--data-dir", data], check=True)
    create = [*ACCRUE, "keys", "create", "fuzz", "--scope", "admin", "--data-dir", str(data)]
    key = subprocess.run(create, check=True, capture_output=True, text=True).stdout.split()[-1]
    header = {"Authorization": f"Bearer {key}"} if keys else {}
    service = Service(data, ACCRUE_KEYS=state)
    try:
        service.http.headers.update(header)
        service.create("signs")
        service.learn("signs", zip_of({f"{n % 2}/{n}.png": png(n) for n in range(16)}))
        (folder / "schemathesis.toml").write_text(_CONFIG)
        path = folder / "openapi.json"
        path.write_text(json.dumps(_document(service.http, keys=keys)))
        tool = peers.install("fuzz", "schemathesis", _TOOL)
        command = [tool, "run", path, "--url", service.url, "--max-time", str(seconds)]
        command += ["--exclude-checks", _EXCLUDED, "--continue-on-failure", "--no-shrink"]
        command += ["--seed", str(seed), "--warnings", "off", "--request-timeout", "30"]
        for name, value in header.items():
            command += ["-H", f"{name}: {value}"]
        print(f"With ACCRUE_KEYS={state}:", flush=True)
        # What the tool remembers stays in the folder.
        return subprocess.run(command, check=False, cwd=folder).returncode == 0
    finally:
        service.stop()


def main() -> None:
    """Fuzz both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for each way")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    clean = []
    for keys in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            clean.append(_fuzz(Path(folder), given.seconds, given.seed, keys=keys))
    sys.exit(0 if all(clean) else 1)


if __name__ == "__main__":
    main()
