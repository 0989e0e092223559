"""Numbers and texts of a trade for the eye: short, with a sign where that matters, and harmless.

Symbols are whatever a token's maker chose, and a server may be anybody's, so both may hold
anything. Any number may be missing that an older server doesn't send.
"""

import math
from datetime import UTC, datetime
from decimal import Decimal

from wd_client.events import Token, Trade

NOTHING = "-"
# Characters of a symbol that are shown; mints that have none stand for themselves and are longer.
SYMBOL_CHARS = 10
# Powers of ten that are written out. No amount has more, and the digits of 1e999999999 would fill
# the memory.
EXPONENT_MAX = 400
_LARGE = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"))


def amount(value: Decimal | None) -> str:
    """With about five digits."""
    if value is None:
        return NOTHING
    if not is_plain(value):
        return str(value)
    size = abs(value)
    for step, suffix in _LARGE:
        if size >= step:
            return f"{value / step:,.2f}{suffix}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 1 or not value:
        return f"{value:,.2f}"
    digits = min(12, 2 - size.adjusted())
    return f"{value:.{digits}f}"


def is_plain(value: Decimal) -> bool:
    """It can be compared and written out: it is finite, and neither too large nor too small."""
    return value.is_finite() and abs(value.adjusted()) <= EXPONENT_MAX


def signed(value: Decimal | None) -> str:
    text = amount(value)
    return f"+{text}" if value is not None and is_plain(value) and value > 0 else text


def token(token: Token) -> str:
    return f"{amount(token.amount)} {symbol(token)}"


def got(trade: Trade) -> str:
    """What the wallet got; a burn gets nothing."""
    return "burned" if trade.action == "burn" else token(trade.token_out)


def proceeds(trade: Trade) -> str:
    """In SOL; a burn has none."""
    return NOTHING if trade.action == "burn" else amount(trade.value_sol)


def is_unmatched(trade: Trade) -> bool:
    """Some of what it sold has no known cost, and is in no P&L."""
    unmatched = trade.unmatched_amount
    return unmatched is not None and is_plain(unmatched) and unmatched > 0


def is_without_cost(trade: Trade) -> bool:
    """Nothing of what it sold has a known cost, so its P&L isn't known. A server of before sends 0
    there instead of null."""
    if not is_unmatched(trade):
        return False
    sold = trade.token_in.amount
    every = sold is not None and is_plain(sold) and trade.unmatched_amount >= sold
    return trade.pnl_sol is None or every


def earned(trade: Trade) -> str:
    """What is realized, in words. Proceeds without a known cost are no profit, and no 0 either."""
    if is_without_cost(trade):
        burned = trade.action == "burn" or trade.value_sol is None
        return "without known cost" if burned else f"{proceeds(trade)} SOL without known cost"
    if trade.pnl_sol is None:
        return ""
    rest = f"{amount(trade.unmatched_amount)} {symbol(trade.token_in)} without known cost"
    return f"{signed(trade.pnl_sol)} SOL{f', {rest}' if is_unmatched(trade) else ''}"


def symbol(token: Token) -> str:
    shown = printable(token.symbol)
    if len(shown) > SYMBOL_CHARS:
        shown = f"{shown[: SYMBOL_CHARS - 1]}…"
    return shown


def printable(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(each if each.isprintable() else "�" for each in text)


def percent(share: Decimal | None) -> str:
    if share is None:
        return NOTHING
    return f"{share:.0%}" if is_plain(share) else str(share)


def count(number: int | None) -> str:
    return NOTHING if number is None else f"{number:,}"


def moment(timestamp: int | None) -> str:
    """The number itself where it is none of a calendar's."""
    if timestamp is None:
        return NOTHING
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def whole(seconds: float) -> str:
    """As many seconds, or the next whole number of them."""
    return str(math.ceil(seconds)) if math.isfinite(seconds) else str(seconds)
