"""How a pass gets its wallet's book: as the journal has it, or a new one in a new epoch."""

import structlog

from wd_server.journal.base import Head, Lease
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import UnreadableCheckpoint
from wd_server.sync.sources import Sources

# Entries of a journal that is continued; then a new epoch begins, with the newest transactions of
# the wallet. Twice as many as the largest MAX_WALLET_SIZE can make, about 1.5 GB.
ENTRIES_MAX = 2_000_000

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
