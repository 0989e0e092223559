"""The hash chain over a wallet's entries, by which a client proves that it has all of them,
unaltered and in order: `d(n) = SHA-256(d(n-1) + id + LF + payload)`, from 32 zero bytes.

The entries are the `trade` and `retract` events. Each `complete` says how many came before it and
what the chain's end is. A second chain has the `movement` events, too. So a client that was sent
the whole history of one wallet, without filters, `batch` or `skip_pricing`, can compare.
"""

from hashlib import sha256
from typing import Any, Final, NamedTuple

from wd_client.errors import Mismatch

BEGINNING: Final = bytes(32)


class Bookmark(NamedTuple):
    """Where a client is, to be kept and handed in by another process.

    `id`: of the last event that had one.
    `entries`: how many trades and retracts came up to there.
    `digest`: the end of the chain over them, in hex.
    `entries_all`, `digest_all`: the same of the chain with movements.

    Of each chain both are None where it isn't read, can't be proved, or its beginning wasn't seen.
    """

    id: str
    entries: int | None = None
    digest: str | None = None
    entries_all: int | None = None
    digest_all: str | None = None


class Chain:
    """What came so far. `entries` and `digest` are None while they aren't known: a stream that
    began in the middle learns the first from its first entry's `number`, and never the second."""

    def __init__(self, entries: int | None = 0, digest: bytes | None = BEGINNING) -> None:
        self.entries = entries
        self.digest = digest

    def add(self, event_id: bytes, payload: bytes, number: Any) -> None:
        """An entry came. An older server sends no `number`. Raises Mismatch where it shows that
        others before this one didn't come."""
        if isinstance(number, int):
            if self.entries is not None and number != self.entries + 1:
                raise Mismatch(f"entry {number} came after entry {self.entries}")
            self.entries = number
        elif self.entries is not None:
            self.entries += 1
        if self.digest is not None:
            self.digest = link(self.digest, event_id, payload)

    def proves(self, entries: Any, digest: Any) -> bool:
        """Whether everything came, by what a `complete` says; False where that can't be told.
        Raises Mismatch where it did not."""
        if not isinstance(entries, int) or not isinstance(digest, str):
            return False
        if self.entries is not None and self.entries != entries:
            raise Mismatch(f"{self.entries} entries came, and the server counts {entries}")
        if self.digest is not None and self.digest.hex() != digest:
            raise Mismatch(f"the digest of {entries} entries is another than the server's")
        return self.digest is not None


def chain_at(entries: int | None, digest: str | None) -> Chain:
    """The chain as it was where a bookmark says this. Raises ValueError for a digest that is
    none."""
    end = None if digest is None else bytes.fromhex(digest)
    if end is not None and len(end) != len(BEGINNING):
        raise ValueError("the bookmark's digest is none: it has 64 hex digits")
    return Chain(entries, end)


def link(digest: bytes, event_id: bytes, payload: bytes) -> bytes:
    """The chain's end behind this entry."""
    return sha256(b"%b%b\n%b" % (digest, event_id, payload)).digest()
