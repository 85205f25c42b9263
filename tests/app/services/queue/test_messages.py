"""Messages to workers, over the filesystem broker and without a broker."""

import errno
import json
import os
import socket
import time
from pathlib import Path

import pytest

from app.db.engine import Database
from app.services.queue import broker
from app.services.queue.dispatcher import Dispatcher
from app.services.queue.messages import BrokerUnavailableError, Messages
from app.settings import Settings
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import Service

pytestmark = ONE_KIND_AT_FIRST


def test_a_message_is_a_job_and_nothing_else(settings: Settings) -> None:
    messages = Messages(settings)
    messages.check()
    messages.send("job_1", "any")
    messages.send("job_2", "gpu")
    messages.close()
    files = sorted(settings.queue_dir.glob("*.msg"))
    assert [file.name.split(".")[1] for file in files] == ["default", "train"]
    headers = [json.loads(file.read_text())["headers"] for file in files]
    assert {header["task"] for header in headers} == {"accrue.run_job"}
    assert all(header["expires"] for header in headers)
    assert [header["argsrepr"] for header in headers] == ["['job_1']", "['job_2']"]


def test_messages_are_taken_once_and_in_order(settings: Settings) -> None:
    celery = broker.make_celery(settings)
    messages = Messages(settings)
    for number in range(3):
        messages.send(f"job_{number}", "any")
    # Half a message of a writer at work is nobody's.
    (settings.queue_dir / "0_half.writing").write_text("{")
    with celery.connection_for_read() as connection:
        queue = connection.SimpleQueue(broker.DEFAULT_QUEUE)
        taken = [queue.get(timeout=5) for _ in range(3)]
        assert [message.payload[0] for message in taken] == [["job_0"], ["job_1"], ["job_2"]]
        for message in taken:
            message.ack()
        with pytest.raises(queue.Empty):
            queue.get(block=False)
    assert not list(settings.queue_dir.glob("*.msg*"))


def test_a_damaged_message_holds_up_no_other(settings: Settings) -> None:
    messages = Messages(settings)
    (settings.queue_dir / "0.default.msg").touch()
    messages.send("job_1", "any")
    with broker.make_celery(settings).connection_for_read() as connection:
        queue = connection.SimpleQueue(broker.DEFAULT_QUEUE)
        message = queue.get(timeout=5)
        assert message.payload[0] == ["job_1"]
        message.ack()
    assert not list(settings.queue_dir.glob("*.msg*"))


def test_what_nobody_reads_any_more_is_removed_at_a_start(
    database: Database, settings: Settings
) -> None:
    messages = Messages(settings)
    for _ in range(2):
        messages.send("job_1", "gpu")
    half = settings.queue_dir / "0_half.writing"
    half.write_text("{")
    young, old = sorted(settings.queue_dir.glob("*.msg"))
    expired = time.time() - broker.MESSAGE_EXPIRES.total_seconds() - 1
    for path in (half, old):
        os.utime(path, (expired, expired))
    dispatcher = Dispatcher(database, settings)
    dispatcher.start()
    dispatcher.stop()
    assert [path for path in settings.queue_dir.iterdir() if path.is_file()] == [young]


def test_a_message_that_cannot_be_written_leaves_nothing(settings: Settings) -> None:
    messages = Messages(settings)
    messages.check()

    def full(_path: Path, _text: str) -> int:
        _path.touch()
        raise OSError(errno.ENOSPC, "no space")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(BrokerUnavailableError):
            messages.send("job_1", "any")
    assert not list(settings.queue_dir.glob("*.*"))


def test_a_dead_broker_loses_nothing(service_without_broker: Service) -> None:
    service = service_without_broker
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    Dispatcher(service.db, service.settings).tick()
    assert service.job(job_id).state == "queued"
    with pytest.raises(BrokerUnavailableError):
        Messages(service.settings).check()
    healed = service.settings.model_copy(update={"broker": None})
    Dispatcher(service.db, healed).tick()
    assert len(list(healed.queue_dir.glob("*.msg"))) == 1


@pytest.fixture
def service_without_broker(database: Database, settings: Settings) -> Service:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return Service(database, settings.model_copy(update={"broker": f"redis://127.0.0.1:{port}/0"}))
