"""What is stored of a wallet is enough to rebuild its ledger, without the chain."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from simulated import simulated

from wd_server.chain.payloads import EnhancedTransaction, Transaction
from wd_server.events import kinds
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, NewEntry
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction, interpret_transaction, prices_for
from wd_server.sync.rebuilding import rebuild, restored_transactions
from wd_server.trading.continuity import STEP
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.ledger import Ledger
from wd_server.trading.postings import Posting, balance_changes
from wd_server.trading.programs import SOL
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings"
NOW = 1_800_000_000.0
EPOCH = 7
WALLET = "wallet"


def stored(new: Sequence[NewEntry]) -> list[Entry]:
    return [Entry(seq, *entry) for seq, entry in enumerate(new, 1)]


def check(book: Book, entries: Sequence[Entry]) -> None:
    ledger = Ledger(book.ledger.cost_basis)
    rebuild(ledger, entries)
    assert ledger.summary() == book.ledger.summary()
    assert ledger.positions() == book.ledger.positions()
    assert ledger.to_bytes() == book.ledger.to_bytes()


def check_recorded(
    wallet: str, transactions: Sequence[InterpretedTransaction], basis: CostBasisMethod
) -> int:
    """Returns how many entries the wallet has."""
    book = Book(wallet, basis, EPOCH)
    # Prices of many digits, so that values are rounded.
    prices = {key: Decimal("151.2345678901") for key in prices_for(transactions)}
    entries = stored(book.record(transactions, prices, {}, NOW))
    check(book, entries)
    told = {each.signature: each for each in restored_transactions(entries)}
    for each in transactions:
        changes = balance_changes(each.interpretation.postings)
        assert not changes or own_changes(told[each.signature].interpretation) == changes
    return len(entries)


def own_changes(interpretation: Interpretation) -> dict[str, int]:
    """What the transaction itself changed, without the steps that the book found before it."""
    return balance_changes([each for each in interpretation.postings if each.place != STEP])


@pytest.mark.parametrize("basis", ["fifo", "average"])
def test_the_entries_of_a_simulated_wallet_rebuild_its_ledger(basis: CostBasisMethod) -> None:
    address, transactions = simulated(400)
    interpreted = [interpret_transaction(each, address, 0) for each in transactions]
    assert check_recorded(address, interpreted, basis) > 300


# Real transactions.


def raw_items() -> Iterator[dict[str, Any]]:
    for folder in ("raw", "raw_more", "histories"):
        for path in sorted((RECORDINGS / folder).glob("*.json")):
            content = json.loads(path.read_bytes())
            if isinstance(content, dict):
                content = content.get("transactions", [content])
            yield from (item for item in content if isinstance(item, dict))


def enhanced_items() -> Iterator[dict[str, Any]]:
    for folder in ("enhanced", "enhanced_trimmed"):
        for path in sorted((RECORDINGS / folder).glob("*.json")):
            if not path.stem.endswith("_raw"):
                yield from json.loads(path.read_bytes())


@cache
def recorded() -> dict[str, list[InterpretedTransaction]]:
    """By wallet, in the order of the chain: whoever signed a transaction or held tokens in it."""
    found: dict[str, dict[str, InterpretedTransaction]] = {}
    for kind, items in (
        (Transaction, raw_items()),
        (EnhancedTransaction, enhanced_items()),
    ):
        for item in items:
            try:
                transaction = msgspec.json.decode(json.dumps(item), type=kind)
            except msgspec.ValidationError:
                continue  # of another shape; what it means is tested elsewhere
            for wallet in owners(transaction):
                interpreted = interpret_transaction(transaction, wallet, 0)
                found.setdefault(wallet, {})[interpreted.signature] = interpreted
    return {wallet: sorted(each.values(), key=place) for wallet, each in found.items()}


def place(transaction: InterpretedTransaction) -> tuple[int, int]:
    return transaction.slot, transaction.index or 0


def owners(transaction: Transaction | EnhancedTransaction) -> set[str]:
    if isinstance(transaction, EnhancedTransaction):
        return {transaction.fee_payer}
    meta = transaction.meta
    balances = (*(meta.pre_token_balances or ()), *(meta.post_token_balances or ()))
    return {each.owner for each in balances if each.owner} | {first_signer(transaction)}


def first_signer(transaction: Transaction) -> str:
    key = transaction.transaction.message.account_keys[0]
    return key if isinstance(key, str) else key.pubkey


@pytest.mark.recordings
@pytest.mark.parametrize("basis", ["fifo", "average"])
def test_the_entries_of_every_recorded_wallet_rebuild_its_ledger(
    basis: CostBasisMethod,
) -> None:
    wallets = recorded()
    entries = [check_recorded(wallet, each, basis) for wallet, each in wallets.items()]
    assert len(entries) > 150
    assert sum(entries) > 250


# What is told of one transaction.


def transaction(
    signature: str, interpretation: Interpretation, slot: int = 1, index: int | None = None
) -> InterpretedTransaction:
    return InterpretedTransaction(slot, signature, False, interpretation, 1_700_000_000, index)


def trade(signature: str, sold: Leg, bought: Leg, **fields: Any) -> RawTrade:
    action = "buy" if sold.mint == SOL else "sell"
    known = {"network_fee": 0, "dex": "pumpfun", "confidence": "high", "action": action}
    return RawTrade(
        signature=signature,
        slot=1,
        timestamp=1_700_000_000,
        sold=sold,
        bought=bought,
        **(known | fields),
    )


def legs(*trades: RawTrade) -> tuple[Posting, ...]:
    return tuple(
        posting
        for each in trades
        for posting in (
            Posting("sold", each.sold.mint, -each.sold.raw, each.sold.decimals, part=each.part),
            Posting(
                "bought", each.bought.mint, each.bought.raw, each.bought.decimals, part=each.part
            ),
        )
    )


def test_several_trades_fees_and_what_moved_beside_them_come_back_as_they_were() -> None:
    fees_of_first = {"network_fee": 25, "priority_fee": 20, "tip": 10, "platform_fee": 3}
    first = trade("S", Leg("A", 5, 6), Leg(SOL, 700, 9), parts=2, **fees_of_first)
    second = trade("S", Leg("B", 2**64 - 1, 0), Leg(SOL, 1, 9), part=1, parts=2)
    beside = (
        Posting("custody_in", "A", 5, 6, place="jupiter_limit"),
        Posting("sent", "C", -(10**18), 9, counterparty="friend"),
        Posting("unexplained", SOL, -4, 9, place="step"),
        Posting("burned", "A", -1, 6, place="raydium"),
    )
    fees = (
        Posting("network_fee", SOL, -5, 9),
        Posting("priority_fee", SOL, -20, 9),
        Posting("tip", SOL, -10, 9),
        Posting("platform_fee", SOL, -3, 9),
    )
    postings = (*fees, beside[0], *legs(first, second), *beside[1:])
    book = Book(WALLET, "fifo", EPOCH)
    interpreted = transaction("S", Interpretation((first, second), None, postings), index=3)
    told = [msgspec.json.decode(each.payload) for each in book.record([interpreted], {}, {}, NOW)]
    assert [len(each.get("postings", ())) for each in told] == [4, 0]
    book = Book(WALLET, "fifo", EPOCH)
    (restored,) = restored_transactions(stored(book.record([interpreted], {}, {}, NOW)))
    assert restored.interpretation == interpreted.interpretation
    assert (restored.slot, restored.block_index) == (1, 3)


def test_a_burn_is_its_own_leg_and_no_posting_beside_it() -> None:
    burn = trade("S", Leg("A", 5, 6), Leg(SOL, 0, 9), action="burn")
    postings = (Posting("burned", "A", -5, 6),)
    book = Book(WALLET, "fifo", EPOCH)
    (entry,) = book.record([transaction("S", Interpretation((burn,), None, postings))], {}, {}, NOW)
    assert "postings" not in msgspec.json.decode(entry.payload)
    (restored,) = restored_transactions(stored([entry]))
    assert restored.interpretation == Interpretation((burn,), None, postings)


def received(signature: str, slot: int, index: int | None = None) -> InterpretedTransaction:
    postings = (Posting("received", "A", 5, 6, counterparty="friend"),)
    return transaction(signature, Interpretation((), "one_sided", postings), slot, index)


def sold(signature: str, slot: int) -> InterpretedTransaction:
    sale = trade(signature, Leg("A", 5, 6), Leg(SOL, 700, 9))
    sale = msgspec.structs.replace(sale, slot=slot)
    return transaction(signature, Interpretation((sale,), None, legs(sale)), slot)


def test_corrections_are_applied_and_transactions_come_in_the_order_of_the_chain() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    book.settle()
    new = book.record([received("first", 10), sold("late", 13)], {}, {}, NOW)
    new += book.record(book.inserted([received("between", 12), sold("early", 9)]), {}, {}, NOW)
    assert [entry.kind for entry in new].count(kinds.RETRACT) == 1
    entries = stored(new)
    order = [each.signature for each in restored_transactions(entries)]
    assert order == ["early", "first", "between", "late"]
    check(book, entries)
    dropped, again = book.compared([], NOW)
    assert not dropped + list(again)  # nothing is final yet
    book.final_slot = 12
    new += book.compared([], NOW)[0]
    assert [each.signature for each in restored_transactions(stored(new))] == ["late"]


@pytest.mark.parametrize(("indexes", "order"), [((2, 1), "BA"), ((None, 1), "AB")])
def test_within_a_block_the_places_decide_where_all_are_known(
    indexes: tuple[int | None, int], order: str
) -> None:
    book = Book(WALLET, "fifo", EPOCH)
    pair = [received("A", 5, indexes[0]), received("B", 5, indexes[1])]
    entries = stored(book.record(pair, {}, {}, NOW))
    assert "".join(each.signature for each in restored_transactions(entries)) == order


def test_within_a_block_a_corrected_version_stands_where_the_first_one_stood() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    book.settle()
    new = book.record([received("A", 5), received("B", 5)], {}, {}, NOW)
    corrected = msgspec.structs.replace(received("A", 5), timestamp=1_700_000_060)
    book.inserted([received("before", 4)])
    new += book.record([received("before", 4), corrected, received("B", 5)], {}, {}, NOW)
    entries = stored(new)
    assert len(entries) == 4  # B is as it was told
    assert [each.signature for each in restored_transactions(entries)] == ["before", "A", "B"]
    check(book, entries)


def test_a_movement_that_becomes_a_trade_is_taken_back_and_the_reverse() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    book.settle()
    new = []
    for meaning, expected in (
        (received("S", 10), [kinds.MOVEMENT]),
        (sold("S", 10), [kinds.MOVEMENT, kinds.TRADE]),
        (received("S", 10), [kinds.RETRACT, kinds.MOVEMENT]),
        (sold("S", 10), [kinds.MOVEMENT, kinds.TRADE]),
    ):
        if book.tail:
            book.inserted([received("before", 9)])
        told = book.record([meaning], {}, {}, NOW)
        assert [entry.kind for entry in told] == expected
        new += told
        entries = stored(new)
        check(book, entries)
        (restored,) = restored_transactions(entries)
        assert restored.interpretation == meaning.interpretation
    last = msgspec.json.decode(new[-1].payload)
    assert last["replaces"] == str(EventId(EPOCH, 3))
