"""The ledger on a real wallet: 6,483 swaps over two months, as another product exported them."""

import json
import os
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from wd_server.trading.ledger import Ledger, Outcome
from wd_server.trading.prices import value_of
from wd_server.trading.programs import SOL, STABLE_MINTS
from wd_server.trading.trade import Action, CostBasisMethod, Leg, RawTrade

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings"
EXPORT = RECORDINGS / "rpc" / "cielo_export_swaps_3JoVBiQE.json"

BOTH: tuple[CostBasisMethod, ...] = ("fifo", "average")


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, Decimal, str, Decimal]]:
    """Oldest first: mint and amount sold, mint and amount bought."""
    if not EXPORT.exists():
        reason = f"the recordings are not at {RECORDINGS}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    export: dict[str, Any] = json.loads(EXPORT.read_text())
    column = {name: index for index, name in enumerate(export["columns"])}
    return [
        (
            row[column["token0_address"]].replace("native", SOL),
            Decimal(row[column["token0_amount"]]),
            row[column["token1_address"]].replace("native", SOL),
            Decimal(row[column["token1_amount"]]),
        )
        for row in reversed(export["rows"])
    ]


def action_of(sold: str, bought: str) -> Action:
    if sold == SOL or (sold in STABLE_MINTS and bought != SOL):
        return "buy"
    return "sell" if bought == SOL or bought in STABLE_MINTS else "swap"


def leg(mint: str, amount: Decimal) -> Leg:
    decimals = 9 if mint == SOL else 6
    return Leg(mint, int(amount.scaleb(decimals)), decimals)


def booked(
    rows: list[Any], basis: CostBasisMethod
) -> tuple[Ledger, list[tuple[RawTrade, Outcome]]]:
    ledger = Ledger(basis)
    done = []
    for sold, sold_amount, bought, bought_amount in rows:
        trade = RawTrade("", 0, 0, action_of(sold, bought), leg(sold, sold_amount),
                    leg(bought, bought_amount), 0, "", "high")  # fmt: skip
        done.append((trade, ledger.record_trade(trade, value_of(trade, {}))))
    return ledger, done


def only_for_sol(rows: list[Any]) -> set[str]:
    """Tokens that were never traded against anything but SOL."""
    others = {mint for row in rows if SOL not in (row[0], row[2]) for mint in (row[0], row[2])}
    return {mint for row in rows for mint in (row[0], row[2])} - others - {SOL}


@pytest.mark.parametrize("basis", BOTH)
def test_quantities_and_sol_per_token_are_the_exports(
    rows: list[Any], basis: CostBasisMethod
) -> None:
    assert len(rows) == 6483
    tokens = {mint for row in rows for mint in (row[0], row[2])} - {SOL}
    bought: dict[str, Decimal] = defaultdict(Decimal)
    sold: dict[str, Decimal] = defaultdict(Decimal)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    got: dict[str, Decimal] = defaultdict(Decimal)
    missing: dict[str, Decimal] = defaultdict(Decimal)
    for gave, gave_amount, took, took_amount in rows:
        # What is sold beyond what was bought so far came from before or from elsewhere.
        short = gave_amount - (bought[gave] - sold[gave] + missing[gave])
        if gave != SOL and short > 0:
            missing[gave] += short
        bought[took] += took_amount
        sold[gave] += gave_amount
        if gave == SOL:
            spent[took] += gave_amount
        if took == SOL:
            got[gave] += took_amount
    ledger, done = booked(rows, basis)
    held = {position.mint: position for position in ledger.positions()}
    result: dict[str, int] = defaultdict(int)
    for trade, outcome in done:
        result[trade.sold.mint] += outcome.pnl_lamports or 0
    for mint in tokens:
        left = bought[mint] - sold[mint] + missing[mint]
        assert (held[mint].amount if mint in held else 0) == left
    for mint in only_for_sol(rows):
        if mint not in held and not missing[mint]:
            assert Decimal(result[mint]).scaleb(-9) == got[mint] - spent[mint]
    summary = ledger.summary()
    assert summary.tokens_traded == len(tokens)
    assert summary.volume_sol == sum(spent.values()) + sum(got.values())
    left_cost = sum(position.cost_sol or 0 for position in held.values())
    assert sum(got.values()) - sum(spent.values()) == (
        summary.realized_pnl_sol + summary.unmatched_sol - left_cost
    )


def fifo(rows: list[Any], mint: str) -> Fraction:
    lots: list[list[Fraction]] = []
    gain = Fraction(0)
    for gave, gave_amount, took, took_amount in rows:
        if took == mint:
            lots.append([Fraction(took_amount), Fraction(gave_amount) / Fraction(took_amount)])
        elif gave == mint:
            left = Fraction(gave_amount)
            while left and lots:
                taken = min(left, lots[0][0])
                gain += taken * (Fraction(took_amount) / Fraction(gave_amount) - lots[0][1])
                left -= taken
                lots[0][0] -= taken
                lots = lots if lots[0][0] else lots[1:]
    return gain


def average(rows: list[Any], mint: str) -> Fraction:
    quantity = cost = gain = Fraction(0)
    for gave, gave_amount, took, took_amount in rows:
        if took == mint:
            quantity += Fraction(took_amount)
            cost += Fraction(gave_amount)
        elif gave == mint and quantity:
            taken = min(Fraction(gave_amount), quantity)
            gain += taken * (Fraction(took_amount) / Fraction(gave_amount) - cost / quantity)
            cost -= cost * taken / quantity
            quantity -= taken
    return gain


@pytest.mark.parametrize("basis", BOTH)
def test_realized_pnl_per_token_is_what_a_plain_computation_finds(
    rows: list[Any], basis: CostBasisMethod
) -> None:
    _, done = booked(rows, basis)
    result: dict[str, int] = defaultdict(int)
    sales: dict[str, int] = defaultdict(int)
    for trade, outcome in done:
        result[trade.sold.mint] += outcome.pnl_lamports or 0
        sales[trade.sold.mint] += 1
    by_token = defaultdict(list)
    for row in rows:
        by_token[row[2] if row[0] == SOL else row[0]].append(row)
    compared = only_for_sol(rows)
    assert len(compared) > 750
    expect = fifo if basis == "fifo" else average
    for mint in compared:
        # A lamport a sale: ours are whole, the plain computation's are fractions.
        exact = expect(by_token[mint], mint) * 10**9
        assert abs(result[mint] - exact) <= sales[mint], mint
