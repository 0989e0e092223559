"""A wallet's totals in words."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from wd_client.events import Summary

from wd_tools.watch import figures

# Fields of a summary in SOL that older servers don't send, and what they are called.
_FEES = (
    ("network_fees_sol", "network"),
    ("tips_sol", "tips"),
    ("platform_fees_sol", "platform"),
    ("failed_fees_sol", "failed"),
)
# Most wallets have none of these.
_SELDOM = (
    ("round_trip_pnl_sol", "round trips"),
    ("rent_locked_sol", "rent locked"),
    ("unexplained_sol", "unexplained"),
)
_ALL, _PERCENT = Decimal(1), Decimal("0.01")


class Total(NamedTuple):
    """One line. `value` decides the colour where one does."""

    name: str
    text: str
    value: Decimal | None = None


def totals(summary: Summary) -> Iterator[Total]:
    yield Total("trades", f"{figures.count(summary.trades)} ({_kinds(summary)})")
    usd = f" ({figures.signed(summary.realized_pnl_usd)} $)" if summary.priced_trades else ""
    realized = summary.realized_pnl_sol
    yield Total("realized P&L", f"{figures.signed(realized)} SOL{usd}", realized)
    net = f"{figures.signed(summary.net_pnl_sol)} SOL"
    fees = f"{figures.amount(summary.fees_sol)} SOL"
    yield Total("after fees", f"{net} (fees {fees})", summary.net_pnl_sol)
    yield from _fees(summary)
    yield from _without_cost(summary)
    for field, name in _SELDOM:
        if value := _added(summary, field):
            yield Total(name, f"{figures.signed(value)} SOL")
    won = f"{figures.count(summary.tokens_won)} of {figures.count(summary.tokens_sold)} tokens"
    yield Total("won", f"{figures.percent(summary.win_rate)} ({won})")
    yield Total("open positions", figures.count(summary.open_positions))


def _kinds(summary: Summary) -> str:
    """How many trades are of which kind. A burn is none of the three that are counted."""
    buys, sells, swaps = summary.buys, summary.sells, summary.swaps
    text = ", ".join(
        f"{figures.count(count)} {name}"
        for count, name in ((buys, "buys"), (sells, "sells"), (swaps, "swaps"))
    )
    if None in (summary.trades, buys, sells, swaps):  # an older server
        return text
    burns = summary.trades - buys - sells - swaps
    return f"{text}, {figures.count(burns)} burns" if burns > 0 else text


def _fees(summary: Summary) -> Iterator[Total]:
    known = [(name, _added(summary, field)) for field, name in _FEES]
    text = ", ".join(f"{name} {figures.amount(fee)}" for name, fee in known if fee is not None)
    if text:
        yield Total("fees", f"{text} SOL")


def _without_cost(summary: Summary) -> Iterator[Total]:
    sold, known = summary.unmatched_sol, _added(summary, "known_cost_share")
    if sold is not None and figures.is_plain(sold) and sold > 0:
        share = f" ({figures.percent(_ALL - known)} of what was got)" if known is not None else ""
        yield Total("no known cost", f"{figures.amount(sold)} SOL sold without known cost{share}")
    priced = _added(summary, "priced_share")
    if priced is not None and 0 <= priced < _ALL:
        # Rounded down: 100 % would say all of them.
        share = figures.percent(priced.quantize(_PERCENT, ROUND_DOWN))
        yield Total("priced", f"{share} of the trades have a value in $")


def _added(summary: Summary, field: str) -> Decimal | None:
    """None from an older server, and for what can't be shown."""
    value = summary.data.get(field)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if figures.is_plain(number) else None
