"""A backend that keeps everything in the memory of one process: the example of docs/backends.md.

It passes the contract suite and is of no use otherwise. What a real store has on its disk lies on a
`Shelf` here: a backend that is made later on the same shelf goes on where the last one ended.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from wd_server.access.store import (
    CHANGES_KEPT,
    KEYS_MAX,
    REVOKED_TOKENS_MAX,
    Changes,
    Exchange,
    Snapshot,
    decode,
    decode_all,
    encode,
)
from wd_server.access.windows import Counted, Usage, Windows
from wd_server.backend import BackendHealth, Figure
from wd_server.chain.budget import LIVES_MAX
from wd_server.chain.credits import Share
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
from wd_server.journal.statistics import JournalStatistics
from wd_server.journal.subscribers import LocalSubscribers


@dataclass
class StoredWallet:
    """The journal of one wallet: its current epoch, and what the last append stored."""

    epoch: int
    entries: list[Entry] = field(default_factory=list)
    checkpoint: bytes | None = None

    @property
    def head(self) -> Head:
        newest = self.entries[-1] if self.entries else Entry(0, "", b"")
        return Head(self.epoch, newest.seq, newest.kind)


@dataclass
class Shelf:
    """What outlives a backend. `away`: nothing of it can be reached now."""

    wallets: dict[str, StoredWallet] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    generation: int = 0
    spent: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)
    away: bool = False


class MemoryJournal:
    """`reach` gives the shelf or raises StoreUnavailable."""

    def __init__(self, reach: Callable[[], Shelf]) -> None:
        self._reach = reach
        self._subscribers = LocalSubscribers()
        self._statistics = JournalStatistics()
        self._leases: dict[str, int] = {}
        self._tokens = 0
        # Wallets whose lease somebody asked for in vain.
        self._refused: set[str] = set()

    def check(self, wallet: str) -> None:
        self._reach()

    async def head(self, wallet: str) -> Head | None:
        await asyncio.sleep(0)  # no real store answers without letting others go on
        stored = self._read(wallet)
        return None if stored is None else stored.head

    async def checkpoint(self, wallet: str) -> bytes | None:
        stored = self._reach().wallets.get(wallet)
        return None if stored is None else stored.checkpoint

    async def read(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        stored = self._read(wallet)
        page: list[Entry] = []
        if stored is None or stored.epoch != epoch:
            return page
        size = 0
        for entry in stored.entries[after : after + max(limit, 0)]:
            page.append(entry)
            size += len(entry.payload)
            if size >= max_bytes:
                break
        return page

    def _read(self, wallet: str) -> StoredWallet | None:
        asked, shelf = monotonic(), self._reach()
        self._statistics.reads += 1
        self._statistics.read_seconds.observe(monotonic() - asked)
        return shelf.wallets.get(wallet)

    async def acquire(self, wallet: str) -> Lease | None:
        self._reach()
        if wallet in self._leases:
            self._refused.add(wallet)
            return None
        self._tokens += 1
        self._leases[wallet] = self._tokens
        return Lease(wallet, self._tokens)

    async def held(self, wallet: str) -> bool:
        self._reach()
        return wallet in self._leases

    async def renew(self, lease: Lease) -> None:
        if self._leases.get(lease.wallet) != lease.token:
            raise LeaseLost("Another writer has taken this wallet over.")

    async def release(self, lease: Lease) -> None:
        if self._leases.get(lease.wallet) != lease.token:
            return
        del self._leases[lease.wallet]
        if lease.wallet in self._refused:
            self._refused.discard(lease.wallet)
            self._subscribers.vacant(lease.wallet)

    async def begin(self, lease: Lease, now: float) -> int:
        await self.renew(lease)
        wallets = self._reach().wallets
        earlier = wallets.get(lease.wallet)
        epoch = next_epoch(lease.wallet, None if earlier is None else earlier.epoch, now)
        wallets[lease.wallet] = StoredWallet(epoch)
        return epoch

    async def append(
        self, lease: Lease, epoch: int, entries: Sequence[NewEntry], checkpoint: bytes, now: float
    ) -> Head:
        await self.renew(lease)
        asked, stored = monotonic(), self._reach().wallets.get(lease.wallet)
        if stored is None or stored.epoch != epoch:
            raise LeaseLost("Another epoch of this wallet has begun.")
        first = stored.head.seq + 1
        new = [
            Entry(seq, kind, bytes(memoryview(payload)))  # raises before anything is stored
            for seq, (kind, payload) in enumerate(entries, first)
        ]
        stored.entries += new
        stored.checkpoint = checkpoint
        self._statistics.stored([len(entry.payload) for entry in new], monotonic() - asked)
        if new:
            self._subscribers.tell(lease.wallet, epoch, new)
        head = stored.head
        await asyncio.sleep(0)  # a real store waits for its disk or its server, here or earlier
        return head

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription:
        return self._subscribers.subscribe(wallet, on_append)

    def topic(self, wallet: str, listener: TopicListener) -> Topic:
        return self._subscribers.topic(wallet, listener, self._notify)

    def _notify(self, wallet: str, sender: bytes, notice: bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._subscribers.notice, wallet, sender, notice)

    def statistics(self) -> JournalStatistics:
        return self._statistics


class MemoryKeyStore:
    def __init__(self, reach: Callable[[], Shelf]) -> None:
        self._reach = reach

    async def snapshot(self) -> Snapshot:
        shelf = self._reach()
        keys, unreadable = decode_all(shelf.keys.items())
        return Snapshot(shelf.generation, keys, dict(shelf.tokens), unreadable)

    async def changes(self, after: int) -> Changes | None:
        shelf = self._reach()
        if not shelf.generation - CHANGES_KEPT <= after <= shelf.generation:
            return None
        changed = {(what, name) for generation, what, name in shelf.changes if generation > after}
        names = [name for what, name in changed if what == "key"]
        keys, unreadable = decode_all(
            (name, shelf.keys[name]) for name in names if name in shelf.keys
        )
        forgotten = tuple(name for name in names if name not in shelf.keys)
        tokens = {
            name: shelf.tokens[name]
            for what, name in changed
            if what == "token" and name in shelf.tokens
        }
        return Changes(shelf.generation, keys, forgotten, tokens, unreadable)

    async def exchange(self, exchanges: Sequence[Exchange]) -> bool:
        shelf = self._reach()
        for exchange in exchanges:
            row = shelf.keys.get(exchange.id)
            if (None if row is None else decode(row)) != exchange.before:
                return False
        more = sum((each.before is None) - (each.after is None) for each in exchanges)
        if more > 0 and len(shelf.keys) + more > KEYS_MAX:
            raise StoreFull(f"There are {KEYS_MAX} keys, as many as there may be. Forget some.")
        for exchange in exchanges:
            if exchange.after is None:
                del shelf.keys[exchange.id]
            else:
                shelf.keys[exchange.id] = encode(exchange.after)
            _changed(shelf, "key", exchange.id)
        return True

    async def revoke_token(self, jti: str, until: float, now: float) -> None:
        shelf = self._reach()
        shelf.tokens = {name: end for name, end in shelf.tokens.items() if end >= now}
        if len(shelf.tokens) >= REVOKED_TOKENS_MAX:
            raise StoreFull(f"{REVOKED_TOKENS_MAX} tokens are revoked, as many as there may be.")
        shelf.tokens[jti] = until
        _changed(shelf, "token", jti)


def _changed(shelf: Shelf, what: str, name: str) -> None:
    shelf.generation += 1
    shelf.changes.append((shelf.generation, what, name))
    del shelf.changes[:-CHANGES_KEPT]


class MemoryCounters:
    """`clock` in seconds. What it counts needn't outlive the one process that there is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[Counted, Windows] = {"requests": Windows(), "wallets": Windows()}
        self._streams: Counter[str] = Counter()

    async def spend(self, who: str, limit: int, what: Counted = "requests") -> Usage:
        return self._windows[what].spend(who, limit, self._clock())

    async def enter(self, who: str, limit: int) -> bool:
        if self._streams[who] >= limit:
            return False
        self._streams[who] += 1
        return True

    def leave(self, who: str) -> None:
        self._streams[who] -= 1


