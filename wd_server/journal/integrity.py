"""How a store notices that what it reads is not what was appended.

A store may lose entries or alter them: a disk flips bits, Redis evicts a key, somebody deletes one.
Every page that is read is checked against two facts. Its entries are numbered without a hole from
the position asked for, and each has the checksum that was stored with it. Entries of wd-server
0.1.0 have none and pass.

A page that fails is never served. The journal gives up the whole epoch (`discard`), because a
client couldn't tell which of its entries are true. The wallet's writer then begins a new epoch from
the chain, and clients are told by `gap`.
"""

from zlib import crc32

from wd_server.errors import StoreUnavailable


class Damaged(StoreUnavailable):
    """What is stored isn't what was appended. `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("The server's event store is damaged. Its operator has to restore it.")
        self.reason = reason


def checksum(kind: str, payload: bytes) -> int:
    """CRC-32 of an entry: any flipped bit changes it, and so does all but one of four billion other
    alterations."""
    return crc32(payload, crc32(kind.encode()))


def check_entry(seq: int, kind: str, payload: bytes, stored: int | None) -> None:
    """Raises Damaged. `stored` is the checksum, None for an entry that has none."""
    if stored is not None and stored != checksum(kind, payload):
        raise Damaged(f"entry {seq} has another checksum than it was stored with")


def check_follows(seq: int, after: int) -> None:
    """Raises Damaged if the entry that was found isn't the next one."""
    if seq != after + 1:
        raise Damaged(f"entry {after + 1} is missing: the next one found is {seq}")
