"""A trade in raw units, as the packages pass it on, and the trade on the wire."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from wd_server.trading.amounts import ZERO
from wd_server.trading.postings import PostingKind

Action = Literal["buy", "sell", "swap", "burn"]
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

    Both legs are gross and positive, but for the SOL that a burn got, which is 0. Fees are in
    lamports and in neither leg; all of a transaction's are those of its part 0. `timestamp` is
    unix seconds. `part` counts the trades of a transaction from 0, `parts` says how many they are.
    """

    signature: str
    slot: int
    timestamp: int
    action: Action
    sold: Leg
    bought: Leg
    network_fee: int
    dex: str
    confidence: Confidence
    tip: int = 0
    platform_fee: int = 0
    part: int = 0
    parts: int = 1

    @property
    def fee_lamports(self) -> int:
        return self.network_fee + self.tip + self.platform_fee


class TokenAmount(Struct, frozen=True, gc=False):
    mint: str
    symbol: str
    decimals: int
    amount: Decimal
    amount_raw: str


class PostedAmount(Struct, frozen=True, gc=False):
    """The wire's posting. What isn't known of it is missing."""

    kind: PostingKind
    mint: str
    decimals: int
    amount: Decimal
    amount_raw: str
    symbol: str | UnsetType = UNSET
    counterparty: str | UnsetType = UNSET
    place: str | UnsetType = UNSET


class Trade(Struct, frozen=True, kw_only=True, gc=False):
    """The wire's trade, field by field as section 3 of the public contract lists them. A preview's
    has no `number`, one that was never corrected no `replaces`, and one whose transaction moved
    nothing else no `postings`: these are those beside the legs and the fees, and part 0 has them.
    Fields with a default are those that a server of 0.1.0, which may be another node, doesn't
    send."""

    signature: str
    part: int = 0
    parts: int = 1
    slot: int
    block_index: int | None = None
    timestamp: int
    action: Action
    token_in: TokenAmount
    token_out: TokenAmount
    token: str = ""
    price_usd: Decimal | None
    price_sol: Decimal | None = None
    value_usd: Decimal | None
    value_sol: Decimal | None
    fee_sol: Decimal
    network_fee_sol: Decimal = ZERO
    priority_fee_sol: Decimal = ZERO
    tip_sol: Decimal = ZERO
    platform_fee_sol: Decimal = ZERO
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
    replaces: str | UnsetType = UNSET
    postings: Sequence[PostedAmount] | UnsetType = UNSET
