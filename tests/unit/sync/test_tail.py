"""Whatever order transactions are told of in, and whatever leaves the chain again: what a client
has in the end is what one reading of the chain gives."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import simulated

from wd_server.chain.listing import ListedSignature
from wd_server.chain.payloads import Transaction
from wd_server.events import event, kinds
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, NewEntry
from wd_server.sync import book as booking
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import retracted_in
from wd_server.sync.comparison import Comparison
from wd_server.sync.interpreted import STAMP_SECONDS, InterpretedTransaction
from wd_server.sync.proof import Proof
from wd_server.sync.rebuilding import rebuild
from wd_server.trading.ledger import Ledger

NOW = 1_800_000_000.0
SIZE = 80
RUN = 7


@cache
def chain() -> tuple[str, list[Transaction]]:
    address, made = simulated(SIZE)
    for number, transaction in enumerate(made):
        transaction.slot = 1000 + number // 2
        transaction.transaction_index = number % 2
    return address, made


def listed(transactions: Sequence[Transaction], book: Book) -> list[ListedSignature]:
    """What a listing gives after the book's cursor."""
    signatures = [each.signature for each in transactions]
    start = 0
    if book.cursor is not None and book.cursor.signature in signatures:
        start = signatures.index(book.cursor.signature) + 1
    return [
        ListedSignature(each.signature, each.slot, each.transaction_index, each.block_time)
        for each in transactions[start:]
    ]


def record(book: Book, interpreted: Sequence[InterpretedTransaction]) -> list[NewEntry]:
    return book.record(interpreted, {}, {}, NOW)


def push(book: Book, transactions: Sequence[Transaction]) -> list[NewEntry]:
    new = book.unknown(book.interpret(transactions, int(NOW)))
    return record(book, book.inserted(new)) if new else []


def look(book: Book, transactions: Sequence[Transaction], final_slot: float) -> list[NewEntry]:
    """A pass over the history."""
    book.final_slot = final_slot
    entries_listed = listed(transactions, book)
    entries, again = book.compared(entries_listed, NOW)
    in_place = {recent.transaction.signature for recent in book.tail}
    by_signature = {each.signature: each for each in transactions}
    for entry in entries_listed:
        if entry.signature in again:
            entries += record(book, [again[entry.signature]])
        elif entry.signature not in in_place:
            entries += record(book, book.interpret([by_signature[entry.signature]], int(NOW)))
    entries += record(book, book.loose())
    book.settle()
    return entries


class Client:
    """What somebody has who takes trades, retractions and movements as they come."""

    def __init__(self) -> None:
        self.trades: dict[str, Any] = {}
        self.movements: dict[str, Any] = {}
        self.firsts: dict[str, str] = {}
        self.numbered: dict[int, Any] = {}
        self.seq = 0
        self.entries: list[Entry] = []
        self.proof = Proof()
        self.proof_all = Proof()

    def take(self, entries: Sequence[NewEntry]) -> None:
        for kind, payload in entries:
            self.seq += 1
            self.entries.append(Entry(self.seq, kind, payload))
            self.proof_all = self.proof_all.after(EventId(RUN, self.seq), payload)
            if kind == kinds.MOVEMENT:
                self.take_movement(msgspec.json.decode(payload))
                continue
            self.proof = self.proof.after(EventId(RUN, self.seq), payload)
            data = msgspec.json.decode(payload)
            assert data.pop("number") == self.proof.entries
            if kind == kinds.RETRACT:
                del self.trades[data["signature"]]
            else:
                assert data["signature"] not in self.trades
                first = self.firsts.setdefault(data["signature"], str(EventId(RUN, self.seq)))
                assert data.pop("replaces", str(EventId(RUN, self.seq))) == first
                self.trades[data["signature"]] = data
                self.numbered[self.seq] = data

    def take_movement(self, data: Any) -> None:
        if data["reason"] == event.RETRACTED:
            assert not data["postings"]
            del self.movements[data["signature"]]
        else:
            self.movements[data["signature"]] = data


def read_once(transactions: Sequence[Transaction], basis: Any = "fifo") -> tuple[Book, Client]:
    address, _ = chain()
    book, client = Book(address, basis, RUN), Client()
    client.take(record(book, book.interpret(transactions, int(NOW))))
    return book, client


def agree(book: Book, client: Client, transactions: Sequence[Transaction], basis: Any) -> None:
    expected, reader = read_once(transactions, basis)
    assert client.trades == reader.trades
    assert client.movements == reader.movements
    assert not client.movements.keys() & client.trades.keys()
    assert book.ledger.summary() == expected.ledger.summary()
    rebuilt = Ledger(basis)
    rebuild(rebuilt, client.entries)
    assert rebuilt.summary() == book.ledger.summary()
    for each in (book.ledger, rebuilt):
        by_mint = {position.mint: position for position in each.positions()}
        assert by_mint == {position.mint: position for position in expected.ledger.positions()}
    assert book.counts == expected.counts
    assert book.seq == client.seq
    assert book.proof == client.proof
    assert book.proof_all == client.proof_all
    kept = [data for seq, data in client.numbered.items() if seq not in book.retracted]
    assert {data["signature"]: data for data in kept} == reader.trades


