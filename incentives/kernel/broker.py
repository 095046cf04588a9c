"""The broker that Celery's ticks go by. Here is only whether it answers; nobody who serves needs it, or Celery."""

import socket
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 1.0
_PORTS = {"amqp": 5672, "amqps": 5671}


def answers(url: str) -> bool:
    """Return whether the broker at an address answers within a second; of RabbitMQ, whether it takes a connection."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        return _is_there(url)
    place = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
    try:
        socket.create_connection(place, timeout=_PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True


def _is_there(url: str) -> bool:
    # Slow to import, and not every installation has a Redis.
    from redis import Redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    within = {"socket_timeout": _PATIENCE_SECONDS, "socket_connect_timeout": _PATIENCE_SECONDS}
    try:
        with Redis.from_url(url, retry=Retry(NoBackoff(), 0), **within) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False
