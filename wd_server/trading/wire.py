"""Builds the wire's trade from what the chain recorded and what the ledger says of it."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from wd_server.trading.amounts import coin_of, coin_or_none, decimal_of, unit_price
from wd_server.trading.ledger import Outcome
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade, TokenAmount, Trade


def trade_of(
    trade: RawTrade,
    value: Value,
    outcome: Outcome,
    symbols: Mapping[str, str],
    commitment: str,
    emitted_at_ms: int,
    cost_basis: CostBasisMethod,
    number: int | UnsetType = UNSET,
    block_index: int | None = None,
    replaces: str | UnsetType = UNSET,
) -> Trade:
    """Section 3 of the public contract.

    `price_usd`, `unmatched_amount` and `position_amount` are of the base token: the one sold by a
    sell, bought by a buy or a swap; except that what a swap has unmatched is of the token sold.
    A mint without a symbol stands for itself. Encode with `decimal_format="number"`.
    """
    sold, bought = _token(trade.sold, symbols), _token(trade.bought, symbols)
    base = sold if trade.action == "sell" else bought
    value_usd, value_sol = value.usd, coin_or_none(value.lamports)
    return Trade(
        signature=trade.signature,
        part=trade.part,
        parts=trade.parts,
        replaces=replaces,
        slot=trade.slot,
        block_index=block_index,
        timestamp=trade.timestamp,
        action=trade.action,
        token_in=sold,
        token_out=bought,
        token=base.mint,
        price_usd=None if value_usd is None else unit_price(value_usd, base.amount),
        price_sol=None if value_sol is None else unit_price(value_sol, base.amount),
        value_usd=value_usd,
        value_sol=value_sol,
        fee_sol=coin_of(trade.fee_lamports),
        network_fee_sol=coin_of(trade.network_fee),
        tip_sol=coin_of(trade.tip),
        platform_fee_sol=coin_of(trade.platform_fee),
        pnl_usd=coin_or_none(outcome.pnl_nanousd),
        pnl_sol=coin_or_none(outcome.pnl_lamports),
        cost_basis=cost_basis,
        unmatched_amount=decimal_of(outcome.unmatched_raw, trade.sold.decimals),
        position_amount=decimal_of(outcome.position_raw, base.decimals),
        priced=value_usd is not None,
        dex=trade.dex,
        confidence=trade.confidence,
        commitment=commitment,
        emitted_at=emitted_at_ms,
        number=number,
    )


def _token(leg: Leg, symbols: Mapping[str, str]) -> TokenAmount:
    symbol = "SOL" if leg.mint == SOL else symbols.get(leg.mint) or leg.mint
    return TokenAmount(
        mint=leg.mint,
        symbol=symbol,
        decimals=leg.decimals,
        amount=decimal_of(leg.raw, leg.decimals),
        amount_raw=str(leg.raw),
    )
