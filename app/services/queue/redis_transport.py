"""Celery's Redis transport, where a worker goes on hearing after Redis was away.

The stock transport keeps a message in the prefetch window if its acknowledgement fails. A worker
that takes one message at a time then waits for room in the window for ever: it does not even look
at its connection, and so does not make a new one. Here the message leaves the window either way.
Redis may deliver it once more, which does no harm: it is a hint, and expires.
"""

from kombu.transport import redis
from kombu.transport.virtual import base


class QoS(redis.QoS):
    """The prefetch window of one channel."""

    def ack(self, delivery_tag: str) -> None:
        """Take a message out of the window, and tell Redis. Raises what the client raises."""
        try:
            super().ack(delivery_tag)
        except Exception:
            base.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """The stock channel with that window."""

    QoS = QoS


class Transport(redis.Transport):
    """The stock transport over these channels."""

    Channel = Channel
