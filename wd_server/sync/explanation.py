"""How a transaction became figures: its postings, its trades, the lots they consumed. Pure.

An explanation is made of what the journal has of a transaction, and of what a ledger that traces
its lots says when it records the transaction again. An example, in short:

    trade    sell 30 A for 4 SOL, pnl_sol 1.5
    values   value_sol is the leg in SOL; value_usd comes from a quote of 150 $ for SOL
    lots     20 A that came with 3xK… and cost 1 SOL, 10 A that came with 5pQ… and cost 1.5 SOL
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Struct

from wd_server.events.event import Movement
from wd_server.events.ids import EventId
from wd_server.events.kinds import MOVEMENT
from wd_server.journal.base import Entry
from wd_server.sync.rebuilding import restored_transactions
from wd_server.sync.stored_history import StoredTransaction
from wd_server.trading.amounts import coin_of, decimal_of, unit_price
from wd_server.trading.ledger import Consumed, Outcome
from wd_server.trading.programs import SOL, STABLE_MINTS
from wd_server.trading.trade import PostedAmount, Trade
from wd_server.trading.wire import posted

ValueSource = Literal["sol_leg", "stable_coin_at_face", "quote"]

_trades: Final = msgspec.json.Decoder(Trade)
_movements: Final = msgspec.json.Decoder(Movement)

# Seconds for which a quote holds.
QUOTE_SECONDS = 60


class UsedQuote(Struct):
    """`minute`: unix seconds of its begin."""

    mint: str
    minute: int
    price_usd: Decimal


class ConsumedLot(Struct):
    """Units that a trade gave. `signature` None: nothing that was read brought them, or they were a
    share of one pool under average cost. A cost is None where nothing of it is known."""

    signature: str | None
    amount: Decimal
    amount_raw: str
    cost_sol: Decimal | None
    cost_usd: Decimal | None
    known: bool


class ExplainedTrade(Struct):
    """`id` is its event's. The sources are None where there is no value, and of a burn, which is
    worth nothing."""

    id: str
    trade: Trade
    value_sol_from: ValueSource | None
    value_usd_from: ValueSource | None
    quotes: Sequence[UsedQuote]
    lots: Sequence[ConsumedLot]


class EarlierVersion(Struct):
    """What was told of the transaction before: a trade or a movement."""

    id: str
    trade: Trade | None
    movement: Movement | None


class ExplainedTransaction(Struct):
    """`reason`: why the transaction is no trade, None if it is one. `earlier`: oldest first."""

    wallet: str
    signature: str
    slot: int
    block_index: int | None
    timestamp: int
    reason: str | None
    postings: Sequence[PostedAmount]
    trades: Sequence[ExplainedTrade]
    earlier: Sequence[EarlierVersion]


def explanation_of(
    wallet: str,
    epoch: int,
    stored: StoredTransaction,
    counting: Sequence[Entry],
    earlier: Sequence[Entry],
    outcomes: Sequence[Outcome],
) -> ExplainedTransaction:
    """`counting`, `earlier`: the entries of `stored`. `outcomes`: what a tracing ledger says of its
    trades."""
    reason, trades = None, []
    if counting[0].kind == MOVEMENT:
        movement = _movements.decode(counting[0].payload)
        reason, timestamp, postings = movement.reason, movement.timestamp, movement.postings
    else:
        told = [_trades.decode(entry.payload) for entry in counting]
        timestamp, postings = told[0].timestamp, _postings(told, counting)
        trades = [
            explained(str(EventId(epoch, entry.seq)), trade, outcome)
            for entry, trade, outcome in zip(counting, told, outcomes, strict=True)
        ]
    return ExplainedTransaction(
        wallet=wallet,
        signature=stored.signature,
        slot=stored.slot,
        block_index=stored.index,
        timestamp=timestamp,
        reason=reason,
        postings=postings,
        trades=trades,
        earlier=[_earlier(epoch, entry) for entry in earlier],
    )


def explained(event_id: str, trade: Trade, outcome: Outcome) -> ExplainedTrade:
    in_sol, in_usd = value_sources(trade)
    return ExplainedTrade(
        id=event_id,
        trade=trade,
        value_sol_from=in_sol,
        value_usd_from=in_usd,
        quotes=used_quotes(trade),
        lots=[_lot(each, trade.token_in.decimals) for each in outcome.consumed],
    )


def value_sources(trade: Trade) -> tuple[ValueSource | None, ValueSource | None]:
    """Of the values in SOL and in USD."""
    if trade.action == "burn":
        return None, None
    mints = {trade.token_in.mint, trade.token_out.mint}
    in_sol: ValueSource = "sol_leg" if SOL in mints else "quote"
    in_usd: ValueSource = "stable_coin_at_face" if mints & STABLE_MINTS else "quote"
    return (
        None if trade.value_sol is None else in_sol,
        None if trade.value_usd is None else in_usd,
    )


def used_quotes(trade: Trade) -> list[UsedQuote]:
    """The prices behind the values, as far as the values tell them. Of a swap of two other tokens
    than SOL and stable coins each has the price that its trade was made at: which of the two was
    quoted isn't stored."""
    in_sol, in_usd = value_sources(trade)
    if trade.value_usd is None or "quote" not in (in_sol, in_usd):
        return []
    priced = [(SOL, trade.value_sol)] if trade.value_sol else []
    if in_usd == "quote" and in_sol != "sol_leg":
        priced += [(leg.mint, leg.amount) for leg in (trade.token_in, trade.token_out)]
    minute = trade.timestamp // QUOTE_SECONDS * QUOTE_SECONDS
    return [UsedQuote(mint, minute, unit_price(trade.value_usd, each)) for mint, each in priced]


def _lot(each: Consumed, decimals: int) -> ConsumedLot:
    has_cost_sol = each.known or each.cost_lamports > 0
    has_cost_usd = each.cost_nanousd > 0 or (each.known and not each.cost_lamports)
    return ConsumedLot(
        signature=each.signature or None,
        amount=decimal_of(each.raw, decimals),
        amount_raw=str(each.raw),
        cost_sol=coin_of(each.cost_lamports) if has_cost_sol else None,
        cost_usd=coin_of(each.cost_nanousd) if has_cost_usd else None,
        known=each.known,
    )


def _postings(trades: Sequence[Trade], entries: Sequence[Entry]) -> list[PostedAmount]:
    """All of a transaction's, with the names of tokens that its trades tell."""
    tokens = [token for trade in trades for token in (trade.token_in, trade.token_out)]
    symbols = {each.mint: each.symbol for each in tokens if each.symbol != each.mint}
    symbols |= {each.mint: each.symbol for each in trades[0].postings or () if each.symbol}
    return [
        posted(posting, symbols)
        for restored in restored_transactions(entries)
        for posting in restored.interpretation.postings
    ]


def _earlier(epoch: int, entry: Entry) -> EarlierVersion:
    is_movement = entry.kind == MOVEMENT
    return EarlierVersion(
        id=str(EventId(epoch, entry.seq)),
        trade=None if is_movement else _trades.decode(entry.payload),
        movement=_movements.decode(entry.payload) if is_movement else None,
    )
