"""A pass that is cut and goes on writes what one that isn't cut writes."""

from decimal import Decimal
from functools import cache
from hashlib import sha256
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import simulated

from wd_server.chain.payloads import Transaction
from wd_server.errors import WrittenByNewer
from wd_server.events import event, kinds
from wd_server.journal.base import NewEntry
from wd_server.sync import checkpoint
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import Unexplained, UnreadableCheckpoint, retracted_in
from wd_server.sync.interpreted import (
    InterpretedTransaction,
    mints_of,
    previewed,
    prices_for,
)
from wd_server.sync.movements import is_movement
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL

NOW = 1_800_000_000.0
SIZE = 120
EPOCH = 7


@cache
def wallet() -> tuple[str, list[Transaction]]:
    return simulated(SIZE)


def entries_of(book: Book, transactions: list[Transaction]) -> list[NewEntry]:
    book.final_slot = inf
    return book.record(book.interpret(transactions, 0), {}, {}, NOW)


def trades_in(entries: list[NewEntry]) -> list[Any]:
    return [msgspec.json.decode(each.payload) for each in entries if each.kind == kinds.TRADE]


@pytest.mark.parametrize("basis", ["fifo", "average"])
@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, SIZE), max_size=5))
def test_cuts_change_neither_trades_nor_totals(basis: str, cuts: list[int]) -> None:
    address, transactions = wallet()
    whole = Book(address, basis, EPOCH)  # type: ignore[arg-type]
    expected = entries_of(whole, transactions)
    book = Book(address, basis, EPOCH)  # type: ignore[arg-type]
    entries = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), SIZE], strict=True):
        entries += entries_of(book, transactions[start:end])
        book = Book.restored(address, basis, EPOCH, book.checkpoint())  # type: ignore[arg-type]
    assert entries == expected
    assert len(entries) > SIZE // 2
    assert book.counts == whole.counts
    assert book.cursor == whole.cursor
    assert book.proof == whole.proof
    assert book.proof_all == whole.proof_all
    assert book.ledger.summary() == whole.ledger.summary()
    assert book.ledger.positions() == whole.ledger.positions()


def test_the_cursor_is_the_last_transaction_read_whether_it_was_a_trade_or_not() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    for transaction in transactions:
        entries_of(book, [transaction])
        assert book.cursor is not None
        assert book.cursor.signature == transaction.signature
    assert book.counts.transactions == SIZE
    assert book.counts.failed == sum(each.meta.err is not None for each in transactions) > 0


def stored_book() -> bytes:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    entries_of(book, transactions)
    return book.checkpoint()


def restore(data: bytes, basis: Any = "fifo") -> Book:
    return Book.restored(wallet()[0], basis, EPOCH, data)


def test_a_book_with_another_cost_basis_is_not_restored() -> None:
    assert restore(stored_book()).proof.entries > 0
    with pytest.raises(UnreadableCheckpoint, match="fifo"):
        restore(stored_book(), "average")


@pytest.mark.parametrize("data", [b"", b"\x03", b"\x02rest", b"\xc1", b"\x99"])
def test_a_checkpoint_that_is_none_says_so(data: bytes) -> None:
    with pytest.raises(UnreadableCheckpoint):
        restore(data)


