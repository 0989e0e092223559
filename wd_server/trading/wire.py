"""Builds the wire's trade from what the chain recorded and what the ledger says of it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from wd_server.trading.amounts import coin_of, coin_or_none, decimal_of, unit_price
from wd_server.trading.ledger import Outcome
from wd_server.trading.postings import Posting
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL
from wd_server.trading.trade import (
    CostBasisMethod,
    Leg,
    PostedAmount,
    RawTrade,
    TokenAmount,
    Trade,
)


class Stamp(NamedTuple):
    """What a trade says of its own telling.

    commitment: how settled the transaction was when it was read
    emitted_at_ms: unix milliseconds
    cost_basis: how the cost of what is sold is found
    number, replaces: as on the wire
    block_index: its place in the block, None where that isn't known
    priority_fee: lamports of the network fee, on part 0
    beside: what the transaction moved beside the legs and fees of its trades, on part 0
    """

    commitment: str
    emitted_at_ms: int
    cost_basis: CostBasisMethod
    number: int | UnsetType = UNSET
    replaces: str | UnsetType = UNSET
    block_index: int | None = None
    priority_fee: int = 0
    beside: Sequence[PostedAmount] = ()


def trade_of(
    trade: RawTrade, value: Value, outcome: Outcome, symbols: Mapping[str, str], stamp: Stamp
) -> Trade:
    """Section 3 of the public contract.

    `price_usd`, `unmatched_amount` and `position_amount` are of `token`: what a sell sold or a
    burn destroyed, what a buy or a swap got. But what a swap has unmatched is of the token sold.
    A mint without a symbol stands for itself. Encode with `decimal_format="number"`.
    """
    sold, bought = _token(trade.sold, symbols), _token(trade.bought, symbols)
    base = sold if trade.action in ("sell", "burn") else bought
    return Trade(
        signature=trade.signature,
        part=trade.part,
        parts=trade.parts,
        replaces=stamp.replaces,
        slot=trade.slot,
        block_index=stamp.block_index,
        timestamp=trade.timestamp,
        action=trade.action,
        token_in=sold,
        token_out=bought,
        token=base.mint,
        price_usd=_per_unit(value.usd, base),
        price_sol=_per_unit(value.sol, base),
        value_usd=value.usd,
        value_sol=value.sol,
        fee_sol=coin_of(trade.fee_lamports),
        network_fee_sol=coin_of(trade.network_fee),
        priority_fee_sol=coin_of(stamp.priority_fee),
        tip_sol=coin_of(trade.tip),
        platform_fee_sol=coin_of(trade.platform_fee),
        pnl_usd=coin_or_none(outcome.pnl_nanousd),
        pnl_sol=coin_or_none(outcome.pnl_lamports),
        cost_basis=stamp.cost_basis,
        unmatched_amount=decimal_of(outcome.unmatched_raw, trade.sold.decimals),
        position_amount=decimal_of(outcome.position_raw, base.decimals),
        priced=value.nanousd is not None,
        dex=trade.dex,
        confidence=trade.confidence,
        commitment=stamp.commitment,
        emitted_at=stamp.emitted_at_ms,
        number=stamp.number,
        postings=stamp.beside or UNSET,
    )


def posted(posting: Posting, symbols: Mapping[str, str]) -> PostedAmount:
    """The wire's posting. It has a symbol where that is known."""
    symbol = "SOL" if posting.mint == SOL else symbols.get(posting.mint)
    return PostedAmount(
        kind=posting.kind,
        mint=posting.mint,
        decimals=posting.decimals,
        amount=decimal_of(posting.raw, posting.decimals),
        amount_raw=str(posting.raw),
        symbol=symbol or UNSET,
        counterparty=posting.counterparty or UNSET,
        place=posting.place or UNSET,
    )


def _per_unit(value: Decimal | None, token: TokenAmount) -> Decimal | None:
    return None if value is None else unit_price(value, token.amount)


def _token(leg: Leg, symbols: Mapping[str, str]) -> TokenAmount:
    symbol = "SOL" if leg.mint == SOL else symbols.get(leg.mint) or leg.mint
    return TokenAmount(
        mint=leg.mint,
        symbol=symbol,
        decimals=leg.decimals,
        amount=decimal_of(leg.raw, leg.decimals),
        amount_raw=str(leg.raw),
    )
