"""Other servers, each in an environment of its own: how they are installed and started.

Each serves the network in eager PyTorch with two workers, takes up to `BATCH` images into a forward
pass, and decodes them with Pillow. What it needs is in its folder below ``benchmarks/peers``.
"""

import base64
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.load import Request
from benchmarks.serving.servers import Command, free_port
from benchmarks.serving.workloads import BATCH, Workload

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "benchmarks" / "peers"
# Environments, kept from run to run.
_CACHE = _ROOT / ".peers"
_WORKERS = 2
# How long a server waits for more images.
_BATCH_MS = 5


class Peer(NamedTuple):
    """A server: how it is started on a port for an exported network, and what it is asked."""

    name: str
    title: str
    start: Callable[[Path, int, Path], Command]
    request: Callable[[Workload, bytes, int], Request]
    # A program beside Python that it needs, and what to install for it.
    needs: tuple[str, str] | None = None


def install(peer: Peer) -> Path:
    """Make the peer's environment, unless it is there, and return its Python.

    Raises CalledProcessError.
    """
    requirements = _FOLDER / peer.name / "requirements.txt"
    pytorch = [f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "torchvision")]
    wanted = hashlib.sha256(requirements.read_bytes() + repr(pytorch).encode()).hexdigest()
    environment = _CACHE / peer.name
    python, stamp = environment / "bin" / "python", environment / "installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"Installing {peer.title} into {environment.relative_to(_ROOT)}.", flush=True)
    uv = str(Path(sys.executable).parent / "uv")
    make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)]
    subprocess.run(make, check=True)
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, "--requirements", str(requirements), *pytorch], check=True)
    stamp.write_text(wanted)
    return python


def missing(peer: Peer) -> str | None:
    """Return what must be installed by hand before the peer can run, None where nothing is."""
    if peer.needs is None or shutil.which(peer.needs[0]):
        return None
    return peer.needs[1]


def _environment(model: Path, python: Path) -> dict[str, str]:
    return {
        "BENCH_MODEL": str(model),
        "BENCH_BATCH": str(BATCH),
        "BENCH_BATCH_MS": str(_BATCH_MS),
        "BENCH_WORKERS": str(_WORKERS),
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // _WORKERS)),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(_ROOT),
    }


def _litserve(model: Path, port: int, python: Path) -> Command:
    script = _FOLDER / "litserve" / "server.py"
    return Command([str(python), str(script), str(port)], _environment(model, python))


def _bentoml(model: Path, port: int, python: Path) -> Command:
    service = "benchmarks.peers.bentoml.service:Classifier"
    program = str(python.parent / "bentoml")
    environment = _environment(model, python)
    home = model.parent / "bentoml"
    environment |= {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(home)}
    return Command([program, "serve", service, "--port", str(port)], environment)


def _torchserve(model: Path, port: int, python: Path) -> Command:
    home = model.parent / "torchserve"
    home.mkdir(exist_ok=True)
    logs = str(home / "logs")
    environment = _environment(model, python)
    environment |= {"LOG_LOCATION": logs, "METRICS_LOCATION": logs}
    archiver = [str(python.parent / "torch-model-archiver"), "--model-name", "bench"]
    handler = ["--version", "1.0", "--handler", str(_FOLDER / "torchserve" / "handler.py")]
    target = ["--export-path", str(home), "--force"]
    # The archiver empties the folder of the model's name among the temporary ones, whoever owns it.
    own = os.environ | environment | {"TMPDIR": str(home)}
    subprocess.run([*archiver, *handler, *target], check=True, env=own)
    model_settings = {
        "defaultVersion": True,
        "marName": "bench.mar",
        "minWorkers": _WORKERS,
        "maxWorkers": _WORKERS,
        "batchSize": BATCH,
        "maxBatchDelay": _BATCH_MS,
        "responseTimeout": 120,
    }
    addresses = {
        "inference_address": port,
        "management_address": free_port(),
        "metrics_address": free_port(),
    }
    config = home / "config.properties"
    config.write_text(
        "".join(f"{name}=http://127.0.0.1:{number}\n" for name, number in addresses.items())
        + "disable_token_authorization=true\nenable_envvars_config=false\nload_models=bench.mar\n"
        + f"models={json.dumps({'bench': {'1.0': model_settings}})}\n"
    )
    program = [str(python.parent / "torchserve"), "--start", "--foreground", "--ncs"]
    options = ["--model-store", str(home), "--ts-config", str(config), "--disable-token-auth"]
    return Command([*program, *options], environment)


def _base64(_workload: Workload, image: bytes, column: int) -> Request:
    body = json.dumps({"image": base64.b64encode(image).decode()}).encode()
    return Request("/predict", "application/json", body, _expected(column))


def _multipart(workload: Workload, image: bytes, column: int) -> Request:
    boundary = "a-boundary-that-no-image-has"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="image"\r\n'
        f"Content-Type: {workload.media_type}\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    media_type = f"multipart/form-data; boundary={boundary}"
    return Request("/predict", media_type, body, _expected(column))


def _raw(workload: Workload, image: bytes, column: int) -> Request:
    return Request("/predictions/bench", workload.media_type, image, _expected(column))


def _expected(column: int) -> str:
    """Return what each answer has: a word with no space that JSON of any style keeps."""
    return f"column-{column}-is-best"


PEERS = (
    Peer("litserve", "LitServe", _litserve, _base64),
    Peer("bentoml", "BentoML", _bentoml, _multipart),
    Peer(
        "torchserve",
        "TorchServe",
        _torchserve,
        _raw,
        needs=("java", "a Java runtime (Debian: apt-get install default-jre-headless)"),
    ),
)
