import io
from decimal import Decimal

import pytest
from rich.console import Console
from samples import token, trade
from wd_client.events import made

from wd_tools.watch import figures
from wd_tools.watch.board import Board
from wd_tools.watch.screen import screen


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("0", "0.00"),
        ("0.000004567", "0.00000457"),
        ("0.0312", "0.0312"),
        ("1.005", "1.00"),
        ("-12.345", "-12.34"),
        ("999.99", "999.99"),
        ("12345.6", "12,346"),
        ("1234567", "1.23M"),
        ("-9876543210", "-9.88B"),
        ("1e15", "1,000.00T"),
        ("1e-18", "0.000000000000"),
    ],
)
def test_amounts_are_short_and_never_in_exponents(value: str | None, text: str) -> None:
    assert figures.amount(None if value is None else Decimal(value)) == text


def test_a_gain_has_a_sign_so_that_colour_is_not_needed() -> None:
    assert [figures.signed(Decimal(value)) for value in ("2", "-2", "0")] == [
        *("+2.00", "-2.00", "0.00")
    ]


def test_a_symbol_cannot_steer_the_terminal_nor_break_the_table() -> None:
    assert figures.symbol(token("\x1b]0;x\x07\n[red]")) == "�]0;x��[r…"


def drawn(board: Board, width: int, height: int = 24) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False)
    console.print(screen(board, width, height, 0.0))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 39, 40, 66, 84, 104, 200])
def test_every_row_is_one_line_at_every_width(width: int) -> None:
    board = Board("W" * 44)
    board.take(trade(token_in=token("A" * 50, "98765432.1"), dex="raydium_concentrated"), 0.0)
    lines = drawn(board, width)
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)
    assert "sell" in lines[2]


def test_a_wide_terminal_shows_both_tokens_and_a_narrow_one_the_one_that_was_traded() -> None:
    board = Board("W")
    board.take(trade(), 0.0)
    assert "1.23M BONK" in drawn(board, 120)[2]
    assert "0.250 SOL" in drawn(board, 120)[2]
    assert "1.23M BONK" in drawn(board, 40)[2]
    assert "SOL" not in drawn(board, 40)[2]


def test_no_more_rows_than_the_terminal_has_and_the_newest_of_them() -> None:
    board = Board("W")
    for number in range(100):
        board.take(trade(str(number), timestamp=number), 0.0)
    lines = drawn(board, 120, height=20)
    assert len(lines) < 20
    assert "00:01:39" in lines[-1]


def test_markup_in_a_symbol_is_text() -> None:
    board = Board("W")
    board.take(trade(token_in=token("[red]x")), 0.0)
    assert "[red]x" in drawn(board, 120)[2]


def test_what_was_sold_without_a_known_cost_shows_its_proceeds_and_no_profit() -> None:
    board = Board("W")
    unknown = {"pnl_sol": None, "value_sol": Decimal(3), "unmatched_amount": Decimal("1234567.5")}
    board.take(trade("unknown", **unknown), 0.0)
    board.take(trade(pnl_sol=Decimal(1), unmatched_amount=Decimal(1)), 0.0)
    assert "no cost: 3.00" in drawn(board, 120)[2]
    assert "+1.00*" in drawn(board, 120)[3]
    for width in (30, 40, 120):
        assert " 0.00" not in drawn(board, width)[2]


def test_a_burn_shows_what_was_burned_and_its_loss() -> None:
    board = Board("W")
    nothing = token("SOL", "0")
    board.take(trade(action="burn", token_out=nothing, pnl_sol=Decimal(-2)), 0.0)
    assert "burn 1.23M BONK burned -2.00" in " ".join(drawn(board, 120)[2].split())
    assert "1.23M BONK" in drawn(board, 40)[2]


def test_the_totals_take_their_lines_from_the_trades() -> None:
    board = Board("W")
    for number in range(100):
        board.take(trade(str(number), timestamp=number), 0.0)
    fees = {"network_fees_sol": Decimal(1), "unexplained_sol": Decimal(1)}
    board.take(made("complete", {"summary": {"trades": 100, **fees}}), 0.0)
    lines = drawn(board, 120, height=20)
    assert len(lines) < 20
    assert "unexplained" in "".join(lines)
    assert sum("BONK" in line for line in lines) == 8
