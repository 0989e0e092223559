"""What a book leaves in the journal beside its entries, as bytes. Pure.

A checkpoint is one byte with its version, the CRC-32 of that and the rest in four bytes, and the
rest in MessagePack. Version 2, of wd-server 0.1.0, was MessagePack alone, which never begins with a
byte that is a version. Every later version keeps this frame, so any server can tell from it whether
a newer one wrote the journal: it then leaves the wallet to servers that can read it, instead of
beginning the journal anew and destroying their work. The CRC covers the version, too: otherwise a
flipped bit would make a checkpoint look like a newer one's.
"""

from collections.abc import Iterable
from typing import Final, Self
from zlib import crc32

import msgspec
from msgspec import Struct

from wd_server.chain.listing import Cursor
from wd_server.errors import WrittenByNewer
from wd_server.events.event import Reconciliation
from wd_server.sync.proof import Proof
from wd_server.trading.continuity import KnownBalances
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL

# Grows with every change of what a checkpoint or a stored entry means. A journal with an older one
# is begun anew: before version 4 its entries left out what wasn't a trade.
VERSION: Final = 4
# MessagePack's arrays begin with 0x90 or more; versions stay below 0x80.
_BARE: Final = 0x80
_CRC_BYTES: Final = 4


# The reason of an unexplained posting that gives none.
NO_REASON: Final = "unknown"


class UnreadableCheckpoint(Exception):
    """This checkpoint can't serve; the wallet's journal has to be begun anew. Its text is the
    reason, for the log."""


class Unexplained(Struct, frozen=True, array_like=True):
    """What one reason left unexplained.

    transactions: with such a posting
    lamports: of SOL in these postings, without its sign
    """

    transactions: int = 0
    lamports: int = 0

    def beyond(self, before: "Unexplained") -> "Unexplained":
        """What came on top of that."""
        return Unexplained(
            max(0, self.transactions - before.transactions), max(0, self.lamports - before.lamports)
        )


class Counts(Struct):
    """What the book has, in counts.

    movements: transactions without a trade that moved something or failed
    unexplained: transactions with an unexplained posting
    reasons: of these, by reason; one may have several
    """

    transactions: int = 0
    failed: int = 0
    trades: int = 0
    unpriced: int = 0
    movements: int = 0
    unexplained: int = 0
    reasons: dict[str, Unexplained] = {}

    @property
    def unexplained_lamports(self) -> int:
        return sum(each.lamports for each in self.reasons.values())

    def add_unexplained(self, postings: Iterable[Posting]) -> None:
        """Those of one transaction."""
        lamports: dict[str, int] = {}
        for posting in postings:
            reason = posting.place or NO_REASON
            counted = abs(posting.raw) if posting.mint == SOL else 0
            lamports[reason] = lamports.get(reason, 0) + counted
        self.unexplained += bool(lamports)
        for reason, more in lamports.items():
            before = self.reasons.get(reason, Unexplained())
            self.reasons[reason] = Unexplained(before.transactions + 1, before.lamports + more)

    def copied(self) -> Self:
        return msgspec.structs.replace(self, reasons=self.reasons.copy())


class Checkpoint(Struct, array_like=True):
    """`ledger`, `balances`, `counts` and `cursor` are those before the tail; the rest is as in
    Book. `unsettled`: its tail and what is loose, as JSON."""

    epoch: int
    seq: int
    standing: int
    proof: Proof
    proof_all: Proof
    retracted: list[int]
    cursor: Cursor | None
    counts: Counts
    complete: bool
    truncated: bool
    ledger: bytes
    unsettled: bytes
    balances: KnownBalances
    reconciliation: Reconciliation | None = None


def pack(checkpoint: Checkpoint) -> bytes:
    return framed(VERSION, msgspec.msgpack.encode(checkpoint))


def framed(version: int, body: bytes) -> bytes:
    return bytes([version]) + _crc(version, body) + body


def _crc(version: int, body: bytes) -> bytes:
    return crc32(body, crc32(bytes([version]))).to_bytes(_CRC_BYTES)


def unpack(data: bytes) -> Checkpoint:
    """Raises WrittenByNewer, Unreadable."""
    if not data:
        raise UnreadableCheckpoint("its checkpoint is empty")
    version = data[0]
    if version >= _BARE:
        raise UnreadableCheckpoint("its checkpoint is of version 2 or older")
    crc, body = data[1 : 1 + _CRC_BYTES], data[1 + _CRC_BYTES :]
    if _crc(version, body) != crc:
        raise UnreadableCheckpoint("its checkpoint is damaged")
    if version > VERSION:
        raise WrittenByNewer
    if version < VERSION:
        raise UnreadableCheckpoint(f"its checkpoint is of version {version}")
    try:
        return msgspec.msgpack.decode(body, type=Checkpoint)
    except msgspec.MsgspecError:
        raise UnreadableCheckpoint("its checkpoint is damaged") from None


def retracted_in(data: bytes) -> frozenset[int]:
    """Sequence numbers of trades that were retracted, by a checkpoint."""
    try:
        return frozenset(unpack(data).retracted)
    except (UnreadableCheckpoint, WrittenByNewer):
        return frozenset()
