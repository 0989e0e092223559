"""Events of an older server, which leave fields out, as wd-watch shows them."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from rich.console import Console
from samples import trade
from wd_client.events import EVENTS, Complete, Event, Gap, Retract, Trade, made

from wd_tools.watch.board import Board
from wd_tools.watch.lines import lines
from wd_tools.watch.records import as_csv, as_json
from wd_tools.watch.screen import screen, state

TOKEN = {"mint": "M", "symbol": "T", "decimals": 9, "amount": Decimal("0.5"), "amount_raw": "5"}
TRADE = {
    **{
        name: getattr(trade(), name) for name in ("signature", "action", "dex", "timestamp", "slot")
    },
    **{name: Decimal("1.5") for name in ("value_usd", "value_sol", "pnl_sol", "fee_sol")},
    "token_in": TOKEN,
    "token_out": TOKEN,
}
COMPLETE = {"entries": 5012, "summary": {}, "metrics": {}}


def events() -> Iterator[Event]:
    for name in EVENTS:
        yield made(name, {}, id=None)
    for missing in TRADE:
        yield made("trade", {name: TRADE[name] for name in TRADE if name != missing}, id="7-1")
    for missing in TOKEN:
        token = {name: TOKEN[name] for name in TOKEN if name != missing}
        yield made("trade", {**TRADE, "token_in": token}, id="7-1")


@pytest.mark.parametrize("event", list(events()))
def test_an_event_that_lacks_a_field_is_shown_without_it(event: Event) -> None:
    board = Board("W")
    board.take(event, 0.0)
    for width in (30, 60, 120):
        Console(file=io.StringIO(), width=width).print(screen(board, width, 24, 0.0))
    assert json.loads(as_json(event))["event"] == type(event).__name__.lower()
    assert as_csv(event) == "" or isinstance(event, Trade | Retract | Gap)
    assert all(isinstance(line, str) for line in lines(event))


@pytest.mark.parametrize("verified", [True, False])
def test_a_complete_says_whether_it_was_verified(verified: bool) -> None:
    event = made("complete", COMPLETE, id="7-9", verified=verified)
    assert isinstance(event, Complete)
    board = Board("W")
    board.take(made("connected", {}), 0.0)
    board.take(event, 0.0)
    assert ("verified" in state(board, 0.0)[0]) is verified
    assert ("verified        5,012 entries, all of them and unaltered" in lines(event)) is verified
    assert json.loads(as_json(event))["verified"] is verified


SOL = {"chain": Decimal("1.5"), "books": Decimal("1.49999"), "difference": Decimal("0.00001")}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"status": "agrees", "reason": None, "slot": 430000001},
            "The books agree with the chain to the lamport at slot 430,000,001",
        ),
        (
            {"status": "agrees", "reason": "truncated", "slot": 430000001},
            "The books agree with the chain to the lamport at slot 430,000,001, as far back as "
            "they go",
        ),
        (
            {"status": "differs", "reason": "unexplained", "sol": SOL, "tokens_differ": 2},
            "The chain has +0.0000100 SOL and differs in 2 tokens: a balance changed and no "
            "transaction explains it",
        ),
        (
            {"status": "unavailable", "reason": "refused"},
            "The books were not compared with the chain: the server's Solana RPC doesn't tell "
            "balances",
        ),
        (
            {"status": "unavailable", "reason": "a reason of tomorrow"},
            "The books were not compared with the chain",
        ),
    ],
)
def test_a_complete_says_whether_the_books_agree_with_the_chain(
    found: dict[str, object], said: str
) -> None:
    event = made("complete", {**COMPLETE, "reconciliation": found})
    board = Board("W")
    board.take(event, 0.0)
    shown = io.StringIO()
    Console(file=shown, width=200).print(screen(board, 200, 24, 0.0))
    assert said in lines(event)
    assert shown.getvalue().splitlines()[-1].strip() == said


def test_a_complete_of_an_older_server_says_nothing_of_the_books() -> None:
    assert not [line for line in lines(made("complete", COMPLETE)) if "books" in line]


def test_a_history_that_is_not_what_the_server_proves_is_said_so() -> None:
    gap = Gap(reason="mismatch", from_id="7-9", to_id=None)
    board = Board("W")
    board.take(gap, 0.0)
    for told in (*board.notes, *lines(gap)):
        assert "What came was not what the server proves" in told
