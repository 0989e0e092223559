"""What a book leaves in the journal beside its entries, as bytes. Pure.

A checkpoint is one byte with its version, the CRC-32 of that and the rest in four bytes, and the
rest in MessagePack. Version 2, of wd-server 0.1.0, was MessagePack alone, which never begins with a
byte that is a version. Every later version keeps this frame, so any server can tell from it whether
a newer one wrote the journal: it then leaves the wallet to servers that can read it, instead of
beginning the journal anew and destroying their work. The CRC covers the version, too: otherwise a
flipped bit would make a checkpoint look like a newer one's.
"""

from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from wd_server.chain.listing import Cursor
from wd_server.errors import WrittenByNewer
from wd_server.events.event import Reconciliation
from wd_server.trading.continuity import KnownBalances

# Grows with every change of what a checkpoint or a stored entry means. Checkpoints of the version
# before are taken over (`unpack`); those that are older still have their journal begun anew.
VERSION: Final = 4
# MessagePack's arrays begin with 0x90 or more; versions stay below 0x80.
_BARE: Final = 0x80
_CRC_BYTES: Final = 4


class UnreadableCheckpoint(Exception):
    """This checkpoint can't serve; the wallet's journal has to be begun anew. Its text is the
    reason, for the log."""


class Counts(Struct):
    transactions: int = 0
    failed: int = 0
    trades: int = 0
    unpriced: int = 0


class Checkpoint(Struct, array_like=True):
    """`version` is kept for version 2. `ledger`, `counts` and `cursor` are those before the tail.
    `entries` and `digest` are the chain's state (proof.py) behind `seq`; `digest` None: the journal
    is older than the chain. `epoch`: the journal's, 0 in version 2. `balances`: what the accounts
    held before the tail; `reconciliation`: what came of the last comparison with the chain."""

    version: int
    seq: int
    retracted: list[int]
    cursor: Cursor | None
    counts: Counts
    complete: bool
    truncated: bool
    ledger: bytes
    unsettled: bytes
    entries: int = 0
    digest: bytes | None = None
    epoch: int = 0
    balances: KnownBalances | None = None
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
    version, body = data[0], data
    if version < _BARE:
        crc, body = data[1 : 1 + _CRC_BYTES], data[1 + _CRC_BYTES :]
        if _crc(version, body) != crc:
            raise UnreadableCheckpoint("its checkpoint is damaged")
        if version > VERSION:
            raise WrittenByNewer
        if version < VERSION:
            raise UnreadableCheckpoint(f"its checkpoint is of version {version}")
    try:
        checkpoint = msgspec.msgpack.decode(body, type=Checkpoint)
    except msgspec.MsgspecError:
        raise UnreadableCheckpoint("its checkpoint is damaged") from None
    if checkpoint.version not in (VERSION - 1, VERSION):
        raise UnreadableCheckpoint(f"its checkpoint is of version {checkpoint.version}")
    return checkpoint


def retracted_in(data: bytes) -> frozenset[int]:
    """Sequence numbers of trades that were retracted, by a checkpoint."""
    try:
        return frozenset(unpack(data).retracted)
    except (UnreadableCheckpoint, WrittenByNewer):
        return frozenset()
