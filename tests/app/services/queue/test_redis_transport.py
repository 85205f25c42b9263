"""A worker's prefetch window when Redis becomes unreachable."""

import logging
from pathlib import Path
from typing import Any

from kombu import Connection, Queue

from app.services.queue import broker
from app.settings import Settings
from tests.servers import OwnRedis


def test_a_message_that_could_not_be_acknowledged_leaves_room_for_the_next(
    own_redis: OwnRedis, tmp_path: Path
) -> None:
    celery = broker.make_celery(Settings(data_dir=tmp_path, broker=own_redis.url))
    got: list[Any] = []
    with celery.connection_for_read() as connection:
        queue = Queue("default")
        producer = connection.Producer()
        for number in range(2):
            producer.publish(number, routing_key="default", exchange="", declare=[queue])
        with connection.Consumer([queue], prefetch_count=1, callbacks=[lambda _, m: got.append(m)]):
            connection.drain_events(timeout=10)
            channel = got[0].channel
            assert not channel.qos.can_consume()
            own_redis.stop()
            got[0].ack_log_error(logging.getLogger("test"), connection.connection_errors)
            assert channel.qos.can_consume()
            own_redis.start()


def test_with_tls_the_transport_is_the_same(tmp_path: Path) -> None:
    url = "rediss://broker:6379/0?ssl_cert_reqs=required"
    celery = broker.make_celery(Settings(data_dir=tmp_path, broker=url))
    connection: Connection = celery.connection_for_write()
    assert connection.transport_cls == "app.services.queue.redis_transport:Transport"
    assert connection.ssl
