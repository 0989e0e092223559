"""Which entries of a journal count is told alike where all are in memory and where they are not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wd_server.journal.base import Entry
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction
from wd_server.sync.rebuilding import restored_transactions
from wd_server.sync.stored_history import StoredHistory
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL
from wd_server.trading.trade import Leg, RawTrade

NOW = 1_800_000_000.0


def told(*entries: tuple[str, str, int | None]) -> StoredHistory:
    """Kinds, signatures and slots; a movement without a slot takes one back."""
    history = StoredHistory()
    for seq, (kind, signature, slot) in enumerate(entries, 1):
        payload: dict[str, Any] = {"signature": signature, "slot": slot or 0}
        if kind == "movement" and slot is None:
            payload["reason"] = "retracted"
        history.add(Entry(seq, kind, json.dumps(payload).encode()))
    return history


def test_what_was_corrected_stands_where_its_last_version_says() -> None:
    history = told(
        ("trade", "A", 7),
        ("movement", "B", 8),
        ("retract", "A", None),
        ("trade", "C", 9),
        ("trade", "A", 6),
        ("complete", "", None),
        ("movement", "B", 8),
    )
    found = [(each.signature, each.seqs, each.earlier) for each in history.in_order()]
    assert found == [("A", [5], [1]), ("B", [7], [2]), ("C", [4], [])]


def test_what_was_taken_back_does_not_count() -> None:
    history = told(
        ("trade", "A", 7), ("movement", "B", 8), ("retract", "A", None), ("movement", "B", None)
    )
    assert history.in_order() == []


def test_all_parts_of_a_transaction_count() -> None:
    (stored,) = told(("trade", "A", 7), ("trade", "A", 7)).in_order()
    assert stored.seqs == [1, 2]


def transaction(number: int, slot: int, index: int | None, is_trade: bool) -> Any:
    signature = f"S{number}"
    if is_trade:
        trade = RawTrade(signature, slot, 1, "buy", Leg(SOL, 9, 9), Leg("A", 5, 0), 0, "", "high")
        legs = (Posting("sold", SOL, -9, 9), Posting("bought", "A", 5, 0))
        interpretation = Interpretation((trade,), None, legs)
    else:
        interpretation = Interpretation((), "one_sided", (Posting("received", "A", 5, 0),))
    return InterpretedTransaction(slot, signature, False, interpretation, 1, index)


@pytest.mark.parametrize("indexed", [True, False])
@settings(deadline=None, max_examples=100)
@given(
    versions=st.lists(
        st.lists(
            st.builds(
                transaction, st.integers(0, 5), st.integers(1, 4), st.just(None), st.booleans()
            ),
            min_size=1,
            unique_by=lambda each: each.signature,
        ),
        max_size=4,
    )
)
def test_it_agrees_with_the_rebuilding_on_what_counts_and_in_which_order(
    indexed: bool, versions: list[list[InterpretedTransaction]]
) -> None:
    book = Book("wallet", "fifo", 7)
    book.settle()
    new = []
    for version in versions:  # the chain tells of the same transactions in other places
        if indexed:
            for each in version:
                each.index = int(each.signature[1:])
        book.inserted([transaction(9, 0, None, False)])  # takes all out of the tail
        new += book.record(sorted(version, key=lambda each: each.slot), {}, {}, NOW)
    entries = [Entry(seq, *entry) for seq, entry in enumerate(new, 1)]
    history = StoredHistory()
    for entry in entries:
        history.add(entry)
    assert [(each.signature, each.slot, each.index) for each in history.in_order()] == [
        (each.signature, each.slot, each.block_index) for each in restored_transactions(entries)
    ]
