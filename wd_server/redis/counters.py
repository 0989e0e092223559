"""Requests, wallets and open streams of each subject over all nodes, counted in Redis.

Of each subject's streams Redis has one number a node, under the node's name in the membership. The
number of a dead node counts no more. A node only ever writes its own numbers, and writes them
whole, so a call with an unknown outcome is mended by the next.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final

import structlog

from wd_server.access.windows import SUBJECTS_MAX, WINDOW_SECONDS, Counted, Usage, Window, usage
from wd_server.errors import StoreUnavailable
from wd_server.redis.link import RedisLink, Script
from wd_server.redis.membership import RedisMembership

# A subject's numbers are forgotten after this without a change: longer than streams last.
KEPT_SECONDS = 30 * 86_400
# Opening streams that wait for a subject's turn; more are refused.
WAITING_MAX = 20_000

# ARGV: unix seconds ('': Redis' own time), seconds of a window, the limit, seconds to keep. It is
# the arithmetic of Window.estimate. A minute that is more than one ahead comes from a clock that
# was wrong, and counts for nothing. A second run counts a request twice, which is better than to
# refuse it.
_SPEND: Final = Script("""
local stored = redis.call('HMGET', KEYS[1], 'minute', 'current', 'previous')
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[3])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
end
local minute = math.floor(now / ARGV[2])
local elapsed = now / ARGV[2] - minute
local current, previous = 0, 0
if stored[1] then
    local was = tonumber(stored[1])
    if was > minute + 1 then
        was = 0
    elseif was >= minute then
        if was > minute then elapsed = 0 end
        minute, current, previous = was, tonumber(stored[2]), tonumber(stored[3])
    elseif was == minute - 1 then
        previous = tonumber(stored[2])
    end
end
local allowed = 0
if previous * (1 - elapsed) + current + 1 <= limit then
    allowed, current = 1, current + 1
    redis.call('HSET', KEYS[1], 'minute', minute, 'current', current, 'previous', previous)
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return {allowed, minute, current, previous, string.format('%.6f', now)}
""")
# ARGV: node, streams that it has, streams that it wants, the limit, seconds to keep, the time of
# the last heartbeat, and who lived then. Who was born later lives, too. Returns how many it gets.
_STREAMS: Final = Script("""
local held, wanted, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local heard, alive, others = tonumber(ARGV[6]), {}, 0
for i = 7, #ARGV do alive[ARGV[i]] = true end
local counts = redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
    local node = counts[i]
    if node ~= ARGV[1] then
        if alive[node] or tonumber(string.match(node, '^%d+')) >= heard then
            others = others + tonumber(counts[i + 1])
        else
            redis.call('HDEL', KEYS[1], node)
        end
    end
end
local granted = math.max(math.min(wanted, limit - others - held), 0)
if held + granted > 0 then
    redis.call('HSET', KEYS[1], ARGV[1], held + granted)
    redis.call('EXPIRE', KEYS[1], ARGV[5])
else
    redis.call('HDEL', KEYS[1], ARGV[1])
end
return granted
""")

_log = structlog.get_logger("access")


@dataclass(slots=True)
class _Streams:
    """One subject's on this node. `differs`: Redis has another number."""

    held: int = 0
    limit: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)
    differs: bool = False
    busy: bool = False


