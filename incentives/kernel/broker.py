"""The broker that Celery's ticks go by. Here is only whether it answers; nobody who serves needs it, or Celery."""

import socket
from urllib.parse import urlsplit

_PATIENCE_SECONDS = 0.5  # Whoever asks whether a server is ready mostly waits no longer than a second.
_PORTS = {"amqp": 5672, "amqps": 5671}
_NO_ADDRESS = (ValueError, TypeError)
"""What is raised for a host, a port or an option that cannot be: nobody answers there, and nobody who serves minds."""


def answers(url: str) -> bool:
    """Return whether the broker at an address answers soon; of RabbitMQ, whether it takes a connection."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        return _is_there(url)
    try:
        place = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
        socket.create_connection(place, timeout=_PATIENCE_SECONDS).close()
    except (OSError, *_NO_ADDRESS):
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
    except (RedisError, OSError, *_NO_ADDRESS):
        return False
