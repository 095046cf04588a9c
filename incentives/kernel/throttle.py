"""Throttles: how often somebody may try, counted in memory, or in Redis for all processes together.

Redis going away is no reason to refuse anybody, and none to let anybody try without end: each process then
counts for itself, and asks Redis again a few seconds later.
"""

import hashlib
import ipaddress
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from incentives.kernel.errors import TooManyRequests

log = logging.getLogger("incentives.throttle")

Answer = TypeVar("Answer")

_MINUTE = 60
_DAY = 24 * 60 * _MINUTE
_IPV6_PREFIX_BITS = 64
_SOCKET_TIMEOUT_SECONDS = 0.25
_AWAY_SECONDS = 5.0
_KEYS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries in any stretch of so many seconds."""

    tries: int
    window_seconds: int


# Only tries that failed are counted where codes and links are tried, and only those are refused: a till that scans
# good codes is never held up, whatever else is scanned there. A network is an address, or an IPv6 prefix.
LIMITS: Mapping[str, Limit] = {
    "sign-in": Limit(tries=5, window_seconds=15 * _MINUTE),  # key: the account, tried from one network
    "sign-in-address": Limit(tries=30, window_seconds=15 * _MINUTE),  # key: the network
    "sign-in-account": Limit(tries=50, window_seconds=15 * _MINUTE),  # key: the account, from anywhere
    "sign-in-known": Limit(tries=1, window_seconds=90 * _DAY),  # remembers where an account has signed in from
    "code-misses": Limit(tries=5, window_seconds=_MINUTE),  # key: the actor
    "code-misses-of-all": Limit(tries=600, window_seconds=_MINUTE),  # key: none; all actors together
    "link-misses": Limit(tries=30, window_seconds=_MINUTE),  # key: the network
    "link-ends": Limit(tries=30, window_seconds=_MINUTE),  # as long as that one takes; nobody is refused for it
    "form-posts": Limit(tries=60, window_seconds=_MINUTE),  # key: the network; guests of one place share one
}
_EVERYBODY = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where somebody stands with a limit: how many tries are left, and when there will be more."""

    name: str
    limit: Limit
    remaining: int
    reset_after_seconds: int


class _Counter(Protocol):
    """Counts tries in a moving window: any stretch of its length is looked at, not only full minutes."""

    shared: bool

    def hit(self, key: str, limit: Limit) -> bool:
        """Count a try, unless that would be one too many."""
        ...

    def window(self, key: str, limit: Limit) -> tuple[float, int]:
        """Return the age in seconds of the oldest try in the window, and how many there are."""
        ...

    def forget(self, key: str, limit: Limit) -> None:
        """Forget all tries of a key."""
        ...

    def answers(self) -> bool:
        """Return whether it can count."""
        ...


