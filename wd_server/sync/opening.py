"""How a pass gets its wallet's book: as the journal has it, or a new one in a new epoch."""

import asyncio

import structlog

from wd_server.events.ids import EventId
from wd_server.events.kinds import COUNTED
from wd_server.journal.base import Head, Journal, Lease, LeaseLost
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import UnreadableCheckpoint
from wd_server.sync.sources import Sources

# Entries of a journal that is continued; then a new epoch begins, with the newest transactions of
# the wallet. Twice as many as the largest MAX_WALLET_SIZE can make, about 1.5 GB.
ENTRIES_MAX = 2_000_000
# One read of a journal that gets its chain, hashed in half a millisecond.
PROVED_ENTRIES = 256
PROVED_BYTES = 1024 * 1024

_log = structlog.get_logger("sync")


async def opened(sources: Sources, lease: Lease) -> tuple[Book, Head]:
    """The book and the journal's head. Raises WrittenByNewer."""
    journal, wallet = sources.journal, lease.wallet
    stored = await journal.checkpoint(wallet)
    head = await journal.head(wallet)
    if stored is not None and head is not None:
        try:
            return _restored(sources, wallet, head, stored), head
        except UnreadableCheckpoint as reason:
            _log.warning("journal begun anew", wallet=wallet, epoch=head.epoch, reason=str(reason))
    if head is None or head.seq:
        head = Head(await journal.begin(lease, sources.clock()), 0, "")
    return Book(wallet, sources.cost_basis, head.epoch), head


def _restored(sources: Sources, wallet: str, head: Head, stored: bytes) -> Book:
    """Raises Unreadable, WrittenByNewer."""
    book = Book.restored(wallet, sources.cost_basis, head.epoch, stored)
    if book.seq != head.seq:  # they are stored together
        raise UnreadableCheckpoint(
            f"its checkpoint is of entry {book.seq}, its newest is {head.seq}"
        )
    if head.seq >= ENTRIES_MAX:
        raise UnreadableCheckpoint("it is as long as one may be")
    return book


async def prove(book: Book, journal: Journal) -> None:
    """Chain the entries of a journal that is older than chains. Raises LeaseLost if they can't be
    read to their end: the journal is begun anew then."""
    seq = 0
    while seq < book.seq:
        entries = await journal.read(book.wallet, book.epoch, seq, PROVED_ENTRIES, PROVED_BYTES)
        if not entries:
            raise LeaseLost("The wallet's stored events can't be read to their end.")
        for entry in entries:
            if entry.kind in COUNTED:
                book.proof = book.proof.after(EventId(book.epoch, entry.seq), entry.payload)
        seq = entries[-1].seq
        await asyncio.sleep(0)
