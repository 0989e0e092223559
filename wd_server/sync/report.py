"""A wallet as JSON: what is stored of it, and how far its first sync pass is."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from wd_server.chain.quotes import present_prices
from wd_server.events import event
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import UnreadableCheckpoint
from wd_server.sync.progress import ProgressReport
from wd_server.sync.sources import Sources
from wd_server.trading.summary import Position, Summary
from wd_server.trading.trade import CostBasisMethod

Status = Literal["running", "incomplete", "complete"]


class WalletReport(Struct):
    """A wallet as JSON. `running`: the first sync pass is under way, `progress` tells how far;
    `incomplete`: it was interrupted and goes on with the next stream."""

    wallet: str
    status: Status
    progress: event.Progress | None
    summary: Summary | None
    positions: list[Position]
    truncated: bool


async def read_report(
    sources: Sources, wallet: str, running: ProgressReport | None
) -> WalletReport | None:
    """What is known of a wallet; None if nothing is. `running`: of the pass that is under way on
    this node. Raises StoreUnavailable."""
    stored = await sources.journal.checkpoint(wallet)
    if stored is None and running is None:
        return None
    reads = running is not None or await sources.journal.held(wallet)
    # What takes 10 ms for a thousand positions, which the loop hasn't got.
    book = await asyncio.to_thread(restored, wallet, sources.cost_basis, stored)
    if book is None and not reads:
        return None
    held = [] if book is None else await asyncio.to_thread(book.ledger.held)
    prices = await present_prices(sources.quotes, held, sources.clock())
    progress = None if running is None else running.latest
    return await asyncio.to_thread(report_of, wallet, book, reads, progress, prices)


def restored(wallet: str, cost_basis: CostBasisMethod, stored: bytes | None) -> Book | None:
    """None if nothing is stored that can be read. Raises WrittenByNewer."""
    try:
        return None if stored is None else Book.restored(wallet, cost_basis, 0, stored)
    except UnreadableCheckpoint:
        return None


def report_of(
    wallet: str,
    book: Book | None,
    running: bool,
    progress: event.Progress | None,
    prices: Mapping[str, Decimal],
) -> WalletReport:
    """`prices`: USD per whole unit now, by mint, as far as they are known."""
    unfinished: Status = "running" if running else "incomplete"
    return WalletReport(
        wallet=wallet,
        status="complete" if book is not None and book.complete else unfinished,
        progress=progress,
        summary=book.ledger.summary() if book is not None else None,
        positions=book.ledger.positions(prices) if book is not None else [],
        truncated=book is not None and book.truncated,
    )
