"""The wallet that docs/pnl.md works through comes to what the page says."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wd_server.trading.interpretation import Interpretation
from wd_server.trading.ledger import Ledger
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL
from wd_server.trading.summary import Summary
from wd_server.trading.trade import Action, Leg, RawTrade

PAGE = (Path(__file__).parents[3] / "docs/pnl.md").read_text()
FORMULA = PAGE.partition("\n## The formula\n")[2].partition("\n## ")[0]
LAMPORTS = 10**9
A, B = "MintOfA", "MintOfB"
ORDER = "jupiter_limit"
RENT = 2_039_280
OPENING = Decimal(10)


def sol(kind: PostingKind, amount: str) -> Posting:
    return Posting(kind, SOL, int(Decimal(amount) * LAMPORTS), 9)


def traded(
    action: Action, sold: Leg, bought: Leg, *beside: Posting, fee: int = 0, **fees: int
) -> Interpretation:
    trade = RawTrade("", 1, 1, action, sold, bought, fee, "", "high", **fees)
    legs = [Posting("burned" if action == "burn" else "sold", sold.mint, -sold.raw, sold.decimals)]
    if bought.raw:
        legs.append(Posting("bought", bought.mint, bought.raw, bought.decimals))
    return Interpretation((trade,), None, (*legs, *beside))


def whole(mint: str, units: int) -> Leg:
    return Leg(mint, units, 0)


def of_sol(amount: str) -> Leg:
    return Leg(SOL, int(Decimal(amount) * LAMPORTS), 9)


BASE_FEE = sol("network_fee", "-0.000005")
LOCKED = Posting("rent_locked", SOL, -RENT, 9)
TRANSACTIONS: list[tuple[Interpretation, list[Value]]] = [
    (
        traded(
            "buy",
            of_sol("2"),
            whole(A, 1000),
            BASE_FEE,
            sol("priority_fee", "-0.0001"),
            sol("tip", "-0.001"),
            sol("platform_fee", "-0.02"),
            LOCKED,
            fee=105_000,
            tip=1_000_000,
            platform_fee=20_000_000,
        ),
        [Value(2 * LAMPORTS, None)],
    ),
    (
        traded("buy", of_sol("1"), whole(B, 500), BASE_FEE, LOCKED, fee=5000),
        [Value(LAMPORTS, None)],
    ),
    (
        Interpretation((), "escrow", (BASE_FEE, Posting("custody_out", A, -400, 0, place=ORDER))),
        [],
    ),
    (
        traded("sell", whole(A, 400), of_sol("1.2"), Posting("custody_in", A, 400, 0, place=ORDER)),
        [Value(1_200_000_000, None)],
    ),
    (
        traded(
            "burn",
            whole(B, 500),
            of_sol("0"),
            BASE_FEE,
            Posting("rent_returned", SOL, RENT, 9),
            fee=5000,
        ),
        [Value(0, 0)],
    ),
    (Interpretation((), "failed", (BASE_FEE, sol("priority_fee", "-0.005"))), []),
]


def number(text: str) -> Decimal:
    return Decimal(text.replace("−", "-").replace(",", ""))


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins so."""
    table = FORMULA.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


@pytest.fixture(scope="module")
def summary() -> Summary:
    ledger = Ledger("fifo")
    for interpretation, values in TRANSACTIONS:
        ledger.record(interpretation, values)
    return ledger.summary()


def test_the_six_transactions_leave_the_sol_that_the_page_says() -> None:
    held = OPENING
    told = rows("transaction")
    assert len(told) == len(TRANSACTIONS)
    for cells, (interpretation, _) in zip(told, TRANSACTIONS, strict=True):
        moved = sum(each.raw for each in interpretation.postings if each.mint == SOL)
        held += Decimal(moved) / LAMPORTS
        assert number(cells[-1]) == held
        assert sum(number(cell) for cell in cells[1:-1] if cell) == Decimal(moved) / LAMPORTS


def test_each_line_of_the_summary_is_what_the_page_says(summary: Summary) -> None:
    told: dict[str, Any] = {cells[0].strip("`"): number(cells[-1]) for cells in rows("line")}
    assert told == {name: getattr(summary, name) for name in told}
    assert len(told) >= 10


def test_the_formula_has_the_lines_of_the_summary_and_comes_to_the_change(
    summary: Summary,
) -> None:
    block = FORMULA.partition("closing SOL − opening SOL\n")[2].partition("\n\n")[0]
    signs = re.findall(r"([=+−]) (\w+_sol)", block)
    total = sum(
        (-1 if sign == "−" else 1) * (getattr(summary, name) or Decimal(0)) for sign, name in signs
    )
    assert total == summary.sol_change() == Decimal("-1.82816428")
    assert len(signs) == 14
    assert "8.17183572 − 10 = −1.82816428" in FORMULA


def test_every_line_of_the_summary_is_explained() -> None:
    about = PAGE.partition("\n## The summary\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", about))
    counts = {"cost_basis", "priced_trades", "unpriced_trades", "tokens_traded", "open_positions"}
    times = {"first_trade_at", "last_trade_at"}
    assert set(Summary.__struct_fields__) - counts - times <= told
