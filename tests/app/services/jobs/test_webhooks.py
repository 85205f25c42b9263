"""Webhooks: what the end of a job records, and its delivery to a real receiver."""

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db.engine import Database
from app.db.repositories import deliveries as delivery_rows
from app.db.repositories.deliveries import ClaimedDelivery
from app.db.tables import Job, JobWebhook, WebhookDelivery
from app.services.classifiers import classifiers
from app.services.jobs import jobs, webhook_sender, webhooks
from app.services.jobs.views import JobView
from app.services.jobs.webhook_sender import DELAYS
from app.services.jobs.webhooks import DeliveryView
from app.services.queue.dispatcher import Dispatcher
from app.settings import Settings
from tests.app.receiver import Receiver, sending, wait_until
from tests.app.services.steps.test_learning import finish
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.blocks import snippets
from tests.docs.commands import keys
from tests.worker.harness import WORKSPACE, Service, nothing
from worker.lease import Lease
from worker.protocol import Failure

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    service = Service(database, settings)
    service.classifier()
    return service


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def queue(service: Service, url: str = "https://example.org/hook", name: str = "toy") -> str:
    """Queue a job with a webhook whose URL is not checked: that has tests of its own."""
    job_id = service.learn(service.upload("a", "b", count=4), name)
    with service.db.transaction() as session:
        session.add(JobWebhook(job_id=job_id, url=url, secret=SECRET))
    return job_id


def claim(service: Service, job_id: str) -> Lease:
    lease = Lease.claim(service.db, service.settings, job_id, "wrk_1")
    assert lease is not None
    return lease


def deliveries(service: Service, job_id: str) -> list[DeliveryView]:
    return webhooks.list_deliveries(service.db, WORKSPACE, job_id)


def payloads(service: Service) -> list[dict[str, Any]]:
    with service.db.reading() as session:
        query = select(WebhookDelivery.payload).order_by(WebhookDelivery.id)
        return [json.loads(payload) for payload in session.scalars(query)]


def make_due(service: Service) -> None:
    """Make all pending deliveries due."""
    with service.db.transaction() as session:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.state == "pending")
            .values(next_at=service.db.now(session))
        )


def settled(service: Service, job_id: str) -> Callable[[], bool]:
    return lambda: all(each.state != "pending" for each in deliveries(service, job_id))


def snippet() -> Callable[..., None]:
    """The code in docs/api.md that users copy."""
    found: dict[str, Any] = {}
    exec(*snippets("docs/api.md", "python"), found)
    verify: Callable[..., None] = found["verify"]
    return verify


# -- what the end of a job writes down


def cancel_waiting(service: Service, job_id: str) -> None:
    service.cancel(job_id)
    service.cancel(job_id)  # again changes nothing


def cancel_running(service: Service, job_id: str) -> None:
    lease = claim(service, job_id)
    service.cancel(job_id)
    assert payloads(service) == []
    lease.cancelled()
    lease.cancelled()  # the attempt holds nothing any more


def fail(service: Service, job_id: str) -> None:
    lease = claim(service, job_id)
    lease.fail(Failure("worker-lost", "Killed.", again=True, retryable=True))
    assert payloads(service) == []  # it is tried again, and at once
    lease = claim(service, job_id)
    lease.fail(Failure("timed-out", "Too long.", again=False, retryable=True))


def succeed(service: Service, job_id: str) -> None:
    lease = claim(service, job_id)
    finish(service, lease, lease.plan())  # type: ignore[arg-type]
    lease.cancelled()


def lose(service: Service, job_id: str) -> None:
    dispatcher = Dispatcher(service.db, service.settings)
    for _ in range(service.settings.max_failures):
        assert payloads(service) == []
        claim(service, job_id)
        expire(service, job_id)
        dispatcher.tick()
    dispatcher.tick()


def lose_cancelling(service: Service, job_id: str) -> None:
    claim(service, job_id)
    service.cancel(job_id)
    expire(service, job_id)
    Dispatcher(service.db, service.settings).tick()


