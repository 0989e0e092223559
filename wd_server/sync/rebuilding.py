"""A wallet's ledger from its stored entries alone, without the chain. Pure.

Entries are decoded as clients get them: what a client is told is enough to rebuild every figure.
Corrections are applied first. For the entries

    7-1 movement  {"signature":"A","slot":10,"postings":[...]}
    7-2 trade     {"signature":"C","slot":12}
    7-3 retract   {"signature":"C"}
    7-4 trade     {"signature":"B","slot":11}
    7-5 trade     {"signature":"C","slot":12,"replaces":"7-2"}
    7-6 movement  {"signature":"A","reason":"retracted","postings":[]}

what counts is B and then C, as 7-4 and 7-5 tell them. Transactions come in the order of their
slots. Within a slot their places in the block decide; where one isn't known, the corrected version
stands where the first one stood.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from wd_server.events import kinds
from wd_server.events.event import RETRACTED, Movement
from wd_server.journal.base import Entry
from wd_server.trading.amounts import raw_coin, raw_coin_or_none
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.ledger import Ledger
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL, SOL_DECIMALS
from wd_server.trading.trade import Leg, PostedAmount, RawTrade, TokenAmount, Trade


class RestoredTransaction(NamedTuple):
    """What the entries tell of one transaction: what `Ledger.record` takes, and where it stands.

    values: of its trades, by part
    block_index: its place in the block, None where that isn't known
    first: seq of the first entry that told of it
    """

    signature: str
    slot: int
    block_index: int | None
    first: int
    interpretation: Interpretation
    values: tuple[Value, ...]


class _Retract(Struct):
    signature: str


_trades: Final = msgspec.json.Decoder(Trade)
_movements: Final = msgspec.json.Decoder(Movement)
_retracts: Final = msgspec.json.Decoder(_Retract)


def rebuild(ledger: Ledger, entries: Iterable[Entry]) -> None:
    """Record in an empty ledger all that the entries tell, from the first of their epoch on."""
    for each in restored_transactions(entries):
        ledger.record(each.interpretation, each.values)


def restored_transactions(entries: Iterable[Entry]) -> Iterator[RestoredTransaction]:
    """What the entries tell in the end, in the order of the chain."""
    ordered = sorted(_told(entries), key=lambda each: (each.slot, each.first))
    for _, group in groupby(ordered, key=lambda each: each.slot):
        yield from _in_block(list(group))


def _in_block(transactions: list[RestoredTransaction]) -> list[RestoredTransaction]:
    places = [each.block_index for each in transactions]
    if None in places:
        return transactions
    return sorted(transactions, key=lambda each: each.block_index or 0)


def _told(entries: Iterable[Entry]) -> Iterator[RestoredTransaction]:
    trades: dict[str, list[Trade]] = {}
    movements: dict[str, Movement] = {}
    firsts: dict[str, int] = {}
    for entry in entries:
        if entry.kind == kinds.TRADE:
            trade = _trades.decode(entry.payload)
            trades.setdefault(trade.signature, []).append(trade)
            firsts.setdefault(trade.signature, entry.seq)
        elif entry.kind == kinds.RETRACT:
            del trades[_retracts.decode(entry.payload).signature]
        elif entry.kind == kinds.MOVEMENT:
            movement = _movements.decode(entry.payload)
            firsts.setdefault(movement.signature, entry.seq)
            movements[movement.signature] = movement
            if movement.reason == RETRACTED:
                del movements[movement.signature]
    for signature, parts in trades.items():
        yield _of_trades(parts, firsts[signature])
    for signature, movement in movements.items():
        yield _of_movement(movement, firsts[signature])


def _of_movement(movement: Movement, first: int) -> RestoredTransaction:
    interpretation = Interpretation(
        (),
        movement.reason,  # type: ignore[arg-type]  # as it was when it was told
        tuple(map(_posting, movement.postings)),
    )
    return RestoredTransaction(
        movement.signature, movement.slot, movement.block_index, first, interpretation, ()
    )


def _of_trades(parts: list[Trade], first: int) -> RestoredTransaction:
    """What came in beside the trades stands before their legs, so that they can give it, and what
    went out stands behind."""
    trades = tuple(_raw_trade(each) for each in parts)
    beside = [_posting(each) for part in parts for each in part.postings or ()]
    postings = (
        *_fees(trades[0], raw_coin(parts[0].priority_fee_sol)),
        *(each for each in beside if each.raw > 0),
        *(leg for trade in trades for leg in _legs(trade)),
        *(each for each in beside if each.raw <= 0),
    )
    head = parts[0]
    return RestoredTransaction(
        head.signature,
        head.slot,
        head.block_index,
        first,
        Interpretation(trades, None, postings),
        tuple(_value(each) for each in parts),
    )


def _raw_trade(trade: Trade) -> RawTrade:
    return RawTrade(
        signature=trade.signature,
        slot=trade.slot,
        timestamp=trade.timestamp,
        action=trade.action,
        sold=_leg(trade.token_in),
        bought=_leg(trade.token_out),
        network_fee=raw_coin(trade.network_fee_sol),
        dex=trade.dex,
        confidence=trade.confidence,
        tip=raw_coin(trade.tip_sol),
        platform_fee=raw_coin(trade.platform_fee_sol),
        part=trade.part,
        parts=trade.parts,
    )


def _value(trade: Trade) -> Value:
    return Value(raw_coin_or_none(trade.value_sol), raw_coin_or_none(trade.value_usd))


def _leg(token: TokenAmount) -> Leg:
    return Leg(token.mint, int(token.amount_raw), token.decimals)


def _legs(trade: RawTrade) -> Iterator[Posting]:
    sold, bought = trade.sold, trade.bought
    kind: PostingKind = "burned" if trade.action == "burn" else "sold"
    yield Posting(kind, sold.mint, -sold.raw, sold.decimals, part=trade.part)
    if bought.raw:
        yield Posting("bought", bought.mint, bought.raw, bought.decimals, part=trade.part)


def _fees(trade: RawTrade, priority_fee: int) -> Iterator[Posting]:
    fees: tuple[tuple[PostingKind, int], ...] = (
        ("network_fee", trade.network_fee - priority_fee),
        ("priority_fee", priority_fee),
        ("tip", trade.tip),
        ("platform_fee", trade.platform_fee),
    )
    for kind, lamports in fees:
        if lamports:
            yield Posting(kind, SOL, -lamports, SOL_DECIMALS)


def _posting(posted: PostedAmount) -> Posting:
    return Posting(
        posted.kind,
        posted.mint,
        int(posted.amount_raw),
        posted.decimals,
        posted.counterparty or "",
        posted.place or "",
    )