@settings(deadline=None, max_examples=200)
@given(place=st.integers(min_value=1), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_in_a_checkpoint_is_found(place: int, bit: int) -> None:
    data = bytearray(stored_book_once())
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(UnreadableCheckpoint):
        restore(bytes(data))


@cache
def stored_book_once() -> bytes:
    return stored_book()


def test_a_newer_servers_checkpoint_is_left_to_newer_servers() -> None:
    newer = checkpoint.framed(checkpoint.VERSION + 1, b"whatever that version means")
    with pytest.raises(WrittenByNewer):
        restore(newer)
    assert retracted_in(newer) == frozenset()


@pytest.mark.parametrize("before", [msgspec.msgpack.encode([2, 1]), checkpoint.framed(3, b"[]")])
def test_a_journal_that_left_out_what_was_no_trade_is_begun_anew(before: bytes) -> None:
    with pytest.raises(UnreadableCheckpoint, match=r"of version [23]"):
        restore(before)


def test_a_checkpoint_of_another_epoch_is_not_restored() -> None:
    with pytest.raises(UnreadableCheckpoint, match=f"of epoch {EPOCH}"):
        Book.restored(wallet()[0], "fifo", EPOCH + 1, stored_book())


def test_each_trade_has_its_number_and_the_chains_end_with_the_last() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    digest, digest_all, numbers = bytes(32), bytes(32), []
    entries = entries_of(book, transactions)
    for seq, entry in enumerate(entries, 1):
        digest_all = sha256(b"%b%d-%d\n%b" % (digest_all, EPOCH, seq, entry.payload)).digest()
        if entry.kind == kinds.TRADE:
            digest = sha256(b"%b%d-%d\n%b" % (digest, EPOCH, seq, entry.payload)).digest()
            numbers.append(msgspec.json.decode(entry.payload)["number"])
    assert numbers == list(range(1, len(numbers) + 1))
    assert 0 < len(numbers) < len(entries)
    assert book.proof == (len(numbers), digest)
    assert book.proof_all == (len(entries), digest_all)


def test_a_complete_is_in_no_chain_and_stands_until_a_trade_follows_it() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    book.entry(complete_of(book))
    assert book.proof == book.proof_all == (0, bytes(32))
    movement = next(each for each in interpreted_of(book, transactions) if is_movement(each))
    trade = next(each for each in interpreted_of(book, transactions) if each.trades)
    (told,) = book.record([movement], {}, {}, NOW)
    assert msgspec.json.decode(told.payload)["complete"] == f"{EPOCH}-1"
    assert book.standing == 1
    assert restore(book.checkpoint()).standing == 1
    book.record([trade], {}, {}, NOW)
    (told,) = book.record([msgspec.structs.replace(movement, signature="later")], {}, {}, NOW)
    assert "complete" not in msgspec.json.decode(told.payload)
    assert book.standing == 0


def test_what_nothing_explains_is_counted_by_reason_and_with_its_sol() -> None:
    book = Book(wallet()[0], "fifo", EPOCH)
    postings = (
        Posting("unexplained", SOL, -700, 9, place="step"),
        Posting("unexplained", SOL, 30, 9, place="step"),
        Posting("unexplained", "mint", 5, 6),
        Posting("sent", SOL, -1, 9),
    )
    both = InterpretedTransaction(1, "A", False, Interpretation((), "one_sided", postings), 0)
    one = InterpretedTransaction(2, "B", False, Interpretation((), "one_sided", postings[:1]), 0)
    book.record([both, one], {}, {}, NOW)
    assert (book.counts.unexplained, book.counts.unexplained_lamports) == (2, 1430)
    reasons = {"step": Unexplained(2, 1430), "unknown": Unexplained(1, 0)}
    assert book.counts.reasons == reasons
    assert restore(book.checkpoint()).counts == book.counts
    assert book.counts.movements == 2


def complete_of(book: Book) -> event.Complete:
    return event.Complete(
        status="complete",
        trades_found=0,
        duration=0.5,
        summary=book.ledger.summary(),
        metrics=event.SyncMetrics(0, 0, 0, 0, 0, 0, Decimal(0), {}),
        truncated=False,
        timestamp=0,
        entries=0,
        digest="00" * 32,
        entries_all=0,
        digest_all="00" * 32,
    )


def interpreted_of(book: Book, transactions: list[Transaction]) -> list[InterpretedTransaction]:
    return book.interpret(transactions, 0)


def test_trades_are_priced_by_the_quotes_they_ask_for() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    interpreted = book.interpret(transactions, 0)
    prices = {key: Decimal(150) for key in prices_for(interpreted) if key[0] == SOL}
    trades = trades_in(book.record(interpreted, prices, {}, NOW))
    with_sol = [
        trade for trade in trades if SOL in (trade["token_in"]["mint"], trade["token_out"]["mint"])
    ]
    assert with_sol
    assert all(trade["priced"] for trade in with_sol)
    assert book.counts.unpriced == sum(not trade["priced"] for trade in trades)


def test_names_of_tokens_reach_the_trades_and_mints_stand_in_for_missing_ones() -> None:
    address, transactions = wallet()
    book = Book(address, "fifo", EPOCH)
    interpreted = book.interpret(transactions, 0)
    named, *others = sorted(mints_of(interpreted) - {SOL})
    entries = book.record(interpreted, {}, {named: "NAME"}, NOW)
    tokens = [
        token for trade in trades_in(entries) for token in (trade["token_in"], trade["token_out"])
    ]
    symbols = {token["mint"]: token["symbol"] for token in tokens}
    assert symbols[named] == "NAME"
    assert symbols[SOL] == "SOL"
    assert all(symbols[mint] == mint for mint in others)


def test_a_preview_knows_no_profit() -> None:
    address, transactions = wallet()
    interpreted = Book(address, "fifo", EPOCH).interpret(transactions, 0)
    trades = previewed(interpreted, {}, {}, "fifo", NOW)
    assert len(trades) > SIZE // 2
    assert all(trade.pnl_sol is None and trade.pnl_usd is None for trade in trades)