def expire(service: Service, job_id: str) -> None:
    with service.db.transaction() as session:
        past = service.db.now(session) - timedelta(seconds=1)
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=past))


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (cancel_waiting, "cancelled"),
        (cancel_running, "cancelled"),
        (fail, "failed"),
        (succeed, "succeeded"),
        (lose, "failed"),
        (lose_cancelling, "cancelled"),
    ],
)
def test_each_end_is_told_once_with_the_job_as_it_is_shown(
    service: Service, end: Callable[[Service, str], None], state: str
) -> None:
    job_id = queue(service)
    end(service, job_id)
    (payload,) = payloads(service)
    job = service.job(job_id)
    assert payload["type"] == f"job.{state}"
    shown = json.loads(job.model_dump_json(include=set(JobView.model_fields)))
    assert payload["data"] == shown
    assert payload["data"]["state"] == state
    assert payload["data"]["version"] == (1 if state == "succeeded" else None)
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state, delivery.attempts, delivery.type) == ("pending", 0, payload["type"])


@ONE_KIND_AT_FIRST
def test_a_job_tried_again_tells_its_second_end_as_well(service: Service) -> None:
    job_id = queue(service)
    service.cancel(job_id)
    jobs.retry(service.db, WORKSPACE, job_id, on_created=nothing)
    assert len(payloads(service)) == 1
    succeed(service, job_id)
    assert [each.type for each in deliveries(service, job_id)] == ["job.cancelled", "job.succeeded"]


@ONE_KIND_AT_FIRST
def test_without_a_webhook_nothing_is_told(service: Service) -> None:
    service.cancel(service.learn(service.upload("a", count=2)))
    assert payloads(service) == []


# -- how it is sent


def test_a_delivery_arrives_signed(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    job_id = queue(service, receiver.url)
    service.cancel(job_id)  # and nobody is there to send it yet
    with sending(settings):
        wait_until(settled(service, job_id))
    (request,) = receiver.received
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 1, 204)
    assert delivery.delivered_at is not None and delivery.next_at is None
    assert request.headers["webhook-id"] == delivery.id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert json.loads(request.body) == payloads(service)[0]
    (shown,) = snippets("docs/api.md", "http")
    headers, _, body = shown.partition("\n\n")
    assert {line.partition(":")[0] for line in headers.splitlines()} <= set(request.headers)
    assert keys(body) <= keys(request.body.decode())
    verify = snippet()
    verify(SECRET, request.headers, request.body)
    with pytest.raises(ValueError, match="not signed"):
        verify(SECRET, request.headers, request.body.replace(b"cancelled", b"succeeded"))
    with pytest.raises(ValueError, match="not signed"):
        verify("whsec_" + base64.b64encode(bytes(32)).decode(), request.headers, request.body)
    request.headers.replace_header("webhook-timestamp", str(int(time.time()) - 3600))
    with pytest.raises(ValueError, match="too old"):
        verify(SECRET, request.headers, request.body)
    with service.db.reading() as session:  # not needed any more
        assert session.scalar(select(WebhookDelivery.secret)) is None


def test_a_signature_is_that_of_the_standard() -> None:
    # The example of the Standard Webhooks specification's libraries.
    headers = webhooks.signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_delivery_is_tried_again_until_it_is_taken(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    port = receiver.port
    receiver.answers = [500, 302]
    job_id = queue(service, receiver.url)
    service.cancel(job_id)

    def tried(error: str) -> DeliveryView:
        """Return the delivery once its last try has ended so."""
        wait_until(lambda: error in str(deliveries(service, job_id)[0].last_error))
        return deliveries(service, job_id)[0]

    with sending(settings):
        first = tried("the answer was 500")
        assert (first.state, first.attempts, first.last_status) == ("pending", 1, 500)
        assert first.next_at is not None
        assert timedelta(seconds=3) < first.next_at - first.created_at < timedelta(seconds=30)
        make_due(service)
        # Its target is this very receiver.
        assert tried("the answer was 302").last_status == 302
        assert len(receiver.received) == 2
        receiver.close()
        make_due(service)
        assert tried("ConnectError").last_status is None
        again = Receiver(port)
        make_due(service)
        wait_until(settled(service, job_id))
        again.close()
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("delivered", 4, None)
    assert len({each.headers["webhook-id"] for each in receiver.received + again.received}) == 1
    assert len({each.body for each in receiver.received + again.received}) == 1
    for each in again.received:
        snippet()(SECRET, each.headers, each.body)


@ONE_KIND_AT_FIRST
def test_gone_ends_it_and_so_does_the_last_try(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    receiver.answers = [410]
    job_id = queue(service, receiver.url)
    service.cancel(job_id)
    with sending(settings):
        wait_until(settled(service, job_id))
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("failed", 1, 410)

    receiver.answers = [503] * 9
    patient = queue(service, receiver.url)
    service.cancel(patient)
    with service.db.transaction() as session:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.job_id == patient)
            .values(attempts=len(DELAYS))
        )
    with sending(settings):
        wait_until(settled(service, patient))
    (delivery,) = deliveries(service, patient)
    assert (delivery.state, delivery.attempts) == ("failed", len(DELAYS) + 1)
    assert delivery.next_at is None