class RedisCounters:
    """The link and the membership have to be open as long as this is used. `clock` gives unix
    seconds; None: Redis' own, which is the same for all nodes."""

    def __init__(
        self,
        link: RedisLink,
        membership: RedisMembership,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._link = link
        self._membership = membership
        self._clock = clock
        self._streams: dict[str, _Streams] = {}
        self._waiting = 0
        self._failing = False
        self._tasks: set[asyncio.Task[None]] = set()
        membership.tell_of_list(self)

    async def close(self) -> None:
        """What still counts ends when the membership does. Closing twice is no error."""
        await self._link.tasks.end(*self._tasks)

    # Requests and wallets

    async def spend(self, who: str, limit: int, what: Counted = "requests") -> Usage:
        told = "" if self._clock is None else repr(self._clock())
        allowed, minute, current, previous, now = await self._link.run(
            _SPEND, [_key(who, what)], (told, WINDOW_SECONDS, limit, 2 * WINDOW_SECONDS)
        )
        window = Window(minute, current, previous)
        return usage(window, limit, float(now), allowed=bool(allowed))

    # Streams

    async def enter(self, who: str, limit: int) -> bool:
        is_new = who not in self._streams
        if self._waiting >= WAITING_MAX or (is_new and len(self._streams) >= SUBJECTS_MAX):
            raise StoreUnavailable("Too many streams are being opened now. Try again.")
        streams = self._streams.setdefault(who, _Streams())
        streams.limit = limit
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        streams.waiting.append(granted)
        self._waiting += 1
        self._start(who, streams)
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.result():
                self.leave(who)  # it was granted just now
            raise
        finally:
            self._waiting -= 1

    def leave(self, who: str) -> None:
        streams = self._streams.get(who)
        if streams is not None:
            streams.held -= 1
            streams.differs = True
            self._start(who, streams)

    def _start(self, who: str, streams: _Streams) -> None:
        """One call at a time for a subject: whoever comes meanwhile goes into the next together."""
        if not streams.busy:
            streams.busy = True
            give_up = partial(self._give_up, streams, _uncounted())
            task = self._link.tasks.spawn("stream_counts", self._agree(who), on_failure=give_up)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _give_up(self, streams: _Streams, error: StoreUnavailable) -> None:
        streams.differs = True  # the next heartbeat, or the next stream, mends it
        while streams.waiting:
            _settle(streams.waiting.popleft(), error)

    async def _agree(self, who: str) -> None:
        streams = self._streams[who]
        streams.busy = True
        try:
            while streams.waiting or streams.differs:
                await self._agree_once(who, streams)
        except StoreUnavailable as error:
            self._give_up(streams, error)
        finally:
            streams.busy = False
        if not streams.held and not streams.differs:
            del self._streams[who]

    async def _agree_once(self, who: str, streams: _Streams) -> None:
        asking = [future for future in streams.waiting if not future.cancelled()]
        streams.waiting.clear()
        streams.differs = False
        try:
            granted: int = await self._link.run(
                _STREAMS,
                [_key(who, "streams")],
                (
                    self._membership.name,
                    streams.held,
                    len(asking),
                    streams.limit,
                    KEPT_SECONDS,
                    self._membership.heard,
                    *self._membership.living,
                ),
            )
        except BaseException:
            streams.waiting.extendleft(reversed(asking))
            raise
        for future in asking:
            if future.cancelled():  # gave up meanwhile: what was granted for it goes back
                streams.differs = True
            elif granted:
                granted -= 1
                streams.held += 1
                future.set_result(True)
            else:
                future.set_result(False)

    # Heartbeats

    async def on_heartbeat(self, *, unbroken: bool) -> None:
        self._failing = False
        for who, streams in self._streams.items():
            streams.differs = streams.differs or not unbroken
            if streams.differs:
                self._start(who, streams)

    def on_silence(self, error: StoreUnavailable) -> None:
        if not self._failing:
            _log.error("streams can't be counted", error=error.message)
        self._failing = True


def _key(who: str, what: str) -> str:
    """A digest, because subjects may have any characters, braces too."""
    return f"wd:{{{sha256(who.encode()).hexdigest()[:32]}}}:{what}"


def _uncounted() -> StoreUnavailable:
    return StoreUnavailable("Streams can't be counted now. Try again.")


def _settle(future: asyncio.Future[bool], error: StoreUnavailable) -> None:
    if not future.done():
        future.set_exception(StoreUnavailable(error.message, retry_after=error.retry_after))
