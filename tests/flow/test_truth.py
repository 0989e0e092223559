"""The simulator knows what each of its transactions was. What the server streams is held against
that: every trade is there with its exact amounts, action and fees, and nothing else is."""

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eventsource import EventSource
from processes import server, simulator

# Seed of the simulated market, transactions of the wallet, and how the chain is read: the
# signatures of a wallet don't list what only its token accounts took part in.
MARKETS = [
    (7, 200, ()),
    (7, 5000, ()),
    (7, 700, ("--no-gtfa", "403")),
    (11, 1200, ()),
    (2026, 1200, ("--no-gtfa", "method-not-found")),
]
LAMPORTS = 1_000_000_000


class Fact(NamedTuple):
    """One trade: raw amounts as integers, fees in lamports."""

    signature: str
    action: str
    sold_mint: str
    sold_raw: int
    bought_mint: str
    bought_raw: int
    fee_lamports: int


class Compared(NamedTuple):
    """`transactions`: of the whole history, those included that no listing of the wallet has."""

    transactions: int
    truths: list[dict[str, Any]]
    facts: list[Fact]
    complete: dict[str, Any]

    @property
    def expected(self) -> list[Fact]:
        return [_truth(truth) for truth in self.truths if truth["soldMint"] is not None]


@pytest.fixture(scope="module", params=MARKETS, ids=lambda market: f"seed{market[0]}-{market[1]}")
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    seed, size, options = request.param
    folder: Path = tmp_path_factory.mktemp("truth")
    only = ("--only", "--wallets", str(size), "--seed", str(seed), *options)
    with simulator(*only) as chain, server(folder, chain.url) as served:
        wallet = chain.wallet(size)
        with EventSource(f"{served.url}/v4/wallet/{wallet}/stream?batch=500") as stream:
            events = stream.until("complete", "error")
        truths = chain.call("simTruth", wallet)
    transactions = len(truths)
    if options:
        truths = [truth for truth in truths if truth["visible"]]
    trades = [trade for event in events if event.name == "trades" for trade in event.data["trades"]]
    return Compared(transactions, truths, [_fact(trade) for trade in trades], events[-1].data)


def test_exactly_the_transactions_that_are_trades_are_streamed(compared: Compared) -> None:
    kinds = {truth["signature"]: truth["kind"] for truth in compared.truths}
    streamed = {fact.signature for fact in compared.facts}
    expected = {fact.signature for fact in compared.expected}
    assert [kinds[signature] for signature in streamed - expected] == []
    assert [kinds[signature] for signature in expected - streamed] == []


def test_every_trade_has_the_true_action_amounts_and_fees(compared: Compared) -> None:
    expected = {fact.signature: fact for fact in compared.expected}
    wrong = [
        (fact, expected[fact.signature])
        for fact in compared.facts
        if fact.signature in expected and fact != expected[fact.signature]
    ]
    assert wrong == []


def test_trades_come_in_the_order_of_the_chain(compared: Compared) -> None:
    streamed = [fact.signature for fact in compared.facts]
    known = set(streamed)
    ordered = [each["signature"] for each in compared.truths if each["signature"] in known]
    assert streamed == ordered


def test_the_summary_counts_what_really_happened(compared: Compared) -> None:
    summary = compared.complete["summary"]
    actions = [fact.action for fact in compared.expected]
    assert summary["trades"] == compared.complete["trades_found"] == len(actions)
    assert summary["buys"] == actions.count("buy")
    assert summary["sells"] == actions.count("sell")
    assert summary["swaps"] == actions.count("swap")
    fees = sum(fact.fee_lamports for fact in compared.expected)
    assert round(summary["fees_sol"] * LAMPORTS) == fees
    failed = sum(truth["kind"] == "failed" for truth in compared.truths)
    assert compared.complete["metrics"]["failed_transactions"] == failed
    assert compared.complete["metrics"]["transactions"] == compared.transactions


def _truth(truth: dict[str, Any]) -> Fact:
    return Fact(
        signature=truth["signature"],
        action=truth["kind"],
        sold_mint=truth["soldMint"],
        sold_raw=truth["soldRaw"],
        bought_mint=truth["boughtMint"],
        bought_raw=truth["boughtRaw"],
        fee_lamports=truth["networkFee"] + truth["tips"] + truth["platformFees"],
    )


def _fact(trade: dict[str, Any]) -> Fact:
    sold, bought = trade["token_in"], trade["token_out"]
    return Fact(
        signature=trade["signature"],
        action=trade["action"],
        sold_mint=sold["mint"],
        sold_raw=int(sold["amount_raw"]),
        bought_mint=bought["mint"],
        bought_raw=int(bought["amount_raw"]),
        fee_lamports=int(Decimal(str(trade["fee_sol"])) * LAMPORTS),
    )
