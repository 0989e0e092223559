"""A trade in raw units, as the packages pass it on, and the trade on the wire."""

from decimal import Decimal
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

Action = Literal["buy", "sell", "swap"]
Confidence = Literal["high", "low"]
CostBasisMethod = Literal["fifo", "average"]
"""Which units a sale consumes: the oldest lots, or a share of one pool."""


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """An amount of one token in its smallest unit. SOL stands under the wrapped SOL mint."""

    mint: str
    raw: int
    decimals: int


class RawTrade(Struct, frozen=True, array_like=True, gc=False):
    """What a transaction exchanged for the wallet, in raw units and without P&L.

    Both legs are positive and gross: `fee_lamports` (network fee, tips and platform fees
    together) is set apart and in neither. `timestamp` is unix seconds.
    """

    signature: str
    slot: int
    timestamp: int
    action: Action
    sold: Leg
    bought: Leg
    fee_lamports: int
    dex: str
    confidence: Confidence


class Posting(Struct, frozen=True, array_like=True, gc=False):
    """Units of one token that came in or went out, where they were no leg of a trade. `raw` is less
    than 0 if they went out."""

    mint: str
    raw: int
    decimals: int


class TokenAmount(Struct, frozen=True, gc=False):
    mint: str
    symbol: str
    decimals: int
    amount: Decimal
    amount_raw: str


class Trade(Struct, frozen=True, gc=False):
    """The wire's trade, field by field as section 3 of the public contract lists them. A preview's
    has no `number`."""

    signature: str
    slot: int
    timestamp: int
    action: Action
    token_in: TokenAmount
    token_out: TokenAmount
    price_usd: Decimal | None
    value_usd: Decimal | None
    value_sol: Decimal | None
    fee_sol: Decimal
    pnl_usd: Decimal | None
    pnl_sol: Decimal | None
    cost_basis: CostBasisMethod
    unmatched_amount: Decimal
    position_amount: Decimal
    priced: bool
    dex: str
    confidence: Confidence
    commitment: str
    emitted_at: int
    number: int | UnsetType = UNSET
