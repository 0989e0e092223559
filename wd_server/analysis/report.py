"""A wallet as JSON: what is stored of it, and how far its analysis is. Pure."""

from typing import Literal

from msgspec import Struct

from wd_server.analysis.book import Book
from wd_server.streaming import event
from wd_server.trading.summary import Position, Summary
from wd_server.trading.trade import CostBasis

Status = Literal["running", "incomplete", "complete"]


class WalletReport(Struct):
    """A wallet as JSON. `running`: the first analysis is under way, `progress` tells how far;
    `incomplete`: it was interrupted and goes on with the next stream."""

    wallet: str
    status: Status
    progress: event.Progress | None
    summary: Summary | None
    positions: list[Position]
    truncated: bool


def report_of(
    wallet: str,
    stored: bytes | None,
    cost_basis: CostBasis,
    running: bool,
    progress: event.Progress | None,
) -> WalletReport | None:
    book = Book.restored(wallet, cost_basis, stored) if stored is not None else None
    if book is None and not running:
        return None
    unfinished: Status = "running" if running else "incomplete"
    return WalletReport(
        wallet=wallet,
        status="complete" if book is not None and book.complete else unfinished,
        progress=progress,
        summary=book.ledger.summary() if book is not None else None,
        positions=book.ledger.positions() if book is not None else [],
        truncated=book is not None and book.truncated,
    )
