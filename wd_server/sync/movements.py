"""What is told of a transaction beside its trades: the postings of part 0, or a movement. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import UNSET

from wd_server.events import event
from wd_server.events.ids import EventId
from wd_server.sync.interpreted import COMMITMENT, InterpretedTransaction
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import FEE_KINDS, Posting
from wd_server.trading.trade import PostedAmount
from wd_server.trading.wire import posted

# The reason of a movement whose interpretation gives none.
_NO_REASON = "other"


def is_movement(transaction: InterpretedTransaction) -> bool:
    """Whether it has no trade, and moved something or failed."""
    return not transaction.trades and (
        transaction.failed or bool(transaction.interpretation.postings)
    )


def movement_of(
    transaction: InterpretedTransaction,
    symbols: Mapping[str, str],
    emitted_at_ms: int,
    standing: EventId | None,
) -> event.Movement:
    """`standing`: the `complete` that the movement doesn't overtake, if there is one."""
    interpretation = transaction.interpretation
    postings = [posted(each, symbols) for each in interpretation.postings]
    reason = interpretation.reason or _NO_REASON
    return _movement(transaction, reason, postings, emitted_at_ms, standing)


def retraction_of(
    transaction: InterpretedTransaction, emitted_at_ms: int, standing: EventId | None
) -> event.Movement:
    """Takes the transaction's movement back."""
    return _movement(transaction, event.RETRACTED, (), emitted_at_ms, standing)


def _movement(
    transaction: InterpretedTransaction,
    reason: str,
    postings: Sequence[PostedAmount],
    emitted_at_ms: int,
    standing: EventId | None,
) -> event.Movement:
    return event.Movement(
        signature=transaction.signature,
        slot=transaction.slot,
        block_index=transaction.index,
        timestamp=transaction.timestamp,
        reason=reason,
        postings=postings,
        commitment=COMMITMENT,
        emitted_at=emitted_at_ms,
        complete=UNSET if standing is None else str(standing),
    )


def priority_fee_of(interpretation: Interpretation) -> int:
    """Lamports."""
    return -sum(each.raw for each in interpretation.postings if each.kind == "priority_fee")


def beside_trades(interpretation: Interpretation) -> Iterator[Posting]:
    """The postings that the trades don't tell by their legs and fees."""
    burned = {
        (trade.sold.mint, -trade.sold.raw)
        for trade in interpretation.trades
        if trade.action == "burn"
    }
    for posting in interpretation.postings:
        if posting.kind in ("sold", "bought") or posting.kind in FEE_KINDS:
            continue
        if posting.kind == "burned" and (posting.mint, posting.raw) in burned:
            continue
        yield posting