@ONE_KIND_AT_FIRST
def test_a_receiver_that_never_answers_is_given_up(
    service: Service, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "_ATTEMPT_SECONDS", 0.3)
    receiver.hold.clear()
    job_id = queue(service, receiver.url)
    service.cancel(job_id)
    with sending(settings):
        wait_until(lambda: deliveries(service, job_id)[0].last_error)
    assert deliveries(service, job_id)[0].last_error == "no answer within 0.3 seconds"


def test_several_senders_send_each_delivery_once(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    upload = service.upload("a", count=2)
    made = []
    for number in range(20):
        made.append(service.learn(upload, service.classifier(f"c{number}")))
        with service.db.transaction() as session:
            session.add(JobWebhook(job_id=made[-1], url=receiver.url, secret=SECRET))
        service.cancel(made[-1])
    with sending(settings), sending(settings), sending(settings):
        wait_until(lambda: all(settled(service, job_id)() for job_id in made))
    sent = [request.headers["webhook-id"] for request in receiver.received]
    assert sorted(sent) == sorted(deliveries(service, job_id)[0].id for job_id in made)


def test_who_dies_while_sending_leaves_the_delivery_to_others(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    job_id = queue(service, receiver.url)
    service.cancel(job_id)

    def take(lasts: timedelta) -> list[ClaimedDelivery]:
        with service.db.transaction() as session:
            now = service.db.now(session)
            return delivery_rows.claim(session, now=now, lasts=lasts, limit=5)

    (lost,) = take(timedelta(0))
    assert SECRET not in repr(lost)
    (held,) = take(timedelta(seconds=60))
    assert (lost.attempt, held.attempt) == (1, 2)
    assert take(timedelta(seconds=60)) == []
    with service.db.transaction() as session:
        # It was not dead, only slow: what it found out does not count any more.
        assert not delivery_rows.end(session, lost, {"last_status": 500}, state="failed")
    make_due(service)  # the second one died as well, and its minute is over
    with sending(settings):
        wait_until(settled(service, job_id))
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state, delivery.attempts) == ("delivered", 3)


@ONE_KIND_AT_FIRST
def test_a_deleted_classifier_takes_only_what_is_settled(
    service: Service, receiver: Receiver, settings: Settings
) -> None:
    receiver.answers = [200, 500]
    first = queue(service, receiver.url)
    service.cancel(first)
    with sending(settings):
        wait_until(settled(service, first))
        service.cancel(queue(service, receiver.url))
        wait_until(lambda: len(receiver.received) == 2)
    classifiers.delete(service.db, WORKSPACE, "toy")
    assert len(payloads(service)) == 1
    make_due(service)
    with sending(settings):
        wait_until(lambda: len(receiver.received) == 3)
        wait_until(lambda: not payloads(service))
    snippet()(SECRET, receiver.received[2].headers, receiver.received[2].body)


# -- where it is sent


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_nothing_is_sent_to_private_addresses(
    service: Service, receiver: Receiver, settings: Settings, host: str
) -> None:
    job_id = queue(service, f"https://{host}:{receiver.port}/")
    service.cancel(job_id)
    with sending(settings, webhook_private=False):
        wait_until(lambda: deliveries(service, job_id)[0].last_error)
    (delivery,) = deliveries(service, job_id)
    assert delivery.last_error == "the URL leads to an address that is not public"
    assert receiver.received == []


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(("name", "taken"), [("localhost", True), ("other.example", False)])
def test_the_certificate_is_that_of_the_name(
    service: Service,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    taken: bool,
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    receiver = Receiver(tls=tls)
    job_id = queue(service, f"https://localhost:{receiver.port}/")
    service.cancel(job_id)
    with sending(settings):
        wait_until(lambda: deliveries(service, job_id)[0].last_error or settled(service, job_id)())
    receiver.close()
    (delivery,) = deliveries(service, job_id)
    assert (delivery.state == "delivered") is taken
    assert len(receiver.received) == taken
    if not taken:
        assert "certificate verify failed" in str(delivery.last_error)
