"""What Redis does with what it is given: whether it may evict it, and keeps it over a restart.

A Redis with `maxmemory` and another policy than `noeviction` throws journals away without a word
when it is full. It is asked at start and once a minute, since an operator may change it meanwhile,
and a failover may lead to a server that was set up otherwise.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

import structlog

from wd_server.errors import StoreAway, StoreUnavailable
from wd_server.redis.link import RedisLink

Persistence = Literal["aof", "rdb", "none", "unknown"]

# Seconds between two looks.
LOOK_SECONDS: Final = 60.0
NOEVICTION: Final = "noeviction"
UNKNOWN: Final = "unknown"
# From the one that keeps least.
_ORDER: Final[tuple[Persistence, ...]] = ("none", "unknown", "rdb", "aof")

_log = structlog.get_logger("redis")


class Keeping(NamedTuple):
    """`policy` is the `maxmemory-policy`; `may_evict`: a `maxmemory` is set, too."""

    policy: str
    may_evict: bool
    persistence: Persistence


def keeping_of(info: str, save: str | None) -> Keeping:
    """One server's, by what it answers to INFO and by its setting `save`, None if it doesn't tell
    that. Older servers and proxies leave out fields of INFO."""
    lines = (line.partition(":") for line in info.splitlines())
    fields = {name: value for name, _, value in lines}
    policy = fields.get("maxmemory_policy", UNKNOWN)
    evicts = policy not in (NOEVICTION, UNKNOWN) and fields.get("maxmemory", "0") != "0"
    persistence: Persistence = "unknown" if save is None else "rdb" if save else "none"
    if fields.get("aof_enabled") == "1":
        persistence = "aof"
    return Keeping(policy, evicts, persistence)


def least(each: Sequence[Keeping]) -> Keeping:
    """What several servers do together; there is at least one."""
    worst = max(each, key=lambda one: (one.may_evict, one.policy != NOEVICTION))
    return worst._replace(persistence=min((one.persistence for one in each), key=_ORDER.index))


class KeepingWatch:
    """`latest` is None until Redis was asked."""

    def __init__(self, link: RedisLink) -> None:
        self.latest: Keeping | None = None
        self._link = link

    async def look(self) -> None:
        """Raises StoreAway."""
        keeping = least([await self._ask(slot) for slot in self._link.shards.slots_of_primaries()])
        if keeping != self.latest:
            _say(keeping)
        self.latest = keeping

    async def look_again(self) -> None:
        """`look`, or leave it for the next time."""
        with suppress(StoreAway):
            await self.look()

    async def _ask(self, slot: int) -> Keeping:
        info = await self._allowed(slot, "INFO")
        save = await self._allowed(slot, "CONFIG", "GET", "save")
        return keeping_of(
            "" if info is None else info.decode(), None if not save else save[1].decode()
        )

    async def _allowed(self, slot: int, name: str, *arguments: str) -> Any:
        """The answer; None where this login may not ask that."""
        try:
            return await self._link.call_at(slot, name, *arguments)
        except StoreAway:
            raise
        except StoreUnavailable:
            return None


def _say(keeping: Keeping) -> None:
    if keeping.may_evict:
        _log.error("redis may evict journals", policy=keeping.policy)
    elif keeping.policy not in (NOEVICTION, UNKNOWN):
        _log.warning("redis would evict journals with a maxmemory", policy=keeping.policy)
    if keeping.persistence == "none":
        _log.warning("redis keeps nothing over a restart")
