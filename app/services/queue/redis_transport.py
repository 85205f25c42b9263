"""Celery's Redis transport, fixed so that a worker receives messages after a failure of Redis.

The stock transport leaves a message in the prefetch window if its acknowledgement fails. A worker
that takes one message at a time then waits for ever for room in the window: it neither reads its
connection nor makes a new one. Here the message leaves the window in any case. Redis may deliver
it once more, which is harmless: it is a hint, and expires.
"""

from kombu.transport import redis
from kombu.transport.virtual import base


class QoS(redis.QoS):
    """The prefetch window of one channel."""

    def ack(self, delivery_tag: str) -> None:
        """Take a message out of the window and acknowledge it. Raises what the client raises."""
        try:
            super().ack(delivery_tag)
        except Exception:
            base.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """The stock channel with that window."""

    QoS = QoS


class Transport(redis.Transport):
    """The stock transport with these channels."""

    Channel = Channel
