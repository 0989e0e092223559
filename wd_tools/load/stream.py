"""One stream of a load test, over all its connections."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec
from msgspec import Struct
from wd_client import kinds
from wd_client.backoff import LONGEST_SECONDS
from wd_client.frame import END, EVENT_BYTES, cut
from wd_client.response import BadResponse, Body, Head, body_of, read_head

from wd_tools.load.continuity import Breach, Continuity
from wd_tools.load.frames import Block, Blocks, Item
from wd_tools.load.job import Habits
from wd_tools.load.plan import Assignment
from wd_tools.load.tally import Tally, bump

NEVER = math.inf
# Milliseconds to wait before connecting again where the server named none.
RETRY_MS = 1000
# Seconds to wait where a refusal worth another try has no Retry-After.
REFUSED_SECONDS = 2.0
# Statuses that another try may change: too many requests, and what proxies and full or draining
# servers answer.
PASSING = frozenset({429, 500, 502, 503, 504})

OK, NO_CONTENT = 200, 204

# Why a stream ends that has had all it was to have.
FINISHED = frozenset({"complete", "enough", "nothing new"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What the streams of one process share.

    `clock`: unix seconds.
    `timer`: seconds that no one sets back.
    `answered`: is told of a stream when its response's head is there.
    `closed`: is told of a stream when its connection has ended.
    """

    habits: Habits
    tally: Tally
    blocks: Blocks
    clock: Callable[[], float]
    timer: Callable[[], float]
    answered: Callable[["Stream"], None]
    closed: Callable[["Stream"], None]


class _Gap(Struct):
    reason: str = "unknown"


class _Complete(Struct):
    trades_found: int = 0
    entries: int | None = None
    digest: str | None = None


class _Details(Struct):
    retry_after: float | None = None


class _Error(Struct):
    code: str = "unknown"
    details: _Details = msgspec.field(default_factory=_Details)


class _Bye(Struct):
    reason: str = "unknown"
    reconnect_after_ms: int | None = None


