"""The journal in Redis, one server or a Cluster, for any number of nodes.

Writes, reads and what is said on a topic go over the link that all of the process shares, in the
order in which they were handed in. Announcements come over connections of their own. This node
tells its subscribers what it appends itself. An announcement tells them what others append, and a
look at the head does so after a lost connection. What lies in between is in Redis.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from wd_server.errors import StoreFull, StoreUnavailable
from wd_server.journal.base import (
    Entry,
    Head,
    JournalSubscription,
    Lease,
    LeaseLost,
    NewEntry,
    OnAppend,
    Topic,
    TopicListener,
    next_epoch,
)
from wd_server.journal.integrity import Damaged, checksum
from wd_server.journal.statistics import JournalStatistics
from wd_server.redis import journal_scripts as scripts
from wd_server.redis.feed import Feed, announcement, entry_of
from wd_server.redis.leases import Held, Leases
from wd_server.redis.link import RedisLink
from wd_server.redis.membership import RedisMembership

# Entries read from Redis at a time: it works on nothing else meanwhile, about 0.1 ms.
READ_ENTRIES = 256

# The id of a stream's entry and its fields, names and values in turn.
_Found = tuple[bytes, list[bytes]]

T = TypeVar("T")


class RedisJournal:
    """`keep_seconds`: how long a wallet is kept after its last event. The link and the membership
    have to be open as long as the journal is."""

    def __init__(self, link: RedisLink, membership: RedisMembership, keep_seconds: int) -> None:
        self._link = link
        self._keep_seconds = keep_seconds
        self._leases = Leases(link, membership, keep_seconds, self._vacant)
        self._feed = Feed(link, membership.node, self._leases, keep_seconds)
        self._statistics = JournalStatistics()
        self._writes: set[asyncio.Task[Any]] = set()
        self._open: bool | None = None  # None: it wasn't opened yet

    async def open(self) -> None:
        if self._open is not None:
            raise StoreUnavailable("This journal was opened before; make a new one.")
        self._open = True

    async def close(self) -> None:
        self._open = False
        if self._writes:
            await asyncio.wait(self._writes)
        await self._feed.close()
        await self._leases.close()

    def check(self, wallet: str) -> None:
        self._check_open()
        self._link.check(scripts.keys(wallet)[0])

    # Reading

    async def head(self, wallet: str) -> Head | None:
        self._check_open()
        return await self._read(self._feed.head(wallet))

    async def checkpoint(self, wallet: str) -> bytes | None:
        self._check_open()
        key = scripts.keys(wallet)[0]
        found: bytes | None = await self._read(self._link.call(key, "HGET", key, "c"))
        return found

    async def read(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        self._check_open()
        if limit < 1:
            return []
        return await self._read(self._read_page(wallet, epoch, after, limit, max_bytes))

    async def _read_page(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        """A page that turns out damaged is read once more: the epoch may have ended between two
        calls. One that still is, is discarded with its epoch."""
        try:
            return await self._read_whole(wallet, epoch, after, limit, max_bytes)
        except Damaged:
            try:
                return await self._read_whole(wallet, epoch, after, limit, max_bytes)
            except Damaged as damage:
                await self._feed.discard(wallet, epoch, damage)
                return []

    async def _read_whole(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        """Raises Damaged."""
        head_key = scripts.keys(wallet)[0]
        entries: list[Entry] = []
        size, count = 0, min(limit, READ_ENTRIES)
        # The head is asked for first, so that what it promises has to be in the stream.
        head = self._link.call(head_key, "HMGET", head_key, "r", "s")
        first_page = self._found(wallet, epoch, after, count)
        (current, newest), found = await asyncio.gather(head, first_page)
        if current is None or int(current) != epoch:
            return []
        while found:
            for stream_id, fields in found:
                entry = entry_of(stream_id, fields, after)
                after = entry.seq
                entries.append(entry)
                size += len(entry.payload)
                if size >= max_bytes or len(entries) == limit:
                    return entries
            count = min(limit - len(entries), count) if len(found) == count else 0
            found = await self._found(wallet, epoch, after, count) if count else []
        if after < int(newest or 0):
            raise Damaged(f"entries from {after + 1} to {int(newest)} are missing")
        return entries

    async def _found(self, wallet: str, epoch: int, after: int, count: int) -> list[_Found]:
        """At most so many entries of the stream, from there on."""
        key = scripts.keys(wallet)[1]
        found: list[_Found] = await self._link.call(
            key, "XRANGE", key, f"{epoch}-{after + 1}", epoch, "COUNT", count
        )
        return found

    async def _read(self, answer: Coroutine[Any, Any, T]) -> T:
        asked, statistics = monotonic(), self._statistics
        try:
            return await answer
        except StoreUnavailable:
            statistics.failures += 1
            raise
        finally:
            statistics.reads += 1
            statistics.read_seconds.observe(monotonic() - asked)

    # Leases

    async def acquire(self, wallet: str) -> Lease | None:
        self._check_open()
        return await self._leases.acquire(wallet, self._feed.told(wallet))

    async def held(self, wallet: str) -> bool:
        self._check_open()
        return await self._leases.is_held(wallet)

    async def renew(self, lease: Lease) -> None:
        await self._leases.renew(self._leases.mine(lease))

    async def release(self, lease: Lease) -> None:
        held = self._leases.of(lease.wallet)
        if held is not None and held.token == lease.token:
            await self._write(held, self._leases.release(held))

    # Writing

    async def begin(self, lease: Lease, now: float) -> int:
        self._check_open()
        held = self._leases.mine(lease)
        epoch = next_epoch(lease.wallet, max(held.epoch, held.floor) or None, now)
        keys = scripts.keys(lease.wallet)
        arguments = (held.holder, epoch, self._keep_seconds, scripts.FORMAT)
        begun = await self._write(held, self._link.run(scripts.BEGIN, keys, arguments))
        if not begun:
            self._leases.drop(held)
            raise LeaseLost("Another writer has taken this wallet over.")
        held.epoch, held.seq = int(begun), 0
        return held.epoch

    async def append(
        self, lease: Lease, epoch: int, entries: Sequence[NewEntry], checkpoint: bytes, now: float
    ) -> Head:
        self._check_open()
        held, new = self._leases.mine(lease), tuple(entries)
        if epoch != held.epoch:
            raise LeaseLost("Another epoch of this wallet has begun.")
        return await self._write(held, self._append(held, new, checkpoint))

    async def _append(self, held: Held, new: Sequence[NewEntry], checkpoint: bytes) -> Head:
        asked, epoch = monotonic(), held.epoch
        held.requests += 1
        request = held.requests
        arguments = (
            held.holder,
            epoch,
            "" if held.in_flight else held.seq,
            request,
            self._leases.keep(held),
            announcement(held.holder, request, new),
            checkpoint,
            scripts.FORMAT,
            *(part for entry in new for part in (*entry, checksum(*entry))),
        )
        held.in_flight.add(request)
        try:
            keys = scripts.keys(held.wallet)
            seq, again = await self._link.run(scripts.APPEND, keys, arguments)
        finally:
            held.in_flight.discard(request)
        if seq < 0:
            self._leases.drop(held)
            raise LeaseLost("Another writer has taken this wallet over, or the store lost it.")
        # Answered in order: what was stored before its answer was lost stands where it would.
        held.seq = held.seq + len(new) if again else seq
        head = Head(epoch, held.seq, new[-1].kind if new else held.kind)
        held.kind = head.kind
        self._statistics.stored([len(entry.payload) for entry in new], monotonic() - asked)
        if new:
            first = head.seq - len(new) + 1
            self._feed.tell(
                held.wallet, epoch, [Entry(n, *entry) for n, entry in enumerate(new, first)]
            )
        return head

    async def _write(self, held: Held, writing: Coroutine[Any, Any, T]) -> T:
        """Whoever waits may give up, the write doesn't. One with an unknown outcome costs the
        lease: it can't be stored any more once the next holder, or the same one, has a new one."""
        self._statistics.queued += 1
        task = asyncio.get_running_loop().create_task(writing)
        self._writes.add(task)
        task.add_done_callback(partial(self._written, held))
        return await asyncio.shield(task)

    def _written(self, held: Held, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        self._statistics.queued -= 1
        if isinstance(task.exception(), StoreUnavailable):
            self._leases.failing = True
            self._statistics.failures += 1
            if not isinstance(task.exception(), StoreFull):
                self._leases.give_up(held)

    # Being told

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription:
        return self._feed.subscribe(wallet, on_append)

    def topic(self, wallet: str, listener: TopicListener) -> Topic:
        return self._feed.topic(wallet, listener)

    def _vacant(self, wallet: str) -> None:
        self._feed.vacant(wallet)

    def statistics(self) -> JournalStatistics:
        self._statistics.failing = self._leases.failing
        self._statistics.damaged = self._feed.damaged
        self._statistics.leases = len(self._leases)
        self._statistics.leases_lost = self._leases.lost
        return self._statistics

    def _check_open(self) -> None:
        if not self._open:
            raise _closed()


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The server's event store isn't open: it is starting or stopping.")
