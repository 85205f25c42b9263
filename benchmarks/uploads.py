"""What an upload costs the server, against a bare loop that decodes the same images with Pillow.

CPU time of the API process and its children, per image, over that of one thread that opens each
image in the zip and decodes it, in the same run; and the most memory that the server took.

    python -m benchmarks.uploads [--share 0.1]

Small images are PNGs of 32×32, photographs cuttings of the two that scikit-learn brings, as JPEGs
of 500×375. Prints a table and writes benchmarks/results/uploads.json.
"""

import argparse
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image
from sklearn.datasets import load_sample_images

import migrations
from app.settings import Settings
from benchmarks import runner
from benchmarks.serving.servers import Command, free_port, running
from benchmarks.serving.workloads import picture

# Kinds of images, and how many.
UPLOADS = (("small", 1_000), ("small", 10_000), ("photographs", 100), ("photographs", 1_000))
CLASSES = 10
# Of Linux: makes the largest resident set so far the present one.
RESET_PEAK = "5"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the images, for a quick run")
    share = parser.parse_args().share
    results = []
    print(f"{'images':>18}{'bare ms':>9}{'CPU ms':>8}{'speed':>7}{'seconds':>9}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as (url, server):
        warm_up = Path(folder) / "warm_up.zip"
        write(warm_up, "photographs", 20)
        upload(url, server, warm_up)
        for kind, count in UPLOADS:
            images = max(20, round(share * count))
            archive = Path(folder) / "images.zip"
            write(archive, kind, images)
            before = bare(archive)
            taken = upload(url, server, archive)
            reference = (before + bare(archive)) / 2
            result = {
                "kind": kind,
                "images": images,
                "bare_cpu_ms": round(reference / images * 1e3, 3),
                "upload_cpu_ms": round(taken["cpu"] / images * 1e3, 3),
                "speed": round(reference / taken["cpu"], 3),
                "seconds": round(taken["seconds"], 1),
                "memory_before_mebibytes": round(taken["memory"] / 2**20),
                "peak_mebibytes": round(taken["peak"] / 2**20),
            }
            results.append(result)
            print(
                "{images:6} {kind:11}{bare_cpu_ms:9.2f}{upload_cpu_ms:8.2f}{speed:7.2f}"
                "{seconds:9.1f}{peak_mebibytes:10}".format(**result),
                flush=True,
            )
    runner.write("uploads", {"uploads": results})


def write(archive: Path, kind: str, images: int) -> None:
    """Write a zip of so many images that differ, in folders of classes."""
    draw = np.random.default_rng(images)
    make: Callable[[], bytes] = cuttings(draw) if kind == "photographs" else lambda: picture(draw)
    with zipfile.ZipFile(archive, "w") as target:
        for number in range(images):
            target.writestr(f"class {number % CLASSES}/{number}", make())


def cuttings(draw: np.random.Generator) -> Callable[[], bytes]:
    """Return what makes JPEGs of 500×375, each another part of a photograph."""
    photographs = [Image.fromarray(each) for each in load_sample_images().images]

    def make() -> bytes:
        whole = photographs[draw.integers(2)]
        left, top = draw.integers(0, whole.width - 500), draw.integers(0, whole.height - 375)
        file = io.BytesIO()
        box = (int(left), int(top), int(left) + 500, int(top) + 375)
        whole.crop(box).save(file, "JPEG", quality=int(draw.integers(80, 91)))
        return file.getvalue()

    return make


def bare(archive: Path) -> float:
    """Return the CPU seconds of decoding every image."""
    begun = time.process_time()
    with zipfile.ZipFile(archive) as source:
        for name in source.namelist():
            with Image.open(io.BytesIO(source.read(name))) as image:
                image.convert("RGB")
    return time.process_time() - begun


def upload(url: str, server: psutil.Process, archive: Path) -> dict[str, float]:
    """Send an archive; return what it cost the server, in seconds and bytes."""
    memory = runner.memory_of(server)
    tree = [server, *server.children(recursive=True)]
    for process in tree:
        Path(f"/proc/{process.pid}/clear_refs").write_text(RESET_PEAK)
    cpu, begun = runner.cpu_seconds(server), time.perf_counter()
    with archive.open("rb") as body:
        answer = httpx.post(
            f"{url}/v1/uploads",
            content=iter(lambda: body.read(2**20), b""),
            headers={"Content-Type": "application/zip"},
            timeout=3600,
        )
    if answer.status_code != 201:
        raise RuntimeError(answer.text)
    return {
        "cpu": runner.cpu_seconds(server) - cpu,
        "seconds": time.perf_counter() - begun,
        "memory": memory,
        "peak": max(peak(process.pid) for process in tree),
    }


def peak(pid: int) -> int:
    """Return the largest resident set of a process since it was reset, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has ended")


@contextmanager
def serving(data_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run an API process on a new data folder; yield its URL and the process."""
    settings = Settings(data_dir=data_dir, log_level="warning")
    data_dir.mkdir()
    migrations.upgrade(settings.database_url)
    port = free_port()
    arguments = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    environment = {"ACCRUE_DATA_DIR": str(data_dir), "ACCRUE_LOG_LEVEL": "warning"}
    with running(Command(arguments, environment), sys.stderr.fileno()) as pid:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health/live")
        yield url, psutil.Process(pid)


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise TimeoutError("the server did not answer")


if __name__ == "__main__":
    main()
