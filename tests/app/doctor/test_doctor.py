"""`accrue doctor`: each thing is really broken, and the doctor says so and what to do."""

import json
import os
import re
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import typer
from click.testing import Result
from pydantic import SecretStr
from sqlalchemy import make_url, text, update
from typer.testing import CliRunner

import migrations
from app.cli.doctor import doctor as doctor_command
from app.db.engine import Database
from app.db.repositories import installation as installation_rows
from app.db.tables import ApiKey, Classifier, Installation, Job, JobEvent, WebhookDelivery, Worker
from app.doctor import (
    broker,
    database as database_check,
    environment,
    examination,
    folders,
    jobs,
    machine,
    service,
    software,
    storage,
)
from app.doctor.findings import Check, CheckContext, Finding
from app.services.upkeep import ownership
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.disk import fill
from tests.e2e.harness import ACCRUE, wait_for
from tests.servers import OwnPostgres, free_port

ROOT = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:9"

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgres_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def ask(check: Check, settings: Settings, url: str = NOWHERE, **environ: str) -> list[Finding]:
    found = list(check(CheckContext(settings, url, environ)))
    assert found, "a check that says nothing"
    for finding in found:
        assert bool(finding.help) == (finding.state in ("warning", "problem"))
    return found


def said(found: list[Finding], state: str, *, help_: str = "") -> str:
    """What was said in this state, once, with a help that holds this."""
    (finding,) = [finding for finding in found if finding.state == state]
    assert help_ in finding.help
    return finding.what


def well(found: list[Finding]) -> None:
    assert {finding.state for finding in found} == {"ok"}, found


# -- software, settings, machine


def test_software_is_as_locked(tmp_path: Path) -> None:
    well(ask(software.check, Settings(data_dir=tmp_path)))


def test_packages_that_do_not_fit(tmp_path: Path) -> None:
    other = tmp_path / "rich-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rich\nVersion: 1.0\n")
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    command = [*ACCRUE, "doctor", "--json", "--data-dir", str(tmp_path), "--url", NOWHERE]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stderr
    found = [Finding(**finding) for finding in json.loads(done.stdout)["findings"]]
    problems = [finding.what for finding in found if finding.state == "problem"]
    assert problems[0] == "Packages that do not fit: rich is 1.0, needed is >=13.9"
    assert problems[1] == "PyTorch cannot be loaded: libcudart.so.13: cannot open"
    assert next(finding.check for finding in found if finding.state == "skipped") == "device"