@pytest.mark.parametrize("basis", ["fifo", "average"])
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_a_client_ends_with_the_chain_as_it_became(basis: Any, seed: int) -> None:
    random = Random(seed)
    address, transactions = chain()
    book, client = Book(address, basis, RUN), Client()
    client.take(look(book, transactions[: random.randrange(SIZE)], random.randrange(990, 1040)))
    for _ in range(random.randrange(1, 6)):
        pushed = random.choices(transactions, k=random.randrange(1, 30) if transactions else 0)
        if random.random() < 0.5:
            pushed.sort(key=lambda each: (each.slot, each.transaction_index))
        while pushed:
            some = [pushed.pop() for _ in range(min(len(pushed), random.randrange(1, 4)))]
            client.take(push(book, some))
        if random.random() < 0.3:
            book = Book.restored(address, basis, RUN, book.checkpoint())
        if random.random() < 0.5:
            cursor = book.cursor
            fixed = [each for each in transactions if cursor and each.slot <= cursor.slot]
            rest = [each for each in transactions if not cursor or each.slot > cursor.slot]
            until = random.randrange(1000, 1050)
            seen = [each for each in rest if random.random() < 0.9 and each.slot < until]
            # What is final stays: later listings have it, or it was never there.
            final = random.randrange(990, 1040)
            client.take(look(book, fixed + seen, final))
            transactions = fixed + [each for each in rest if each.slot > final or each in seen]
    client.take(look(book, transactions, 2000))
    assert not book.tail
    agree(book, client, transactions, basis)


def test_a_transaction_told_of_twice_by_two_sources_is_one_trade() -> None:
    address, transactions = chain()
    book, client = Book(address, "fifo", RUN), Client()
    book.settle()
    client.take(push(book, transactions[:10]))
    assert push(book, transactions[:10]) == []
    agree(book, client, transactions[:10], "fifo")


def test_one_that_left_the_chain_is_retracted_when_its_slot_is_final_and_not_before() -> None:
    address, transactions = chain()
    book = Book(address, "fifo", RUN)
    book.settle()
    entries = push(book, transactions[:10])
    lost = next(each for each in reversed(transactions[:10]) if _is_trade(entries, each))
    left = [each for each in transactions[:10] if each is not lost]
    assert not _retracted(look(book, left, lost.slot - 1))
    assert _retracted(look(book, left, lost.slot))[0] == lost.signature
    assert len(retracted_in(book.checkpoint())) > 0


def test_a_time_of_receipt_that_was_wrong_is_corrected_and_one_that_was_close_is_kept() -> None:
    address, transactions = chain()
    book = Book(address, "fifo", RUN)
    book.settle()
    trade = next(each for each in transactions if _is_trade(push(book, [each]), each))
    latest = trade.block_time + STAMP_SECONDS
    for stamp, resent in ((latest, False), (latest + 1, True)):
        book, client = Book(address, "fifo", RUN), Client()
        book.settle()
        bare = msgspec.structs.replace(trade, block_time=None)
        client.take(record(book, book.interpret([bare], stamp)))
        entries = look(book, [trade], 2000)
        client.take(entries)
        assert bool(_retracted(entries)) == resent
        shown = client.trades[trade.signature]["timestamp"]
        assert shown == (trade.block_time if resent else stamp)


def test_what_is_known_and_fetched_all_the_same_is_not_sent_again() -> None:
    address, transactions = chain()
    book = Book(address, "fifo", RUN)
    failed, trade = next(
        pair
        for pair in pairwise(transactions)
        if pair[0].meta.err is not None and book.interpret(pair, 0)[1].trades
    )
    bare = msgspec.structs.replace(trade, block_time=None)
    book.settle()
    assert record(book, book.interpret([bare], trade.block_time + STAMP_SECONDS))
    book.final_slot = 0
    comparison = Comparison(book, listed([failed, trade], book), NOW)
    merged = comparison.merged(book.interpret([failed, trade], int(NOW)))
    assert [each.signature for each in merged] == [failed.signature, trade.signature]
    new = comparison.entries + record(book, merged)
    assert [(kind, failed.signature.encode() in payload) for kind, payload in new] == [
        (kinds.MOVEMENT, True)
    ]


def test_a_tail_that_grows_without_end_is_shortened_when_the_chain_is_read(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(booking, "TAIL_MAX", 20)
    address, transactions = chain()
    book, client = Book(address, "fifo", RUN), Client()
    book.settle()
    for count, transaction in enumerate(transactions, 1):
        client.take(push(book, [transaction]))
        assert book.is_full == (len(book.tail) > 20)
        if book.is_full:
            client.take(look(book, transactions[:count], 0))
            assert 10 <= len(book.tail) <= 20
    agree(book, client, transactions, "fifo")


def test_what_is_told_late_is_not_lost_however_much_was_told_before_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(booking, "TAIL_MAX", 20)
    address, transactions = chain()
    late, rest = transactions[:6], transactions[6:]
    book, client = Book(address, "fifo", RUN), Client()
    book.settle()
    for transaction in (*rest, *late):
        client.take(push(book, [transaction]))
    agree(book, client, transactions, "fifo")


def test_what_is_told_after_the_chain_was_read_is_not_lost_in_a_slot_with_very_many(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(booking, "TAIL_MAX", 20)
    address, made = chain()
    transactions = [
        msgspec.structs.replace(each, slot=1000, transaction_index=index)
        for index, each in enumerate(made)
    ]
    book, client = Book(address, "fifo", RUN), Client()
    client.take(look(book, transactions[:40], 0))
    client.take(push(book, transactions[40:]))
    client.take(look(book, transactions, 0))
    agree(book, client, transactions, "fifo")


def _retracted(entries: Sequence[NewEntry]) -> list[str]:
    return [
        msgspec.json.decode(payload)["signature"]
        for kind, payload in entries
        if kind == kinds.RETRACT
    ]


def _is_trade(entries: Sequence[NewEntry], transaction: Transaction) -> bool:
    return any(
        kind == kinds.TRADE and transaction.signature.encode() in payload
        for kind, payload in entries
    )