class Stream(asyncio.Protocol):
    """`retry_ms`: when to come back after this connection, None: not at all. `ending`: why it
    ends, empty while nothing said that it will. Waits are told apart by `streaming` (the head
    was read) and `due` (its first event wasn't)."""

    __slots__ = (
        "_body",
        "_rest",
        "_since",
        "asked_at",
        "assignment",
        "context",
        "due",
        "ending",
        "failures",
        "heard",
        "left_at",
        "opened",
        "position",
        "request",
        "resuming",
        "retry_ms",
        "streaming",
        "trades",
        "transport",
    )

    def __init__(self, context: StreamContext, assignment: Assignment) -> None:
        self.context = context
        self.assignment = assignment
        habits = context.habits
        self.position = Continuity(follow=habits.follow, history=habits.history)
        self.transport: asyncio.Transport | None = None
        self.request = b""
        self.trades = 0
        self.failures = 0  # attempts in a row
        self.left_at = 0.0
        self.opened = False
        self.prepare(b"", 0.0)

    def prepare(self, request: bytes, asked_at: float) -> None:
        """A new connection is about to be made."""
        self.request = request
        self.asked_at = asked_at
        self.resuming = bool(self.position.epoch)
        self.streaming = False
        self.due = True
        self.ending = ""
        self.retry_ms: int | None = RETRY_MS
        self.heard = 0.0
        self._rest = b""
        self._body: Body | None = None
        self._since = NEVER

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.heard = self.context.clock()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        context = self.context
        tally = context.tally
        tally.bytes += len(data)
        if self.assignment.slow:
            self._rest_a_while(len(data))
        if not self.streaming:
            data = self._open(data)
        elif self._body is not None:
            data = self._unframe(data)
        if self._rest or not data.endswith(END):
            data, self._rest = cut(self._rest + data)
            if len(self._rest) > EVENT_BYTES:
                self._broken()
        if not data:
            return
        block = context.blocks[data]
        self.heard = now = context.clock()
        now *= 1000
        tally.events.add(now, block.events)
        tally.trades += block.trades
        position = self.position
        if block.epoch and block.epoch == position.epoch and block.before == position.count:
            position.advance(block)
        elif block.items:
            self._look_at(block)
        if block.newest >= self._since and not self.assignment.slow:
            tally.note_live(block, self._since, now)
        if self.due and block.events:
            self._note_first(now)
        if context.habits.trades:
            self._count_down(block)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.streaming:
            self.left_at = self.context.timer()
        if not self.ending:
            self.ending = self._how_it_ended()
        self.context.closed(self)

    def _how_it_ended(self) -> str:
        """Of a connection that nothing said the end of."""
        if not self.streaming:
            return "closed before the answer"
        if self._body is None:
            return "dropped"
        return "ended" if self._body.ended else "cut"

    # What the process wants.

    def leave(self, reason: str, retry_ms: int | None) -> None:
        """End the connection from this side."""
        if not self.ending:
            self.ending, self.retry_ms = reason, retry_ms
        if self.transport is not None:
            self.transport.close()

    # Its own ways.

    def _open(self, data: bytes) -> bytes:
        """Read the response's head; what follows it, once it is there."""
        try:
            read = read_head(self._rest + data)
            if read is None:
                self._rest += data
                return b""
            head, self._rest = read[0], b""
            if head.status != OK:
                self._refused(head)
                return b""
            self._body = body_of(head)
        except BadResponse:
            self._broken()
            return b""
        self.streaming = True
        if not self.opened:
            self.opened = True
            self.context.tally.opened.add(self.context.clock() * 1000)
        self.context.answered(self)
        return read[1] if self._body is None else self._unframe(read[1])

    def _unframe(self, data: bytes) -> bytes:
        assert self._body is not None
        try:
            data = self._body.feed(data)
        except BadResponse:
            self._broken()
            return b""
        if self._body.ended and self.transport is not None:
            self.transport.close()
        return data

    def _refused(self, head: Head) -> None:
        if head.status == NO_CONTENT:
            self.leave("nothing new", None)
            return
        wait = head.headers.get("retry-after", "")
        seconds = float(wait) if wait.isascii() and wait.isdigit() else REFUSED_SECONDS
        again = head.status in PASSING
        self.leave(f"status {head.status}", _milliseconds(seconds) if again else None)

    def _broken(self) -> None:
        self.leave("not HTTP", None)

    def _note_first(self, now: float) -> None:
        """From here on, what is stored reaches a stream that is there."""
        self.due = False
        self.failures = 0
        self._since = now
        tally, timer = self.context.tally, self.context.timer()
        taken = (timer - self.asked_at) * 1000
        if not self.left_at:
            tally.first_event.add(taken)
        else:
            tally.away.add((timer - self.left_at) * 1000)
            if self.resuming:
                tally.resumes += 1
                tally.resumed_event.add(taken)

    def _look_at(self, block: Block) -> None:
        for item in block.items:
            if item.retry is not None:
                self.retry_ms = item.retry
            if item.epoch or item.seq:
                for breach in self.position.take(item):
                    self.context.tally.note_breach(self.assignment.wallet, breach)
            if item.data:
                self._steer(item)

    def _steer(self, item: Item) -> None:
        if item.name == kinds.GAP:
            bump(self.context.tally.gaps, _decoded(item.data, _Gap()).reason)
            self.position.gap()
        elif item.name == kinds.COMPLETE:
            self._complete(_decoded(item.data, _Complete()))
        elif item.name == kinds.ERROR:
            error = _decoded(item.data, _Error())
            wait = error.details.retry_after
            self.ending = f"error {error.code}"
            self.retry_ms = None if wait is None else _milliseconds(wait)
        elif item.name == kinds.BYE:
            bye = _decoded(item.data, _Bye())
            self.ending = f"bye {bye.reason}"
            if bye.reconnect_after_ms is not None:
                self.retry_ms = bye.reconnect_after_ms

    def _complete(self, complete: _Complete) -> None:
        tally, position = self.context.tally, self.position
        breaches = []
        if not self.context.habits.follow:
            breaches = position.complete(complete.trades_found)
            self.ending, self.retry_ms = "complete", None
        proof = position.proves(complete.entries, complete.digest)
        tally.verified += proof is True
        if proof is False:
            breaches.append(Breach("mismatch", 1, "", position.last_event_id))
        for breach in breaches:
            tally.note_breach(self.assignment.wallet, breach)

    def _count_down(self, block: Block) -> None:
        self.trades += block.trades
        if self.trades >= self.context.habits.trades:
            self.leave("enough", None)

    def _rest_a_while(self, received: int) -> None:
        """A slow reader's next read is due when these bytes have taken their time."""
        if self.transport is not None:
            self.transport.pause_reading()
            seconds = received / self.context.habits.slow_rate
            asyncio.get_running_loop().call_later(seconds, self._read_on, self.transport)

    def _read_on(self, transport: asyncio.Transport) -> None:
        if transport is self.transport and not transport.is_closing():
            transport.resume_reading()


def _milliseconds(seconds: float) -> int:
    return int(min(max(0.0, seconds), LONGEST_SECONDS) * 1000)


def _decoded(data: bytes, otherwise: T) -> T:
    """Data of an event; what it lacks, and all of what is no JSON, is as in `otherwise`."""
    try:
        return msgspec.json.decode(data, type=type(otherwise))
    except msgspec.DecodeError:
        return otherwise
