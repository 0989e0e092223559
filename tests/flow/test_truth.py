"""The simulator knows what each of its transactions was, and what all of them came to. What the
server streams is held against that: every trade with its exact amounts, action and fees, everything
else that moved, and each line of the summary."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eventsource import EventSource
from processes import server, simulator

LAMPORTS = 1_000_000_000
# Unix time of November 2021: older blocks don't tell who owns a token account.
OWNERS_SINCE = 1_635_724_800
FEES = ("network_fee", "priority_fee", "tip", "platform_fee")
# Deposits that come back: of one transaction they may be told one by one or as a sum.
DEPOSITS = ("rent_locked", "rent_returned")
# Lines of the summary, by the name that they have in the simulator's result. All are in lamports.
LINES = {
    "roundTrip": "round_trip_pnl_sol",
    "networkFees": "network_fees_sol",
    "tips": "tips_sol",
    "platformFees": "platform_fees_sol",
    "failedFees": "failed_fees_sol",
    "rentLocked": "rent_locked_sol",
    "rentPaid": "rent_paid_sol",
    "sent": "sent_sol",
    "received": "received_sol",
    "rewards": "rewards_sol",
    "burnedCost": "burned_cost_sol",
    "openCost": "open_cost_sol",
    "custodyCost": "custody_cost_sol",
    "transferredCost": "transferred_cost_sol",
}


class Case(NamedTuple):
    """A simulated market with one wallet, and how the chain is read. Where only signatures are
    listed, the books have to find by the accounts what those of the wallet don't list."""

    seed: int
    size: int
    does: str = "--wallets"
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join((f"seed{self.seed}", str(self.size), self.does[2:], *self.options[1:]))


CASES = [
    Case(7, 200),
    Case(7, 5000),
    Case(11, 1200),
    Case(7, 700, options=("--no-gtfa", "403")),
    Case(2026, 1200, options=("--no-gtfa", "method-not-found")),
    Case(3, 1500, "--everything"),
    Case(7, 700, "--everything", ("--no-gtfa", "403")),
]


class Fact(NamedTuple):
    """One trade: raw amounts as integers, fees in lamports."""

    signature: str
    part: int
    parts: int
    action: str
    sold_mint: str
    sold_raw: int
    bought_mint: str
    bought_raw: int
    network_fee: int
    tip: int
    platform_fee: int


Moved = dict[tuple[str, str, str], int]
"""Raw amounts by kind of posting, mint and place."""


class Compared(NamedTuple):
    truths: list[dict[str, Any]]
    result: dict[str, Any]
    trades: list[dict[str, Any]]
    movements: list[dict[str, Any]]
    complete: dict[str, Any]

    @property
    def expected(self) -> list[Fact]:
        return [fact for truth in self.truths for fact in _true_facts(truth)]

    @property
    def kinds(self) -> dict[str, str]:
        return {truth["signature"]: truth["kind"] for truth in self.truths}


@pytest.fixture(scope="module", params=CASES, ids=str)
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    case: Case = request.param
    folder: Path = tmp_path_factory.mktemp("truth")
    only = ("--only", case.does, str(case.size), "--seed", str(case.seed), *case.options)
    # Without prices all results are in SOL, to the lamport.
    with simulator(*only) as chain, server(folder, chain.url, PRICE_SOURCE="none") as served:
        wallet = chain.wallet(case.size)
        path = f"/v4/wallet/{wallet}/stream?batch=500&include=movements"
        with EventSource(served.url + path) as stream:
            events = stream.until("complete", "error")
        truths, result = chain.call("simTruth", wallet), chain.call("simResult", wallet)
    assert events[-1].name == "complete", events[-1].data
    return Compared(
        truths,
        result,
        [each for event in events if event.name == "trades" for each in event.data["trades"]],
        [event.data for event in events if event.name == "movement"],
        events[-1].data,
    )


def test_exactly_the_transactions_that_are_trades_are_streamed(compared: Compared) -> None:
    kinds = compared.kinds
    streamed = {trade["signature"] for trade in compared.trades}
    expected = {fact.signature for fact in compared.expected}
    assert Counter(kinds[signature] for signature in streamed - expected) == {}
    assert Counter(kinds[signature] for signature in expected - streamed) == {}


def test_every_trade_has_the_true_part_action_amounts_and_fees(compared: Compared) -> None:
    kinds = compared.kinds
    facts = [_fact(trade) for trade in compared.trades]
    assert len(set(facts)) == len(facts)
    expected = {(fact.signature, fact.part): fact for fact in compared.expected}
    wrong = [
        (kinds[fact.signature], fact, expected.get((fact.signature, fact.part)))
        for fact in facts
        if fact != expected.get((fact.signature, fact.part))
    ]
    assert Counter(kind for kind, _, _ in wrong) == {}, wrong[:3]


def test_trades_come_in_the_order_of_the_chain(compared: Compared) -> None:
    streamed = [(trade["signature"], trade["part"]) for trade in compared.trades]
    known = set(streamed)
    ordered = [(fact.signature, fact.part) for fact in compared.expected]
    assert streamed == [each for each in ordered if each in known]


def test_all_else_that_moved_is_told_with_its_kind_and_place(compared: Compared) -> None:
    told = {movement["signature"]: movement["postings"] for movement in compared.movements}
    for trade in compared.trades:
        if trade["part"] == 0:
            told[trade["signature"]] = trade.get("postings", [])
    wrong = []
    for truth in compared.truths:
        expected = _true_moves(truth)
        got = _moves(
            (each["kind"], each["mint"], each.get("place", ""), each["amount_raw"])
            for each in told.get(truth["signature"], [])
        )
        if got != expected:
            wrong.append((truth["kind"], truth["signature"], got, expected))
    assert Counter(kind for kind, *_ in wrong) == {}, wrong[:3]