def test_variables_that_nothing_reads(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    well(ask(environment.check, settings, ACCRUE_PORT="1", accrue_url="x", PATH="/bin"))
    found = ask(environment.check, settings, ACCRUE_DATABSE="x", ACCRUE_PORT="1")
    assert "ACCRUE_DATABSE" in said(found, "warning", help_="Did you mean ACCRUE_DATABASE?")
    found = ask(environment.check, settings, ACCRUE_XYZZY="x")
    assert "ACCRUE_XYZZY" in said(found, "warning", help_="docs/operations.md")


def test_every_variable_that_the_commands_read_is_known() -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    read = {
        name
        for source in sources
        for name in re.findall(
            r"""(?:envvar=|environ\.get\(|environ\[|getenv\()["'](ACCRUE_\w+)""", source
        )
    }
    assert read
    assert read <= environment.OTHERS | {f"ACCRUE_{name.upper()}" for name in Settings.model_fields}


def test_devices(tmp_path: Path) -> None:
    well(ask(machine.check_device, Settings(data_dir=tmp_path, device="cpu")))
    found = ask(machine.check_device, Settings(data_dir=tmp_path, device="gpu"))
    assert "gpu" in said(found, "problem", help_="cuda")
    found = ask(machine.check_device, Settings(data_dir=tmp_path, device="cuda:99"))
    assert "cuda:99" in said(found, "problem", help_="nvidia-smi")
    assert ask(machine.check_device, Settings(data_dir=tmp_path))[0].state in ("ok", "warning")


def test_threads_and_cores(tmp_path: Path) -> None:
    one = Settings(data_dir=tmp_path, inference_threads=1, train_threads=1)
    well(ask(machine.check_threads, one))
    many = one.model_copy(update={"train_threads": 4096})
    found = ask(machine.check_threads, many)
    assert "4096" in said(found, "warning", help_="ACCRUE_TRAIN_THREADS")


def test_model_memory(tmp_path: Path) -> None:
    few = Settings(data_dir=tmp_path, model_memory=2**30 // 2)
    assert "0.50 GiB for loaded versions" in said(ask(machine.check_memory, few), "ok")
    well(ask(machine.check_memory, Settings(data_dir=tmp_path)))
    many = few.model_copy(update={"model_memory": 2**50})
    found = ask(machine.check_memory, many)
    assert "1048576.00 GiB" in said(found, "warning", help_="ACCRUE_MODEL_MEMORY")


def test_open_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
        few = Settings(data_dir=tmp_path, event_streams=200)
        well(ask(machine.check_files, few))
        found = ask(machine.check_files, few.model_copy(update={"event_streams": 256}))
        assert "500" in said(found, "warning", help_="ulimit -n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- folders


def test_data_folder(tmp_path: Path) -> None:
    there = ask(folders.check_data, Settings(data_dir=tmp_path))
    assert there[0].state in ("ok", "warning")  # by what this machine has free
    found = ask(folders.check_data, Settings(data_dir=tmp_path / "a" / "b"))
    assert "does not exist yet" in said(found, "warning", help_="ACCRUE_DATA_DIR")
    assert not (tmp_path / "a").exists()
    file = tmp_path / "file"
    file.touch()
    found = ask(folders.check_data, Settings(data_dir=file))
    assert "cannot be written to: Not a directory" in said(found, "problem")


def test_a_folder_without_room_and_one_for_reading_alone(small_disk: Path) -> None:
    settings = Settings(data_dir=small_disk)
    found = ask(folders.check_data, settings)
    assert "0.0 GB free" in said(found, "problem", help_="accrue sweep")
    fill(small_disk)
    found = ask(folders.check_data, settings)
    assert "No space left" in said(found, "problem")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = ask(folders.check_data, settings)
    assert "Read-only file system" in said(found, "problem")
    found = ask(storage.check, settings.model_copy(update={"storage": str(small_disk)}))
    assert "Read-only file system" in said(found, "problem", help_="ACCRUE_STORAGE")


def test_weights(tmp_path: Path) -> None:
    well(ask(folders.check_weights, Settings(data_dir=tmp_path)))
    (tmp_path / "mine.safetensors").touch()
    found = ask(folders.check_weights, Settings(data_dir=tmp_path, weights_dir=tmp_path))
    assert said(found, "ok").startswith("1 files")
    gone = tmp_path / "gone"
    found = ask(folders.check_weights, Settings(data_dir=tmp_path, weights_dir=gone))
    assert str(gone) in said(found, "problem", help_="ACCRUE_WEIGHTS_DIR")


# -- database


def test_a_database_that_is_well(settings: Settings) -> None:
    found = ask(database_check.check, settings)
    well(found)
    assert "answers" in found[0].what


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("postgresql://root@127.0.0.1:9/x", "refused"),
        ("postgresql://nobody:a-secret@127.0.0.1:{port}/nowhere", "does not exist"),
        ("sqlite:///{tmp}/no-database", "not a database"),
    ],
)
@postgres_only
def test_a_database_that_cannot_be_used(
    database_url: str, tmp_path: Path, url: str, part: str
) -> None:
    (tmp_path / "no-database").write_text("This is a text.")
    given = url.format(port=make_url(database_url).port or 5432, tmp=tmp_path)
    settings = Settings(data_dir=tmp_path, database=given)
    message = said(ask(database_check.check, settings), "problem", help_="ACCRUE_DATABASE")
    assert part in message
    assert "a-secret" not in message
    assert said(ask(jobs.check, settings), "skipped")


def test_a_wrong_password_of_the_database(own_postgres: OwnPostgres, tmp_path: Path) -> None:
    host = make_url(own_postgres.url)
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE client LOGIN PASSWORD 'right'")
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ()
        Path(rules).write_text("host all client all scram-sha-256\nhost all all all trust\n")
        connection.execute("SELECT pg_reload_conf()")
    url = f"postgresql://client@{host.host}:{host.port}/postgres"

    def looked(password: str) -> list[Finding]:
        given = {"database": url, "database_password": SecretStr(password)}
        return ask(database_check.check, Settings(data_dir=tmp_path, **given))

    # The server reads its rules anew in a moment.
    refused = wait_for(lambda: found if (found := looked("wr0ng"))[0].state == "problem" else None)
    message = said(refused, "problem", help_="ACCRUE_DATABASE_PASSWORD")
    assert "password authentication failed" in message
    assert "wr0ng" not in message
    assert "It is empty" in said(looked("right")[:2], "problem", help_="accrue migrate")


def test_no_database_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for finding in examination.examine(CheckContext(settings, NOWHERE, {})):
        assert finding.state != "problem", finding
    assert not (tmp_path / "accrue.db").exists()


def test_schemas(settings: Settings, database: Database) -> None:
    url = settings.database_url
    head = migrations.current(url)
    assert head is not None
    try:
        migrations.downgrade(url, "0001")
        found = ask(database_check.check, settings)
        assert "0001" in said(found[:2], "problem", help_="accrue migrate")
        migrations.downgrade(url, "base")
        found = ask(database_check.check, settings)
        assert "It is empty" in said(found[:2], "problem", help_="accrue migrate")
        # Without our tables nothing can be said of jobs, and nothing breaks.
        assert said(ask(jobs.check, settings), "skipped")
    finally:
        migrations.upgrade(url)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        found = ask(database_check.check, settings)
        assert "newer than this software" in said(found, "problem")
    finally:
        with database.transaction() as session:
            session.execute(text(f"UPDATE alembic_version SET version_num = '{head}'"))


@postgres_only
def test_a_database_for_reading_alone(settings: Settings) -> None:
    url = make_url(settings.database_url)
    options = f"{url.query['options']} -c default_transaction_read_only=on"
    reading = url.update_query_dict({"options": options}).render_as_string(hide_password=False)
    found = ask(database_check.check, settings.model_copy(update={"database": reading}))
    assert "read-only transaction" in said(found, "problem")


# -- storage


def test_storage(settings: Settings, database: Database) -> None:
    found = ask(storage.check, settings)
    assert "does not exist yet" in said(found, "warning")
    Path(settings.storage_url).mkdir(parents=True)
    assert ask(storage.check, settings)[-1].what == "It belongs to no database yet"
    assert list(Path(settings.storage_url).iterdir()) == [], "the doctor changes nothing"


@sqlite_only
def test_a_bucket_that_is_not_there(settings: Settings, s3_url: str) -> None:
    gone = settings.model_copy(update={"storage": "s3://no-such-bucket/prefix"})
    message = said(ask(storage.check, gone), "problem", help_="AWS_… variables")
    assert "no bucket no-such-bucket: make it" in message


def test_storage_of_another_database(
    settings: Settings, database: Database, store: BlobStore
) -> None:
    ownership.check(database, store)
    assert ask(storage.check, settings)[-1].what == "It belongs to this database"
    with database.transaction() as session:
        session.execute(update(Installation).values(id="ins_another"))
        assert installation_rows.identity(session) == "ins_another"
    found = ask(storage.check, settings)
    assert "another database" in said(found, "problem", help_="accrue reindex")


def test_storage_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "blobs").touch()
    found = ask(storage.check, Settings(data_dir=tmp_path))
    assert "Not a directory" in said(found, "problem")