class Throttle:
    """The counters of one process, and Redis where there is one."""

    def __init__(
        self,
        redis_url: str = "",
        *,
        limits: Mapping[str, Limit] = LIMITS,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the counters; nothing is connected yet.

        An empty address counts in memory only, by the clock ``seconds``.
        """
        self._limits = limits
        self._seconds = seconds
        self._own = _InMemory(seconds)
        self._shared = _InRedis(redis_url) if redis_url else None
        self._away_until = -math.inf
        self._warned_until = -math.inf

    def check(self, name: str, key: str) -> Standing:
        """Return where a key stands, without counting. Raises ``TooManyRequests`` when no try is left."""
        standing = self.standing(name, key)
        if standing.remaining < 1:
            raise _too_many(standing)
        return standing

    def hit(self, name: str, key: str) -> Standing:
        """Count a try and return where the key stands after it.

        Raises ``TooManyRequests`` when it is one too many.
        """
        limit = self._limits[name]
        counted = self._ask(lambda counter: counter.hit(_digest(name, key), limit))
        standing = self.standing(name, key)
        if not counted:
            raise _too_many(standing)
        return standing

    def miss(self, name: str, key: str) -> Standing:
        """Count a miss for a key and for everybody together (the limit ``<name>-of-all``); return the key's standing.

        Raises ``TooManyRequests``, the same for both limits, when it is one too many. A key that has used up its own
        takes nothing from what all have together.
        """
        standing = self.hit(name, key)
        try:
            self.hit(f"{name}-of-all", _EVERYBODY)
        except TooManyRequests as refusal:
            self._warn_of_all(self._limits[f"{name}-of-all"], name)
            raise _too_many(standing, int(refusal.facts["retry_after_seconds"])) from None
        return standing

    def remember(self, name: str, key: str) -> None:
        """Keep a key in mind for the window of a limit, from now on."""
        self.forget(name, key)
        self.hit(name, key)

    def remembers(self, name: str, key: str) -> bool:
        """Return whether a key is kept in mind."""
        return self.standing(name, key).remaining < 1

    def _warn_of_all(self, limit: Limit, name: str) -> None:
        """Say it once in a window: somebody tries with many actors, and whoever reads the log can stop them."""
        if self._seconds() >= self._warned_until:
            self._warned_until = self._seconds() + limit.window_seconds
            log.warning("%s: all together made more than %s in %s seconds", name, limit.tries, limit.window_seconds)

    def forget(self, name: str, key: str) -> None:
        """Forget what was counted for a key: whoever proved who they are may try again."""
        limit = self._limits[name]
        self._ask(lambda counter: counter.forget(_digest(name, key), limit))

    @property
    def degraded(self) -> bool:
        """Return whether there should be a Redis but this process counts for itself; Redis is asked."""
        return self._shared is not None and not self._ask(lambda counter: counter.shared and counter.answers())

    def standing(self, name: str, key: str) -> Standing:
        """Return where a key stands, without counting and without refusing."""
        limit = self._limits[name]
        age_seconds, count = self._ask(lambda counter: counter.window(_digest(name, key), limit))
        reset_after_seconds = math.ceil(limit.window_seconds - age_seconds)
        return Standing(
            name=name,
            limit=limit,
            remaining=max(0, limit.tries - count),
            reset_after_seconds=min(max(1, reset_after_seconds), limit.window_seconds),
        )

    def close(self) -> None:
        """Let go of Redis. Whoever counts afterwards connects again."""
        if self._shared is not None:
            self._shared.close()

    def _ask(self, question: Callable[[_Counter], Answer]) -> Answer:
        """Ask Redis, or the counters of this process while Redis is away."""
        if self._shared is not None and self._seconds() >= self._away_until:
            try:
                return question(self._shared)
            except self._shared.errors:
                self._away_until = self._seconds() + _AWAY_SECONDS
                log.warning("Redis does not answer: this process counts for itself")
        return question(self._own)


class _InMemory:
    """Counts in this process. The library's memory never lets a key go, and starts threads to do so."""

    shared = False

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._tries: dict[str, deque[float]] = {}

    def hit(self, key: str, limit: Limit) -> bool:
        with self._lock:
            tries = self._recent(key, limit)
            if len(tries) >= limit.tries:
                return False
            tries.append(self._seconds())
            self._tries.pop(key, None)  # So that who tried longest ago comes first.
            self._tries[key] = tries
            if len(self._tries) > _KEYS_MAX:
                del self._tries[next(iter(self._tries))]
        return True

    def window(self, key: str, limit: Limit) -> tuple[float, int]:
        with self._lock:
            tries = self._recent(key, limit)
            return (self._seconds() - tries[0] if tries else 0.0), len(tries)

    def forget(self, key: str, limit: Limit) -> None:  # noqa: ARG002 - every counter is asked alike
        with self._lock:
            self._tries.pop(key, None)

    def answers(self) -> bool:
        return True

    def _recent(self, key: str, limit: Limit) -> deque[float]:
        tries = self._tries.get(key, deque())
        while tries and self._seconds() - tries[0] >= limit.window_seconds:
            tries.popleft()
        return tries


class _InRedis:
    """Counts in Redis, by the scripts of the library ``limits``."""

    shared = True

    def __init__(self, url: str) -> None:
        # Both are slow to import, and not every installation has a Redis.
        from limits.storage import RedisStorage  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        self.errors = (RedisError, OSError)
        # One retry, at once: a connection that a restart of Redis has cut is replaced unnoticed. The client's
        # own default would hold a request for seconds.
        options: dict[str, Any] = {
            "socket_timeout": _SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": _SOCKET_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 1),
        }
        self._storage = RedisStorage(url, key_prefix="incentives:throttle", **options)

    def hit(self, key: str, limit: Limit) -> bool:
        return bool(self._storage.acquire_entry(key, limit.tries, limit.window_seconds))

    def window(self, key: str, limit: Limit) -> tuple[float, int]:
        first_at, count = self._storage.get_moving_window(key, limit.tries, limit.window_seconds)
        return time.time() - first_at, count

    def forget(self, key: str, limit: Limit) -> None:  # noqa: ARG002 - every counter is asked alike
        self._storage.clear(key)

    def answers(self) -> bool:
        return bool(self._storage.get_connection().ping())

    def close(self) -> None:
        client: Any = self._storage.get_connection()
        client.close()


def _digest(name: str, key: str) -> str:
    """Return what stands for a key in Redis: whose account or address it is, is nobody's business there."""
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def network_of(address: str | None) -> str:
    """Return what stands for everybody at an address: itself, or its /64 in IPv6, which one household has whole."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX_BITS), strict=False))


_BLOCK_BITS = {4: 24, 6: 48}


def block_of(address: str | None) -> str | None:
    """Return the network that an address is in, for records that count by it: an IPv4 /24, an IPv6 /48, or None."""
    if not address:
        return None  # as with all that nobody sent: it is asked for each row of a file
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((int(plain), _BLOCK_BITS[plain.version]), strict=False))


def _too_many(standing: Standing, retry_after_seconds: int | None = None) -> TooManyRequests:
    return TooManyRequests(
        f"No more than {standing.limit.tries} tries in {standing.limit.window_seconds} seconds.",
        retry_after_seconds=retry_after_seconds or standing.reset_after_seconds,
        throttle=standing.name,
    )
