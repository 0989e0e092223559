"""Raw integers of the chain as the decimals that people and JSON read.

SOL is counted in lamports and USD in nanodollars, so both have nine decimals and every sum and
division in this package is one of integers. A Decimal appears only where a price comes in and where
a number goes out.
"""

from decimal import Context, Decimal

# 1 SOL = 10^9 lamports (Solana); USD is kept as finely, so that price x lamports = nanodollars.
COIN_DECIMALS = 9

# Digits: more than the product of a u64 amount, nine decimals and any price a source may give,
# so nothing is ever rounded.
EXACT = Context(prec=100)
# Significant digits of a price per unit, which is a quotient and has to end somewhere.
UNIT_PRICE = Context(prec=12)

ZERO = Decimal(0)
# From here on a price may be a whole number that Decimal would write as 1E+1.
TEN = Decimal(10)


def decimal_of(raw: int, decimals: int) -> Decimal:
    """`raw` smallest units as a whole amount: exact, without trailing zeros or `E+`."""
    if not raw:
        return ZERO
    if decimals and raw % 10:
        return Decimal(raw).scaleb(-decimals, EXACT)
    whole, rest = divmod(raw, 10**decimals)
    if not rest:
        return Decimal(whole)
    return Decimal(raw).scaleb(-decimals, EXACT).normalize(EXACT)


def coin_of(raw: int) -> Decimal:
    """Lamports as SOL, or nanodollars as USD."""
    return decimal_of(raw, COIN_DECIMALS)


def coin_or_none(raw: int | None) -> Decimal | None:
    return None if raw is None else decimal_of(raw, COIN_DECIMALS)


def raw_coin(amount: Decimal) -> int:
    """SOL as lamports, or USD as nanodollars: what `coin_of` made this amount of."""
    return int(amount.scaleb(COIN_DECIMALS, EXACT))


def raw_coin_or_none(amount: Decimal | None) -> int | None:
    return None if amount is None else raw_coin(amount)


def unit_price(total: Decimal, amount: Decimal) -> Decimal:
    """`total` per unit of a positive `amount`, to twelve significant digits."""
    price = UNIT_PRICE.normalize(UNIT_PRICE.divide(total, amount))
    if price >= TEN and price == int(price):
        return Decimal(int(price))
    return price
