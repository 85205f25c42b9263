"""`accrue keys` on a real database: the key is shown once, and never lost before that."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from typer.testing import CliRunner, Result

from app.cli import keys
from app.client.errors import CommandError
from app.db.engine import Database
from app.db.tables import ApiKey
from app.security import tokens
from app.services.access import keys as service
from app.services.access.keys import KeySpec
from tests.app.keyed import new_key
from tests.databases import ONE_KIND_AT_FIRST

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs `accrue keys …` on the test's database."""
    monkeypatch.setenv("ACCRUE_DATABASE", database_url)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(keys.commands, [str(argument) for argument in arguments])

    return run


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.stderr or result.exception
    return result.stdout


def refused(result: Result, said: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, CommandError), result.exception
    assert said in str(result.exception)
    assert result.stdout == ""


@ONE_KIND_AT_FIRST
def test_the_key_alone_is_on_standard_output(run: Run, database: Database) -> None:
    result = run("create", "ci", "--scope", "train", "--scope", "predict", "--expires-days", "9")
    token = ok(result).removesuffix("\n")
    (row,) = service.every(database)
    assert tokens.matches(token, row.digest)
    assert row.scopes == ["predict", "train"]
    assert row.expires_at is not None
    assert "ci" in result.stderr
    assert token not in result.stderr


@ONE_KIND_AT_FIRST
def test_limits_and_workspace_are_the_keys_own(run: Run, database: Database) -> None:
    limits = ("--images-per-second=2.5", "--waiting-jobs=3", "--stored-megabytes=100")
    ok(run("create", "ci", "--scope=train", "--workspace=team", *limits))
    (row,) = service.every(database)
    assert (row.workspace, row.images_per_second) == ("team", 2.5)
    assert (row.waiting_jobs, row.stored_megabytes) == (3, 100)