def test_what_was_sent_and_received_names_the_other_side(compared: Compared) -> None:
    told = {
        (each["signature"], one["kind"], one["mint"]): one.get("counterparty", "")
        for each in (*compared.trades, *compared.movements)
        for one in each.get("postings", [])
    }
    wrong = [
        (truth["kind"], truth["signature"], one)
        for truth in compared.truths
        if truth["blockTime"] >= OWNERS_SINCE
        for one in truth["postings"]
        if one["kind"] in ("sent", "received")
        and told.get((truth["signature"], one["kind"], one["mint"])) != one["counterparty"]
    ]
    assert Counter(kind for kind, *_ in wrong) == {}, wrong[:3]


def test_what_failed_and_what_went_round_says_so(compared: Compared) -> None:
    kinds = compared.kinds
    reasons = Counter(
        (kinds[each["signature"]], each["reason"])
        for each in compared.movements
        if kinds[each["signature"]] in ("failed", "round_trip")
    )
    counts = Counter(
        truth["kind"] for truth in compared.truths if truth["kind"] in ("failed", "round_trip")
    )
    assert reasons == {(kind, kind): count for kind, count in counts.items()}


def test_the_summary_counts_what_really_happened(compared: Compared) -> None:
    summary, metrics = compared.complete["summary"], compared.complete["metrics"]
    actions = Counter(fact.action for fact in compared.expected)
    assert summary["trades"] == compared.complete["trades_found"] == actions.total()
    told = {action: summary[f"{action}s"] for action in ("buy", "sell", "swap", "burn")}
    assert told == {action: actions[action] for action in told}
    assert metrics["failed_transactions"] == Counter(compared.kinds.values())["failed"]
    assert metrics["transactions"] == len(compared.truths)


def test_each_line_of_the_summary_is_true_to_the_lamport(compared: Compared) -> None:
    summary, result = compared.complete["summary"], compared.result
    told = {name: _lamports(summary[line]) for name, line in LINES.items()}
    assert told == {name: result[name] for name in LINES}
    fees = sum(result[name] for name in ("networkFees", "tips", "platformFees", "failedFees"))
    assert _lamports(summary["fees_sol"]) == fees
    assert _lamports(summary["unexplained_sol"]) == 0
    unmatched = _lamports(summary["unmatched_sol"]) + _lamports(summary["deposited_sol"])
    realized = _lamports(summary["realized_pnl_sol"])
    assert realized + unmatched == result["realized"] + result["unmatched"]
    # Where only part of what is sold has a known cost, each sale rounds the known share once.
    assert abs(realized - result["realized"]) <= result["sells"]
    net = realized + result["roundTrip"] - fees - result["rentPaid"]
    assert _lamports(summary["net_pnl_sol"]) == net


def test_the_lines_of_the_summary_add_up_to_the_wallet_s_sol(compared: Compared) -> None:
    summary = compared.complete["summary"]
    gained = ("realized_pnl", "unmatched", "deposited", "round_trip_pnl", "received", "rewards")
    gone = ("fees", "rent_locked", "rent_paid", "sent", "open_cost", "custody_cost")
    total = sum(_lamports(summary[f"{line}_sol"]) for line in gained)
    total -= sum(_lamports(summary[f"{line}_sol"]) for line in (*gone, "transferred_cost"))
    assert total == compared.result["closing"]


def _true_facts(truth: dict[str, Any]) -> list[Fact]:
    fees = Counter[str]()
    for posting in truth["postings"]:
        fees[posting["kind"]] -= posting["raw"]
    network = fees["network_fee"] + fees["priority_fee"]
    costs = (network, fees["tip"], fees["platform_fee"])
    return [
        Fact(
            truth["signature"],
            trade["part"],
            len(truth["trades"]),
            trade["action"],
            trade["soldMint"],
            trade["soldRaw"],
            trade["boughtMint"],
            trade["boughtRaw"],
            *(costs if trade["part"] == 0 else (0, 0, 0)),
        )
        for trade in truth["trades"]
    ]


def _fact(trade: dict[str, Any]) -> Fact:
    sold, bought = trade["token_in"], trade["token_out"]
    fees = [_lamports(trade[f"{kind}_sol"]) for kind in ("network_fee", "tip", "platform_fee")]
    assert _lamports(trade["fee_sol"]) == sum(fees)
    return Fact(
        trade["signature"],
        trade["part"],
        trade["parts"],
        trade["action"],
        sold["mint"],
        int(sold["amount_raw"]),
        bought["mint"],
        int(bought["amount_raw"]),
        *fees,
    )


def _true_moves(truth: dict[str, Any]) -> Moved:
    """Beside the legs and fees of its trades, if it has any."""
    postings = [(one["kind"], one["mint"], one["place"], one["raw"]) for one in truth["postings"]]
    if truth["trades"]:
        burn = any(trade["action"] == "burn" for trade in truth["trades"])
        legs = (*FEES, "sold", "bought", *(("burned",) if burn else ()))
        postings = [one for one in postings if one[0] not in legs]
    return _moves(postings)


def _moves(postings: Iterable[tuple[str, str, str, Any]]) -> Moved:
    moved = Counter[tuple[str, str, str]]()
    for kind, mint, place, raw in postings:
        moved["deposit" if kind in DEPOSITS else kind, mint, place] += int(raw)
    return {key: raw for key, raw in moved.items() if raw}


def _lamports(sol: float | None) -> int:
    return int(Decimal(str(sol or 0)) * LAMPORTS)
