"""The pages for operators are followed: backups, another machine, a bucket, keys from the start."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import snippets
from tests.e2e.harness import Digits, Service
from tests.e2e.reader import Reader
from tests.s3 import BUCKET, S3Server

pytestmark = pytest.mark.slow


def needs(*programs: str) -> None:
    """Skip the test where a program that a page uses is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"The page uses {program}.")


# Ends once the service counts its own worker and the other, which stops as it should.
TWO_WORKERS = """accrue worker & other=$!
until curl $U/metrics | grep -q '^accrue_workers.* 2'; do sleep 0.3; done
kill $other; wait $other"""


def test_operations(
    read: Callable[..., Reader], production: dict[str, str], digits: Digits, tmp_path: Path
) -> None:
    needs("sqlite3", "rsync")
    data = tmp_path / "accrue-data"
    services = [Service(data)]
    services[0].create("kept")
    services[0].learn("kept", digits.zip([0, 1]))
    reader = read(services[0])

    def prepare(text: str) -> str:
        if text.startswith("accrue restore"):
            reader.http = None
            services[0].stop()
            data.rename(tmp_path / "lost")
        elif text.startswith("mv accrue-data accrue-data.after"):
            shutil.copytree(data, tmp_path / "accrue-data.before")
        elif text.startswith("export ACCRUE_DATABASE"):
            return f"export ACCRUE_DATABASE={production['ACCRUE_DATABASE']}"
        elif text.startswith("export ACCRUE_BROKER"):
            return f"export ACCRUE_BROKER={production['ACCRUE_BROKER']}"
        elif text == "accrue worker":
            shared = {**production, "ACCRUE_STORAGE": str(tmp_path / "shared")}
            services.append(Service(tmp_path / "main", **shared))
            return f"U={services[-1].url}\n{TWO_WORKERS}"
        return text.replace("/mnt/accrue-blobs", str(tmp_path / "shared"))

    try:
        reader.follow("docs/operations.md", prepare)
        # Both the restored data and the copy by hand have what was learnt.
        services[1].stop()
        for folder in (data, tmp_path / "backup"):
            services.append(Service(folder))
            answer = services[-1].predict("kept", digits.held_out(1))
            assert answer["results"][0]["label"] == "1"
    finally:
        for service in services:
            if service.process.poll() is None:
                service.stop()


@pytest.mark.parametrize("start", ["sqlite, files"], indirect=True)
def test_weights_of_ones_own(
    start: Callable[..., Service], digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = snippets("docs/operations.md", "python")
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    service = start(ACCRUE_WEIGHTS_DIR=str(weights))
    own = {"backbone": "resnet18", "weights": "mine.safetensors", "image_size": 32}
    service.create("own", **own)
    assert service.learn("own", digits.zip([0, 1])) == 1


def test_a_folder_moves_to_a_bucket(
    read: Callable[..., Reader], s3_server: S3Server, digits: Digits, tmp_path: Path
) -> None:
    needs("aws")
    service = Service(tmp_path / "accrue-data")
    service.create("kept")
    service.learn("kept", digits.zip([0, 1]))
    before = service.predict("kept", digits.held_out(1))
    service.stop()
    reader = read(None, **s3_server.environment)
    reader.replaced["s3://bucket/"] = f"s3://{BUCKET}/"
    reader.follow("docs/object-storage.md")
    shutil.rmtree(service.data_dir / "blobs")
    storage = {"ACCRUE_STORAGE": f"s3://{BUCKET}/prefix"}
    service = Service(service.data_dir, **s3_server.environment, **storage)
    assert service.predict("kept", digits.held_out(1)) == before
    service.stop()


def test_deployment(read: Callable[..., Reader], tmp_path: Path) -> None:
    """The first key answers as the page shows. What needs Docker is in tests/deploy."""
    reader = read(None)
    reader.type("accrue migrate", "before the page")
    reader.type("accrue keys create admin --scope admin --output admin.key", "before the page")
    service = Service(tmp_path / "accrue-data", ACCRUE_KEYS="required")
    reader.replaced["http://127.0.0.1:8000"] = service.url
    reader.replaced["acr_…"] = "$(cat admin.key)"
    reader.follow("docs/deployment.md")
    service.stop()


def test_label_studio(read: Callable[..., Reader]) -> None:
    """What the page exports is settings; a Label Studio is in tests/label_studio."""
    reader = read(None)
    reader.follow("docs/label-studio.md")
    read_them = "from app.settings import Settings; s = Settings(); "
    read_them += "print(s.label_studio_url, s.label_studio_token.get_secret_value())"
    said = reader.type(f"python -c '{read_them}'", "after the page")
    assert said.split() == ["http://label-studio:8080", "eyJ…"]


def test_methods(read: Callable[..., Reader], alone: Service) -> None:
    """The comparison of the page runs, with two rows of its plan and an epoch of each."""
    reader = read(alone)
    plan = Path("benchmarks/plans/digits.toml")
    text = plan.read_text().replace("epochs = 15", "epochs = 1").replace(", 1994, 1995", "")
    (reader.folder / plan.parent).mkdir(parents=True)
    head, *rows = text.split("[[rows]]")
    (reader.folder / plan).write_text("[[rows]]".join([f"classes = 4\n{head}", *rows[:2]]))
    reader.follow("docs/methods.md")
    assert (reader.folder / "accrue-bench.json").exists()