def test_keys_are_listed_and_revoked(run: Run, database: Database) -> None:
    assert "no keys yet" in ok(run("list"))
    token = ok(run("create", "first", "--scope=admin")).strip()
    second = tokens.id_of(ok(run("create", "second", "--scope=train")).strip())
    assert second is not None
    assert "first" in ok(run("revoke", "first"))
    assert "revoked" in ok(run("revoke", "first"))  # once more changes nothing
    lines = ok(run("list")).splitlines()
    assert len(lines) == 3
    assert "created (UTC)     expires (UTC)  last used (UTC)" in lines[0]
    assert lines[1].split()[1:5] == ["first", "default", "admin", "revoked"]
    assert lines[2].split()[:5] == [second, "second", "default", "train", "active"]
    assert token.split("_", 2)[2] not in "".join(lines)
    ok(run("revoke", second))
    refused(run("revoke", "nobody"), "no key with the id or name nobody")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ci", "--scope=everything"), "scopes"),
        (("two words", "--scope=train"), "name: A key's name has only the letters A to Z"),
        (("ci", "--scope=train", "--expires-days=0"), "expires_days"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_no_key_can_be_is_named(run: Run, arguments: tuple[str, ...], said: str) -> None:
    refused(run("create", *arguments), said)


@ONE_KIND_AT_FIRST
def test_a_name_in_use_is_refused(run: Run, tmp_path: Path) -> None:
    ok(run("create", "ci", "--scope=train"))
    file = tmp_path / "key"
    refused(run("create", "ci", "--scope=admin", "--output", file), "already a key named ci")
    assert list(tmp_path.glob("*key*")) == []


@ONE_KIND_AT_FIRST
def test_the_first_admin_key_is_made_once(run: Run, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "key"
    file.parent.mkdir()
    first = ("create", "admin", "--scope=admin", "--if-none", "--output", file)
    refused(run(*first[:-1], tmp_path / "nowhere" / "key"), "cannot be written")
    assert service.every(database) == []
    previous = os.umask(0)
    try:
        assert ok(run(*first)) == ""
    finally:
        os.umask(previous)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (row,) = service.every(database)
    assert tokens.matches(file.read_text().strip(), row.digest)
    assert [path.name for path in file.parent.iterdir()] == ["key"]
    for arguments in (first, first[:-2]):
        result = run(*arguments)
        assert ok(result) == ""
        assert "exists already" in result.stderr
    assert len(service.every(database)) == 1
    file.unlink()
    assert "If it is lost, revoke it" in run(*first).stderr
    assert not file.exists()


def test_of_two_that_make_the_first_key_one_does(
    run: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = service.find_usable

    def look_and_lose(db: Database, wanted: KeySpec) -> ApiKey | None:
        monkeypatch.setattr(service, "find_usable", look)
        found = look(db, wanted)
        new_key(database, "admin", name="admin")
        return found

    monkeypatch.setattr(service, "find_usable", look_and_lose)
    file = tmp_path / "key"
    said = run("create", "admin", "--scope=admin", "--if-none", "--output", file)
    assert ok(said) == ""
    assert "exists already" in said.stderr
    assert not file.exists()
    assert len(service.every(database)) == 1


@ONE_KIND_AT_FIRST
def test_a_file_that_is_there_is_not_overwritten(
    run: Run, database: Database, tmp_path: Path
) -> None:
    known = new_key(database, "train")
    _, unknown = tokens.new_token()
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name, content, mode in (
        ("text", "precious", 0o600),
        ("known", known, 0o600),
        ("seen by others", unknown, 0o644),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    for name in ("target", "link", "text", "known", "seen by others"):
        before = (tmp_path / name).read_text()
        for more in ((), ("--if-none",)):
            arguments = ("create", "admin", "--scope=admin", "--output", tmp_path / name)
            refused(run(*arguments, *more), "exists already")
        assert (tmp_path / name).read_text() == before
    assert len(service.every(database)) == 1


@ONE_KIND_AT_FIRST
def test_a_file_with_a_revoked_key_gets_the_next_one_where_scripts_ask(
    run: Run, database: Database, tmp_path: Path
) -> None:
    arguments = ("create", "admin", "--scope=admin", "--output", tmp_path / "key")
    ok(run(*arguments, "--if-none"))
    before = (tmp_path / "key").read_text()
    ok(run("revoke", "admin"))
    refused(run(*arguments), "exists already")
    assert (tmp_path / "key").read_text() == before
    # Else a deployment whose first key was revoked could not be started again.
    assert "was revoked or has expired" in run(*arguments, "--if-none").stderr
    (good,) = [row for row in service.every(database) if row.revoked_at is None]
    assert tokens.matches((tmp_path / "key").read_text().strip(), good.digest)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


# Dies as the row is to be committed: the key is on the disk, and not in the database.
_DIES = """
import os, signal, sys
from sqlalchemy import Engine, event
from app.cli import main
event.listen(Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
main()
"""


@ONE_KIND_AT_FIRST
def test_what_a_crash_left_in_the_file_becomes_the_key(
    run: Run, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    arguments = ["create", "admin", "--scope=admin", "--output", str(file)]
    died = subprocess.run([sys.executable, "-c", _DIES, "keys", *arguments], check=False)
    assert died.returncode == -signal.SIGKILL
    left = file.read_text()
    assert service.every(database) == []
    refused(run(*arguments), "exists already")
    ok(run(*arguments, "--if-none"))
    (row,) = service.every(database)
    assert tokens.matches(left.strip(), row.digest)
    assert file.read_text() == left


@ONE_KIND_AT_FIRST
def test_a_commit_that_fails_costs_no_key(run: Run, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "key"

    def fail(_connection: Connection) -> None:
        raise RuntimeError("the connection is lost, and the answer with it")

    wanted = KeySpec(name="admin", scopes=frozenset({"admin"}))
    event.listen(database.engine, "commit", fail)
    try:
        with pytest.raises(RuntimeError):
            keys._create(database, wanted, if_none=False, output=file)
    finally:
        event.remove(database.engine, "commit", fail)
    # Whether it was committed or not, the next run makes the key in the file the one that counts.
    ok(run("create", "admin", "--scope=admin", "--output", file, "--if-none"))
    (row,) = service.every(database)
    assert tokens.matches(file.read_text().strip(), row.digest)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_without_tables_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCRUE_DATABASE", f"sqlite:///{tmp_path}/empty.db")
    for arguments in (("list",), ("create", "ci", "--scope=train"), ("revoke", "ci")):
        refused(run(*arguments), "accrue migrate")


@ONE_KIND_AT_FIRST
def test_a_password_file_that_cannot_be_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "accrue_database_password").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("ACCRUE_SECRETS_DIR", str(tmp_path))
    refused(run("list"), "database_password")


@ONE_KIND_AT_FIRST
def test_a_password_in_the_query_of_a_url_is_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://accrue@127.0.0.1:1/accrue?password=opensesame"
    monkeypatch.setenv("ACCRUE_DATABASE", url)
    result = run("list")
    refused(result, "127.0.0.1:1/accrue")
    assert "opensesame" not in str(result.exception)


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_key_that_cannot_be_shown_is_not_made(
    database: Database, database_url: str, unbuffered: str
) -> None:
    command = [sys.executable, "-P", "-m", "app.cli", "keys", "create", "ci", "--scope", "train"]
    with Path("/dev/full").open("w") as full:
        environment = os.environ | {"ACCRUE_DATABASE": database_url, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, check=False, env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "was not created: No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.every(database) == []
