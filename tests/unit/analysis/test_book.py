"""A run that is cut and goes on writes what one that isn't cut writes."""

from decimal import Decimal
from functools import cache
from math import inf

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import simulated

from wd_server.analysis.book import Book
from wd_server.analysis.read import mints_of, previewed, prices_for
from wd_server.chain.payloads import Transaction
from wd_server.journal.base import NewEntry
from wd_server.trading.programs import SOL

NOW = 1_800_000_000.0
SIZE = 120


@cache
def wallet() -> tuple[str, list[Transaction]]:
    return simulated(SIZE)


def entries_of(book: Book, transactions: list[Transaction]) -> list[NewEntry]:
    book.final_slot = inf
    return book.record(book.read(transactions, 0), {}, {}, NOW)


@pytest.mark.parametrize("basis", ["fifo", "average"])
@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, SIZE), max_size=5))
def test_cuts_change_neither_trades_nor_totals(basis: str, cuts: list[int]) -> None:
    address, transactions = wallet()
    whole = Book(address, basis)  # type: ignore[arg-type]
    expected = entries_of(whole, transactions)
    book: Book | None = Book(address, basis)  # type: ignore[arg-type]
    entries = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), SIZE], strict=True):
        assert book is not None
        entries += entries_of(book, transactions[start:end])
        book = Book.restored(address, basis, book.checkpoint())  # type: ignore[arg-type]
    assert book is not None
    assert entries == expected
    assert len(entries) > SIZE // 2
    assert book.counts == whole.counts
    assert book.cursor == whole.cursor
    assert book.ledger.summary() == whole.ledger.summary()
    assert book.ledger.positions() == whole.ledger.positions()


def test_the_cursor_is_the_last_transaction_read_whether_it_was_a_trade_or_not() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo")
    for transaction in transactions:
        entries_of(book, [transaction])
        assert book.cursor is not None
        assert book.cursor.signature == transaction.signature
    assert book.counts.transactions == SIZE
    assert book.counts.failed == sum(each.meta.err is not None for each in transactions) > 0


def test_what_cannot_be_continued_is_not_restored() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo")
    entries_of(book, transactions)
    stored = book.checkpoint()
    assert Book.restored(address, "fifo", stored) is not None
    assert Book.restored(address, "average", stored) is None
    assert Book.restored(address, "fifo", stored[:-1]) is None
    assert Book.restored(address, "fifo", b"") is None
    fields = msgspec.msgpack.decode(stored)
    older = msgspec.msgpack.encode([fields[0] - 1, *fields[1:]])
    assert Book.restored(address, "fifo", older) is None


def test_trades_are_priced_by_the_quotes_they_ask_for() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo")
    read = book.read(transactions, 0)
    prices = {key: Decimal(150) for key in prices_for(read) if key[0] == SOL}
    trades = [msgspec.json.decode(entry.payload) for entry in book.record(read, prices, {}, NOW)]
    with_sol = [
        trade for trade in trades if SOL in (trade["token_in"]["mint"], trade["token_out"]["mint"])
    ]
    assert with_sol
    assert all(trade["priced"] for trade in with_sol)
    assert book.counts.unpriced == sum(not trade["priced"] for trade in trades)


def test_names_of_tokens_reach_the_trades_and_mints_stand_in_for_missing_ones() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo")
    read = book.read(transactions, 0)
    named, *others = sorted(mints_of(read) - {SOL})
    entries = book.record(read, {}, {named: "NAME"}, NOW)
    tokens = [
        token
        for trade in map(msgspec.json.decode, (entry.payload for entry in entries))
        for token in (trade["token_in"], trade["token_out"])
    ]
    symbols = {token["mint"]: token["symbol"] for token in tokens}
    assert symbols[named] == "NAME"
    assert symbols[SOL] == "SOL"
    assert all(symbols[mint] == mint for mint in others)


def test_a_preview_knows_no_profit() -> None:
    address, transactions = wallet()
    read = Book(address, "fifo").read(transactions, 0)
    trades = previewed(read, {}, {}, "fifo", NOW)
    assert len(trades) > SIZE // 2
    assert all(trade.pnl_sol is None and trade.pnl_usd is None for trade in trades)