# -- broker


@pytest.fixture
def redis_with(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A function that starts a Redis with options and returns its URL."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, password: str = "") -> str:
        port = free_port()
        place = ["--port", str(port), "--dir", str(tmp_path), "--bind", "127.0.0.1", "--save", ""]
        started.append(subprocess.Popen([program, *place, *options], stdout=subprocess.DEVNULL))
        url = f"redis://:{password}@127.0.0.1:{port}/0"

        def answers() -> bool:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_for(answers)
        return url

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def test_redis(redis_with: Callable[..., str], tmp_path: Path) -> None:
    def looked_at(url: str) -> list[Finding]:
        return ask(broker.check, Settings(data_dir=tmp_path, broker=url))

    good = redis_with("--appendonly", "yes", "--requirepass", "s3cret", password="s3cret")
    well(looked_at(good))
    found = looked_at(good.replace("s3cret", "wr0ng"))
    message = said(found, "problem", help_="ACCRUE_BROKER_PASSWORD")
    assert "invalid username-password" in message
    assert "wr0ng" not in message
    forgetful = redis_with("--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru")
    warnings = [f.what for f in looked_at(forgetful) if f.state == "warning"]
    assert len(warnings) == 2
    assert "appendonly no" in warnings[0]
    assert "allkeys-lru" in warnings[1]


def test_no_redis(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, broker="redis://:a-secret@127.0.0.1:9/0")
    message = said(ask(broker.check, settings), "problem", help_="ACCRUE_BROKER")
    assert "refused" in message
    assert "a-secret" not in message


def test_files_as_the_broker(tmp_path: Path) -> None:
    (tmp_path / "queue").touch()
    found = ask(broker.check, Settings(data_dir=tmp_path))
    assert "Not a directory" in said(found, "problem")


# -- workers and jobs


def test_workers_and_jobs(settings: Settings, database: Database) -> None:
    with database.transaction() as session:
        now = database.now(session)
        hour = timedelta(hours=1)
        found = ask(jobs.check, settings)
        assert "No worker" in said(found, "warning", help_="start it")
        for name, hardware in (("one", "gpu"), ("two", "any")):
            spec = {**learnt.BODY, "hardware": hardware}
            session.add(Classifier(id=f"cls_{name}", name=name, spec=spec, created_at=now))
        session.flush()
        job = {"kind": "learn", "request": {}, "created_at": now}
        session.add(Job(id="job_1", classifier_id="cls_one", state="queued", **job))
        session.flush()
        session.add(JobEvent(job_id="job_1", seq=1, at=now - hour, type="created", message="."))
    found = ask(jobs.check, settings)
    assert "train" in said(found, "problem", help_="GPU")
    assert "60 minutes" in said(found, "warning")
    with database.transaction() as session:
        worker = {"host": "h", "pid": 1, "device": "cuda", "started_at": now}
        session.add(Worker(id="wrk_1", queues=["train", "default"], seen_at=now, **worker))
        session.add(
            Job(
                id="job_2",
                classifier_id="cls_two",
                state="running",
                lease_expires_at=now - hour,
                **job,
            )
        )
        error = {"code": "worker-lost", "detail": "", "retryable": True}
        session.add(Job(id="job_3", classifier_id="cls_two", state="failed", error=error, **job))
        swept = {"sweep_error": "AccessDenied", "undeleted_blobs": 3}
        session.add(Installation(number=1, id="ins_1", sweep_due_at=now - 3 * hour, **swept))
        session.add(
            WebhookDelivery(
                id="whd_1",
                type="job.failed",
                url="https://example.org",
                payload="{}",
                state="pending",
                last_error="refused",
                next_at=now,
                created_at=now,
            )
        )
    found = ask(jobs.check, settings)
    assert "1 for train on cuda" in found[0].what
    assert "were not requeued: 1" in said(found, "problem", help_="dispatcher")
    warnings = " ".join(f.what for f in found if f.state == "warning")
    for part in (
        "again and again",
        "60 minutes",
        "3.0 hours",
        "3 unneeded blobs: AccessDenied",
        "1 deliveries",
    ):
        assert part in warnings


# -- the API and its keys


class Another(BaseHTTPRequestHandler):
    answer: Any = b"<html>"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def another() -> Iterator[str]:
    """URL of a server that is not Accrue."""
    with HTTPServer(("127.0.0.1", 0), Another) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_answers_is_not_ours(another: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    found = ask(service.check, settings, another)
    assert "not Accrue" in said(found, "problem", help_="ACCRUE_PORT")
    Another.answer = b'{"name": "accrue", "version": "0.0.1"}'
    try:
        found = ask(service.check, settings, another)
    finally:
        Another.answer = b"<html>"
    assert "0.0.1" in said(found, "warning", help_="Restart")
    for url in (NOWHERE, "http://[bad", "ftp://x"):
        assert "Nothing answers" in said(ask(service.check, settings, url), "warning")


def test_keys(settings: Settings, database: Database) -> None:
    well(ask(service.check_keys, settings))
    open_ = settings.model_copy(update={"host": "0.0.0.0"})
    assert "0.0.0.0" in said(ask(service.check_keys, open_), "problem", help_="ACCRUE_KEYS")
    nowhere = settings.model_copy(update={"host": "no-such-host.invalid"})
    assert "no-such-host" in said(ask(service.check_keys, nowhere), "problem")
    required = open_.model_copy(update={"keys": "required"})
    assert "none" in said(ask(service.check_keys, required), "warning", help_="accrue keys create")
    with database.transaction() as session:
        now = database.now(session)
        session.add(ApiKey(id="key_1", name="boss", digest="", scopes=["admin"], created_at=now))
    well(ask(service.check_keys, required))
    away = required.model_copy(update={"database": "postgresql://root@127.0.0.1:9/x"})
    assert said(ask(service.check_keys, away), "skipped")


# -- the command


def test_settings_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCRUE_PORT", "80000")
    monkeypatch.setenv("ACCRUE_LOG_LEVEL", "loud")
    done = run("--data-dir", str(tmp_path), "--json")
    assert done.exit_code == 1
    (finding,) = json.loads(done.output)["findings"]
    assert finding["state"] == "problem"
    assert "ACCRUE_PORT" in finding["what"]
    assert "ACCRUE_LOG_LEVEL" in finding["what"]


def test_what_people_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ACCRUE_BROKER", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("ACCRUE_STORAGE", str(tmp_path / "[bold]elsewhere"))
    done = run("--data-dir", str(tmp_path), "--url", NOWHERE)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert any(line.split()[:3] == ["problem", "broker", "Redis"] for line in lines)
    assert any("[bold]elsewhere does not exist yet" in line for line in lines)
    assert lines[-1].startswith("1 problem, ")


def run(*arguments: str) -> Result:
    """`accrue doctor` in this process."""
    command = typer.Typer()
    command.command()(doctor_command)
    return CliRunner().invoke(command, arguments)


def test_a_check_that_fails_itself_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_context: CheckContext) -> Iterator[Finding]:
        raise KeyError("unforeseen")

    monkeypatch.setattr(examination, "_CHECKS", (check, environment.check))
    found = list(examination.examine(CheckContext(Settings(data_dir=tmp_path), NOWHERE, {})))
    assert "KeyError: unforeseen" in found[0].what
    assert found[1].check == "settings"