class MemoryBudgetStore:
    def __init__(self, reach: Callable[[], Shelf]) -> None:
        self._reach = reach

    async def count(self, life: str, share: Share) -> int:
        spent = self._reach().spent
        lives = spent.get((share.day, share.account), {})
        before, counted = lives.get("total", 0), lives.get(life, 0)
        total = share.total_with(before, counted)
        if total > before:
            if life not in lives and len(lives) > LIVES_MAX:
                lives = {}
            lives |= {"total": total, life: max(share.spent, share.counted, counted)}
            spent[share.day, share.account] = lives
        return total


class MemoryMembership:
    """There is one node."""

    node = "memory"
    surely_alive = True

    def nodes(self) -> frozenset[str]:
        return frozenset({self.node})


class MemoryBackend:
    place = "memory"

    def __init__(self, shelf: Shelf, clock: Callable[[], float] = monotonic) -> None:
        self._shelf = shelf
        self._open: bool | None = None  # None: it wasn't opened yet
        self.journal = MemoryJournal(self._reach)
        self.keys = MemoryKeyStore(self._reach)
        self.counters = MemoryCounters(clock)
        self.budget = MemoryBudgetStore(self._reach)
        self.membership = MemoryMembership()

    async def open(self) -> None:
        if self._open is not None:
            raise StoreUnavailable("This backend was opened before; make a new one.")
        self._open = True
        try:
            self._reach()
        except StoreUnavailable:
            await self.close()
            raise

    async def open_keys(self) -> None:
        await self.open()

    async def close(self) -> None:
        self._open = False

    async def probe(self) -> None:
        """Each call finds out by itself."""

    def health(self) -> BackendHealth:
        return BackendHealth(
            "embedded", answers=not self._shelf.away, needed=frozenset({"journal"})
        )

    def figures(self) -> Sequence[Figure]:
        return ()

    def _reach(self) -> Shelf:
        if not self._open:
            raise StoreUnavailable("The server's event store isn't open.")
        if self._shelf.away:
            raise StoreUnavailable("The server's event store can't be reached now. Try again.")
        return self._shelf
