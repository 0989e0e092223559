"""How a client proves that it has all of a wallet's entries, unaltered and in order. Pure.

`trade` and `retract` events are *counted*, as the table of kinds says: each carries its `number`,
dense from 1, and each is a link of a hash chain. `complete` carries the count and the end of the
chain before it:

    d(0) = 32 zero bytes
    d(n) = SHA-256(d(n-1) | id | LF | payload)

where `id` is the event's id and `payload` its data, both as they stand on the wire. For the entries

    7-1 trade     {"signature":"A","number":1}
    7-2 trade     {"signature":"B","number":2}
    7-3 complete  {"entries":2,"digest":"d(2)"}
    7-4 trade     {"signature":"C","number":3}

d(3) goes on from d(2): `complete` is in no chain. A second chain of the same kind has the
`movement` events, too: `complete` carries it as `entries_all` and `digest_all`, for clients that
read them. Both states are stored in the checkpoint, in one transaction with the entries that led to
them.
"""

from hashlib import sha256
from typing import NamedTuple, Self

from wd_server.events.ids import EventId


class Proof(NamedTuple):
    """A chain's state: the number of its entries, and the 32 bytes of its end."""

    entries: int = 0
    digest: bytes = bytes(32)

    def after(self, event_id: EventId, payload: bytes) -> Self:
        """The state behind one more entry."""
        link = b"%b%b\n%b" % (self.digest, str(event_id).encode(), payload)
        return self._replace(entries=self.entries + 1, digest=sha256(link).digest())
