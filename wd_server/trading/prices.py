"""What a trade was worth, in SOL and in USD.

SOL on either side gives the value in SOL exactly; a stable coin on either side gives the value in
USD at its face, one dollar each. What is missing then comes from the price of SOL in that minute.
A trade of two other tokens is worth what the one with the better quote was quoted at: a token
whose price is steady before one that moves by the minute, then the sold one before the bought one.
Without the quotes it takes, the trade has no value in that currency. A burn is worth nothing.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from wd_server.chain.price_sources import STEADY_MINTS, PriceKey
from wd_server.trading.amounts import COIN_DECIMALS, EXACT, coin_or_none
from wd_server.trading.programs import SOL, STABLE_MINTS
from wd_server.trading.trade import Leg, RawTrade

Prices = Mapping[PriceKey, Decimal]
"""USD per whole unit, positive and finite."""


class Value(Struct, frozen=True, array_like=True, gc=False):
    """Worth of a trade: lamports and nanodollars, None where no source knows."""

    lamports: int | None
    nanousd: int | None

    @property
    def sol(self) -> Decimal | None:
        return coin_or_none(self.lamports)

    @property
    def usd(self) -> Decimal | None:
        return coin_or_none(self.nanousd)


def wanted_prices(trade: RawTrade) -> tuple[PriceKey, ...]:
    """The quotes `value_of` can use for this trade; none if it needs none."""
    if trade.action == "burn":
        return ()
    minute = trade.timestamp // 60
    sold, bought = trade.sold.mint, trade.bought.mint
    has_stable = sold in STABLE_MINTS or bought in STABLE_MINTS
    if SOL in (sold, bought):
        return () if has_stable else ((SOL, minute),)
    if has_stable:
        return ((SOL, minute),)
    return (SOL, minute), (sold, minute), (bought, minute)


def value_of(trade: RawTrade, prices: Prices) -> Value:
    """The trade's value from its own legs, and from `prices` where they don't say."""
    if trade.action == "burn":
        return Value(0, 0)
    minute = trade.timestamp // 60
    lamports = sol_leg(trade)
    nanousd = _stable_leg(trade)
    if lamports is not None and nanousd is not None:
        return Value(lamports, nanousd)
    sol_price = prices.get((SOL, minute))
    if lamports is not None:
        if sol_price is not None:
            nanousd = int(EXACT.multiply(sol_price, lamports))
        return Value(lamports, nanousd)
    if nanousd is None:
        better, other = trade.sold, trade.bought
        if other.mint in STEADY_MINTS and better.mint not in STEADY_MINTS:
            better, other = other, better
        nanousd = _quoted(better, minute, prices)
        if nanousd is None:
            nanousd = _quoted(other, minute, prices)
    if nanousd is not None and sol_price is not None:
        lamports = int(EXACT.divide_int(Decimal(nanousd), sol_price))
    return Value(lamports, nanousd)


def sol_leg(trade: RawTrade) -> int | None:
    """Lamports of the leg that is SOL, None if neither is."""
    if trade.sold.mint == SOL:
        return trade.sold.raw
    return trade.bought.raw if trade.bought.mint == SOL else None


def face_value(raw: int, decimals: int) -> int:
    """Nanodollars of a stable coin's smallest units."""
    dollars: int = raw * 10**COIN_DECIMALS // 10**decimals
    return dollars


def _stable_leg(trade: RawTrade) -> int | None:
    # Of two stable coins what came in counts, so that what the exchange kept shows as a loss.
    for leg in (trade.bought, trade.sold):
        if leg.mint in STABLE_MINTS:
            return face_value(leg.raw, leg.decimals)
    return None


def _quoted(leg: Leg, minute: int, prices: Prices) -> int | None:
    price = prices.get((leg.mint, minute))
    if price is None:
        return None
    return int(EXACT.scaleb(EXACT.multiply(price, leg.raw), COIN_DECIMALS - leg.decimals))
