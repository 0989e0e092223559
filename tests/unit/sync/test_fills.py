"""An order's fill that only the state of custody tells is a trade of the book."""

from decimal import Decimal
from math import inf

import msgspec

from wd_server.journal.base import NewEntry
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction, prices_for
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.programs import SOL, SOL_DECIMALS
from wd_server.trading.trade import Leg, RawTrade

WALLET = "wallet"
TOKEN = "Amint"
EPOCH = 7
NOW = 1_800_000_000.0
AT = 1_750_000_020
MINUTE = AT // 60


def post(kind: PostingKind, mint: str, raw: int, place: str = "", order: str = "") -> Posting:
    decimals = SOL_DECIMALS if mint == SOL else 6
    return Posting(kind, mint, raw, decimals, order, place)


def interpreted(
    slot: int, *postings: Posting, trades: tuple[RawTrade, ...] = ()
) -> InterpretedTransaction:
    reason = None if trades else "escrow"
    interpretation = Interpretation(trades, reason, postings)
    return InterpretedTransaction(slot, f"sig{slot}", False, interpretation, AT)


BOUGHT = RawTrade(
    "sig1", 1, AT, "buy", Leg(SOL, 10**9, 9), Leg(TOKEN, 100, 6), 0, "raydium", "high"
)
BUY = interpreted(1, post("sold", SOL, -(10**9)), post("bought", TOKEN, 100), trades=(BOUGHT,))
PLACED = interpreted(2, post("custody_out", TOKEN, -100, "jupiter_limit"))
CLOSED = interpreted(
    3,
    post("custody_in", SOL, 3 * 10**9, "jupiter_limit"),
    post("rent_returned", SOL, 2_039_280),
)


def trades_in(entries: list[NewEntry]) -> list[dict[str, object]]:
    return [msgspec.json.decode(entry.payload) for entry in entries if entry.kind == "trade"]


def test_an_order_that_closed_is_a_trade_at_its_time_and_has_its_result() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    prices = {(SOL, MINUTE): Decimal(100)}
    entries = book.record([BUY, PLACED, CLOSED], prices, {}, NOW)
    _, fill = trades_in(entries)
    assert (fill["signature"], fill["slot"], fill["timestamp"]) == ("sig3", 3, AT)
    assert (fill["action"], fill["dex"], fill["token"]) == ("sell", "jupiter_limit", TOKEN)
    assert (fill["pnl_sol"], fill["pnl_usd"], fill["unmatched_amount"]) == (2, 200, 0)
    assert book.counts.trades == 2
    assert book.ledger.positions() == []


def test_a_quote_of_sol_is_wanted_for_what_may_be_a_fill() -> None:
    assert prices_for([CLOSED]) == {(SOL, MINUTE)}
    assert prices_for([PLACED]) == set()


def test_a_fill_that_is_told_before_its_order_becomes_a_trade_when_the_order_is_there() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    book.final_slot = -inf
    assert len(trades_in(book.record([BUY, CLOSED], {}, {}, NOW))) == 1
    book = Book.restored(WALLET, "fifo", EPOCH, book.checkpoint())
    order = book.inserted([PLACED])
    (fill,) = trades_in(book.record(order, {}, {}, NOW))
    assert (fill["signature"], fill["pnl_sol"]) == ("sig3", 2)
    again = Book.restored(WALLET, "fifo", EPOCH, book.checkpoint())
    assert again.ledger.summary() == book.ledger.summary()
    assert again.ledger.summary().rewards_sol == 0


def test_of_two_orders_the_one_that_closed_was_filled() -> None:
    """The first has SOL, of which none came back: all that the second got is its own."""
    book = Book(WALLET, "fifo", EPOCH)
    first = interpreted(2, post("custody_out", SOL, -(10**9), "jupiter_dca", "first"))
    second = interpreted(3, post("custody_out", TOKEN, -100, "jupiter_dca", "second"))
    closed = interpreted(
        4,
        post("custody_in", TOKEN, 20, "jupiter_dca", "second"),
        post("custody_in", SOL, 4 * 10**9, "jupiter_dca", "second"),
        post("rent_returned", SOL, 2_039_280),
    )
    _, fill = trades_in(book.record([BUY, first, second, closed], {}, {}, NOW))
    assert (fill["action"], fill["token"], fill["confidence"]) == ("sell", TOKEN, "high")
    given, got = fill["token_in"], fill["token_out"]
    assert isinstance(given, dict)
    assert isinstance(got, dict)
    assert (given["amount_raw"], got["amount_raw"]) == ("80", str(4 * 10**9))
    assert fill["pnl_sol"] == 3.2
    assert book.ledger.summary().custody_cost_sol == 1


def test_an_order_without_a_name_is_the_oldest_that_gave_something_else() -> None:
    book = Book(WALLET, "fifo", EPOCH)
    first = interpreted(2, post("custody_out", SOL, -(10**9), "jupiter_dca"))
    second = interpreted(3, post("custody_out", TOKEN, -100, "jupiter_dca"))
    closed = interpreted(
        4,
        post("custody_in", SOL, 4 * 10**9, "jupiter_dca"),
        post("rent_returned", SOL, 2_039_280),
    )
    _, fill = trades_in(book.record([BUY, first, second, closed], {}, {}, NOW))
    assert (fill["confidence"], fill["pnl_sol"]) == ("low", 2)
