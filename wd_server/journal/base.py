"""The contract of a journal: a wallet's events, append-only, stored before they are sent.

One journal serves all wallets. A wallet's journal has an *epoch* (one life of it) and entries
numbered from 1 without holes; `<epoch>-<seq>` is an entry's id on the wire and may stand in Redis
as a stream id as it is. Every implementation passes `tests/contract/`.

What a journal promises:

1.  `append` returns when its entries and the checkpoint are stored together, or raises and neither
    is there. One that is cancelled, or raises StoreAway, is stored whole or not at all, and
    whoever goes on reads first what is there; in a store that nodes share it costs the lease.
    Appends of one wallet are stored in the order of the calls. After a crash the journal is a
    prefix of what was appended, with everything in it that an `append` had returned for.
2.  Only the holder of the wallet's live lease appends. A holder that lost it gets `LeaseLost`
    and nothing of its append is stored. Nobody gets a wallet's lease before everything its
    earlier holder handed in is stored or refused.
3.  `read` gives entries in order, without holes, whoever wrote them, each as it was appended. An
    epoch of which that can't be said any more is given up, as in 7 (integrity.py).
4.  A subscriber is told of what is appended after it subscribed, in order, on the event loop,
    after the entries are stored. Subscribers of the journal that appends are told of everything,
    and before `append` returns. Those on other nodes always learn of the newest entry; what lies
    between two that they were told of can be read. What a subscriber was told of, or an `append`
    returned for, `head`, `read` and `checkpoint` see from then on.
5.  Anything that goes wrong with the store is `StoreUnavailable`, also a journal whose backend
    isn't open (any more). The journal works again when the cause is gone. A store that can't be
    reached is `StoreAway`: what waits for it may go on when it is back.
6.  Closing the backend waits for what was handed in before. A journal opened on the same store
    later goes on where that one ended; leases don't outlive the backend that holds them for long.
7.  A store that lost or altered entries which were told of begins a new epoch, so that nobody who
    has them takes others for their continuation. Leases on the wallet are over then, and those on
    its topic are told `on_vacant`.
8.  What is on a wallet's topic may get lost, and is never kept. It isn't told before what was
    appended before it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from zlib import crc32

from wd_server.errors import WalletDoctorError
from wd_server.events.ids import EVENT_ID_PART_MAX
from wd_server.journal.statistics import JournalStatistics

# The low bits of an epoch tell wallets apart, those above are unix seconds: 51 bits until 2038, 53
# until 2242.
EPOCH_WALLET_BITS = 20


class NewEntry(NamedTuple):
    """What a writer hands in: the event's name and its JSON as it goes on the wire."""

    kind: str
    payload: bytes


class Entry(NamedTuple):
    """What a reader gets back."""

    seq: int
    kind: str
    payload: bytes


class Head(NamedTuple):
    """The newest entry of a wallet's journal. `seq` 0: an epoch has begun, nothing is in it."""

    epoch: int
    seq: int
    kind: str


class LeaseLost(WalletDoctorError):
    """Another writer took the wallet over; stop writing at once."""

    code = "STORE_UNAVAILABLE"
    status = 503


class Lease(NamedTuple):
    """The right to write one wallet's journal. `token` fences: a newer lease has a greater one."""

    wallet: str
    token: int


def next_epoch(wallet: str, earlier: int | None, now: float) -> int:
    """The epoch that begins `now` (unix seconds): greater than the earlier one, even if the clock
    went back, and its own for this wallet (two wallets that begin within one second share theirs
    once in a million)."""
    seconds = int(now)
    if earlier is not None and earlier <= EVENT_ID_PART_MAX:  # else it is damaged
        seconds = max(seconds, (earlier >> EPOCH_WALLET_BITS) + 1)
    return seconds << EPOCH_WALLET_BITS | crc32(wallet.encode()) & (1 << EPOCH_WALLET_BITS) - 1


OnAppend = Callable[[int, Sequence[Entry]], None]
"""Called with the epoch and the entries just stored, in order. Must not block or raise."""


class JournalSubscription(Protocol):
    def close(self) -> None:
        """Stop being told. Closing twice is no error."""


class TopicListener(Protocol):
    """Who has a wallet's topic open. Must not block or raise."""

    def on_notice(self, notice: bytes) -> None:
        """Somebody else on the topic said this."""

    def on_vacant(self) -> None:
        """The lease that another had may be free: it was given back, or its holder is gone. Called
        once after an `acquire` that got None, maybe more often."""


class Topic(Protocol):
    """What those who read one wallet on all nodes tell each other."""

    def notify(self, notice: bytes) -> None:
        """Tell all others on the topic, in the order of the calls. Doesn't wait, may get lost."""

    def close(self) -> None:
        """Closing twice is no error."""


class Journal(Protocol):
    """It is open while its backend is (backend.py)."""

    def check(self, wallet: str) -> None:
        """Raises StoreUnavailable if what has this wallet didn't answer just now. From memory."""

    async def head(self, wallet: str) -> Head | None:
        """The newest entry; None if this wallet has no journal."""

    async def read(
        self, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
    ) -> list[Entry]:
        """Entries of `epoch` with `seq > after`: at most `limit`, and no more once `max_bytes` of
        payload are reached (but at least one if there is one). Empty if `epoch` isn't the current
        one (any more, if it turns out to be damaged), or `after` is the head or beyond."""

    async def acquire(self, wallet: str) -> Lease | None:
        """The lease, or None while another holder has it. It lasts as long as this journal."""

    async def held(self, wallet: str) -> bool:
        """Whether somebody has the lease."""

    async def renew(self, lease: Lease) -> None:
        """Make sure that it is still ours. Raises LeaseLost."""

    async def release(self, lease: Lease) -> None:
        """Give it back; no error if it was lost already. Raises StoreUnavailable; the lease is
        then given back as soon as the store answers."""

    async def begin(self, lease: Lease, now: float) -> int:
        """Start a new epoch: earlier entries and the checkpoint are dropped. Returns the epoch,
        which is greater than every earlier one of this wallet (`next_epoch`). `now` is unix
        seconds. Subscribers learn of it with the first append. Raises LeaseLost."""

    async def append(
        self, lease: Lease, epoch: int, entries: Sequence[NewEntry], checkpoint: bytes, now: float
    ) -> Head:
        """Store the entries behind the newest one, and the checkpoint, in one transaction.
        `entries` may be empty: only the checkpoint is stored and nobody is told. Returns the
        newest entry. Raises LeaseLost (also when `epoch` isn't the current one),
        StoreUnavailable."""

    async def checkpoint(self, wallet: str) -> bytes | None:
        """What the last append stored beside its entries; None right after `begin`."""

    def subscribe(self, wallet: str, on_append: OnAppend) -> JournalSubscription: ...

    def topic(self, wallet: str, listener: TopicListener) -> Topic: ...

    def statistics(self) -> JournalStatistics:
        """Totals since the start, from memory; the journal goes on counting in it."""
