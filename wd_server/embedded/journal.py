"""The embedded journal: one SQLite file, owned by one process."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import structlog

from wd_server.embedded import journal_file as file
from wd_server.embedded import journal_rows as rows
from wd_server.embedded.database import Database, Job, settle
from wd_server.embedded.journal_file import WORDING
from wd_server.embedded.journal_writer import JournalWriter, WriteJob
from wd_server.errors import StoreUnavailable
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
)
from wd_server.journal.integrity import Damaged
from wd_server.journal.statistics import JournalStatistics
from wd_server.journal.subscribers import LocalSubscribers

# Two, so that one slow read isn't felt by all; the processor is shared with the event loop.
READERS = 2
# A read waits this long for the disk and for those before it. An append has no deadline: nobody
# could say then whether it was stored.
READ_SECONDS = 10.0
# A probe waits this long for the disk and for the writes before it.
PROBE_SECONDS = 10.0
# Seconds between two copies of the log while something is written: 8 MB where it is much.
COPY_SECONDS = 1.0
# An end waits this long for a copy that is under way.
COPY_DEADLINE_SECONDS = 10.0
# Stands in for a lease's token while nobody may write the wallet.
_NOBODY = 0

_log = structlog.get_logger("journal")

T = TypeVar("T")


class SqliteJournal:
    """`path` is the database file; its folder is made if needed and holds the lock file, too.

    Stored means: it survives the end of the process, however it ends. After a power cut the last
    moments may be missing, never something in the middle (SQLite's WAL with synchronous=NORMAL).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._statistics = JournalStatistics()
        self._subscribers = LocalSubscribers()
        # Leases are kept in memory: the file has one owner, and they end with it.
        self._leases: dict[str, int] = {}
        self._tokens = count(_NOBODY + 1)
        # Wallets whose lease somebody asked for in vain.
        self._refused: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: JournalWriter | None = None
        self._readers = Database(
            "journal-reader",
            partial(file.reading, path),
            WORDING,
            seconds=READ_SECONDS,
            threads=READERS,
        )
        # Copies the log, so that who appends needn't.
        self._copier = Database(
            "journal-copier", partial(file.copying, path), WORDING, seconds=COPY_DEADLINE_SECONDS
        )
        self._copied_at = 0.0

    async def open(self) -> None:
        if self._loop is not None:
            raise StoreUnavailable("This journal was opened before; make a new one.")
        self._loop = asyncio.get_running_loop()
        self._writer = JournalWriter("journal-writer", partial(file.writing, self._path), WORDING)
        try:
            await self._writer.start()
            await self._readers.open()
            await self._copier.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        await self._copier.close()
        await self._readers.close()
        if writer is not None:
            writer.stop()
            await writer.ended

    def check(self, wallet: str) -> None:
        if self._writer is None:
            raise _not_open()

    # Reading

    async def head(self, wallet: str) -> Head | None:
        try:
            return await self._read(lambda connection: rows.head(connection, wallet))
        except Damaged as damage:
            await self._discard(wallet, None, damage)
            return await self._read(lambda connection: rows.head(connection, wallet))

    async def checkpoint(self, wallet: str) -> bytes | None:
        return await self._read(lambda connection: rows.checkpoint(connection, wallet))

    async def read(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        if limit < 1:
            return []
        try:
            return await self._read(
                lambda connection: rows.read(connection, wallet, epoch, after, limit, max_bytes)
            )
        except Damaged as damage:
            await self._discard(wallet, epoch, damage)
            return []

    async def _discard(self, wallet: str, epoch: int | None, damage: Damaged) -> None:
        """Give the epoch up, and have the wallet's writer, which lost its lease, begin anew."""
        _log.error("journal damaged", wallet=wallet, epoch=epoch, reason=damage.reason)
        self._statistics.damaged += 1

        def discarded(was_current: bool) -> None:
            if not was_current:
                return
            if self._leases.get(wallet) == _NOBODY:
                self._refused.add(wallet)  # told when what has it now is done
                return
            self._leases.pop(wallet, None)
            self._subscribers.vacant(wallet)

        await self._write(
            lambda connection: rows.discard(connection, wallet, epoch), discarded, drops=True
        )

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        asked = perf_counter()
        try:
            return await self._readers.run(work)
        except StoreUnavailable:
            self._statistics.failures += 1
            raise
        finally:
            self._statistics.reads += 1
            self._statistics.read_seconds.observe(perf_counter() - asked)

    # Leases

    async def acquire(self, wallet: str) -> Lease | None:
        if self._writer is None:
            raise _not_open()
        if wallet in self._leases:
            self._refused.add(wallet)
            return None
        self._leases[wallet] = token = next(self._tokens)
        return Lease(wallet, token)

    async def held(self, wallet: str) -> bool:
        self.check(wallet)
        return wallet in self._leases

    async def renew(self, lease: Lease) -> None:
        if self._leases.get(lease.wallet) != lease.token:
            raise LeaseLost("Another writer has taken this wallet over.")

    async def release(self, lease: Lease) -> None:
        if self._leases.get(lease.wallet) != lease.token:
            return
        if self._writer is None:
            del self._leases[lease.wallet]
            return
        await self._write_alone(lambda connection: None, [lease.wallet])

    async def _write_alone(
        self, work: Callable[[sqlite3.Connection], T], wallets: Sequence[str]
    ) -> T:
        """Do `work` behind everything handed in before. Until it is done nobody has these
        wallets' leases, even if the caller doesn't wait for it."""

        def free(_: asyncio.Future[T]) -> None:
            for wallet in wallets:
                del self._leases[wallet]
                if wallet in self._refused:
                    self._refused.discard(wallet)
                    self._subscribers.vacant(wallet)

        written = self._write(work, drops=True)
        self._leases.update(dict.fromkeys(wallets, _NOBODY))
        written.add_done_callback(free)
        return await asyncio.shield(written)

    # Writing

    async def begin(self, lease: Lease, now: float) -> int:
        await self.renew(lease)
        return await self._write(
            lambda connection: rows.begin(connection, lease.wallet, now), drops=True
        )

    async def append(
        self, lease: Lease, epoch: int, entries: Sequence[NewEntry], checkpoint: bytes, now: float
    ) -> Head:
        await self.renew(lease)
        asked, statistics, new = perf_counter(), self._statistics, tuple(entries)

        def stored(head: Head) -> None:
            statistics.stored([len(entry.payload) for entry in new], perf_counter() - asked)
            if new:
                self._tell(lease.wallet, head, new)

        return await self._write(
            lambda connection: rows.append(connection, lease.wallet, epoch, new, checkpoint, now),
            stored,
        )

    def _write(
        self,
        work: Callable[[sqlite3.Connection], T],
        stored: Callable[[T], None] = lambda _: None,
        drops: bool = False,
    ) -> asyncio.Future[T]:
        """Hand `work` to the writer; `stored` is called before the future has its result."""
        if self._writer is None or self._loop is None:
            raise _not_open()
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: T, error: Exception | None) -> None:
            self._statistics.queued -= 1
            if isinstance(error, StoreUnavailable):
                self._statistics.failing = True  # until `probe` has found out that it is over
                self._statistics.failures += 1
            if error is None:
                stored(result)
            settle(future, result, error)
            self._copy_log()

        self._statistics.queued += 1
        self._writer.submit(WriteJob(work, done, drops))
        return future

    async def probe(self) -> None:
        """Write something that changes nothing. What small writes say is no reason to believe that
        larger ones work again, so `failing` ends here only. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._write(file.rewrite_version)
        except TimeoutError:
            self._statistics.failing = True
            raise StoreUnavailable("The server's event store is too slow now.") from None
        self._statistics.failing = False

    def _copy_log(self) -> None:
        now = perf_counter()
        if self._writer is not None and now - self._copied_at >= COPY_SECONDS:
            self._copied_at = now
            self._copier.submit(Job(file.copy_log, lambda *_: None))

    async def expire(self, before: float) -> int:
        """Drop the journals whose last append (or `begin`) was earlier than `before` (unix
        seconds) and that nobody holds a lease on. Returns how many."""
        expired, after = 0, 0
        while found := await self._read(partial(rows.expirable, before=before, after=after)):
            after = found[-1][0]
            free = [(key, wallet) for key, wallet in found if wallet not in self._leases]
            expired += await self._write_alone(
                partial(rows.drop, ids=[key for key, _ in free], before=before),
                [wallet for _, wallet in free],
            )
        return expired

    # Telling

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription:
        return self._subscribers.subscribe(wallet, on_append)

    def topic(self, wallet: str, listener: TopicListener) -> Topic:
        return self._subscribers.topic(wallet, listener, self._notify)

    def _notify(self, wallet: str, sender: bytes, notice: bytes) -> None:
        if self._loop is not None:
            self._loop.call_soon(self._subscribers.notice, wallet, sender, notice)

    def _tell(self, wallet: str, head: Head, new: Sequence[NewEntry]) -> None:
        first = head.seq - len(new) + 1
        entries = tuple(Entry(seq, *entry) for seq, entry in enumerate(new, first))
        self._subscribers.tell(wallet, head.epoch, entries)

    def statistics(self) -> JournalStatistics:
        self._statistics.file_bytes = file.size(self._path)
        return self._statistics


def _not_open() -> StoreUnavailable:
    return StoreUnavailable(WORDING.closed)
