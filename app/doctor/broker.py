"""Checks whether the broker answers, and stores its messages durably."""

from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.folders import check_folder
from app.services.queue.messages import BrokerUnavailableError, Messages

_SECONDS = 3
_OLDEST = (6, 2)
_LOST = (
    "No job is lost with a message, since messages are sent again, but jobs then wait half a "
    "minute or longer."
)


def check(context: CheckContext) -> Iterator[Finding]:
    """Check the broker of the settings."""
    say, settings = Say("broker"), context.settings
    if settings.broker_url.startswith("filesystem:"):
        yield from check_folder(say, settings.queue_dir, "ACCRUE_DATA_DIR")
    elif settings.broker_url.startswith(("redis:", "rediss:", "unix:")):
        yield from _redis(say, settings.broker_url)
    else:
        messages = Messages(settings)
        try:
            messages.check()
            yield say.ok("It answers")
        except BrokerUnavailableError as error:
            yield say.problem(f"It does not answer: {error}", "Start it, or correct ACCRUE_BROKER.")
        finally:
            messages.close()


def _redis(say: Say, url: str) -> Iterator[Finding]:
    try:
        with Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS) as redis:
            yield from _server(say, redis)
    except (RedisError, OSError, ValueError) as error:
        yield say.problem(
            f"Redis does not answer: {error}",
            "Start it, or correct ACCRUE_BROKER and ACCRUE_BROKER_PASSWORD.",
        )


def _server(say: Say, redis: "Redis") -> Iterator[Finding]:
    known: dict[str, Any] = redis.info()
    version = str(known["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        yield say.warning(
            f"Redis {version} is older than any that is tested", f"Install {oldest} or newer."
        )
    else:
        yield say.ok(f"Redis {version} answers")
    if not known["aof_enabled"]:
        yield say.warning(
            "Redis loses its messages when it stops (appendonly no)",
            f"Set `appendonly yes`. {_LOST}",
        )
    elif known["aof_last_write_status"] != "ok":
        yield say.problem(
            "Redis cannot write its append-only file, and refuses messages",
            "Free space on its disk; its log says more.",
        )
    if known.get("rdb_last_bgsave_status") != "ok":
        yield say.warning(
            "The last snapshot of Redis failed",
            "Free space on its disk; with stop-writes-on-bgsave-error it refuses messages.",
        )
    policy = known.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        yield say.warning(
            f"Redis drops messages when its memory is full (maxmemory-policy {policy})",
            f"Set `maxmemory-policy noeviction`. {_LOST}",
        )
