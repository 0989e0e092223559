"""A stream as lines of text, for a pipe or a log."""

from collections.abc import Iterator

from wd_client.events import (
    Away,
    Complete,
    Event,
    Gap,
    Progress,
    Retract,
    Summary,
    Trade,
    Trades,
)

from wd_tools.watch import figures
from wd_tools.watch.agreement import agreement
from wd_tools.watch.board import gap_reason, proof, reason
from wd_tools.watch.totals import totals


def lines(event: Event) -> Iterator[str]:
    match event:
        case Trade():
            yield _trade(event)
        case Trades():
            yield from map(_trade, event.trades)
        case Progress():
            yield f"{figures.count(event.percentage):>3} %  {event.message}"
        case Complete():
            for name, text, _ in totals(event.summary):
                yield f"{name:<15} {text}"
            if (proved := proof(event)) is not None:
                yield f"{'verified':<15} {proved}"
            if (agreed := agreement(event)) is not None:
                yield agreed
        case Summary():
            yield f"realized P&L    {figures.signed(event.realized_pnl_sol)} SOL"
        case Retract():
            yield f"taken back: {event.signature}"
        case Gap():
            yield f"What came before doesn't count. {gap_reason(event)}"
        case Away():
            yield f"away, back in {event.seconds:.0f} s: {reason(event)}"


def _trade(trade: Trade) -> str:
    gave, got = figures.token(trade.token_in), figures.got(trade)
    moved = f"{figures.moment(trade.timestamp)}  {trade.action:<4}  {gave} -> {got}"
    corrected = "corrected" if trade.replaces is not None else ""
    return "  ".join(part for part in (moved, figures.earned(trade), corrected) if part)
