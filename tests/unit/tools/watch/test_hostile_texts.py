"""A server or a token with hostile texts does no harm to a terminal or a spreadsheet."""

import csv
import io
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from math import inf
from typing import Any

import pytest
from rich.console import Console
from samples import token, trade
from wd_client import events
from wd_client.errors import Refused
from wd_client.events import Away, Event, Gap, Preview, Progress, Retract, Trades

from wd_tools.watch import cli
from wd_tools.watch.board import Board
from wd_tools.watch.lines import lines
from wd_tools.watch.records import as_csv, as_json, csv_head
from wd_tools.watch.screen import screen

# Seconds of CPU for what takes a millisecond; to write 1e999999999 out takes a gigabyte.
SECONDS = 2.0

STEERING = [
    *("\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "a\rb", "a\bb", "\x00", "\x7f", "\x85"),
    *("\u202eCDSU", "\u2028", "\u200b", "\ufeff", "\U000e0041"),
]
FORMULAS = ["=1+1", "+1", "-cmd()", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1"]
NUMBERS = [
    *("1e999999999", "-1e999999999", "1e-999999999", "0e999999999"),
    *("NaN", "sNaN", "Infinity", "-Infinity", "1e400", "1e-400"),
]
TEXTS = ("signature", "action", "dex", "confidence", "id")
AMOUNTS = ("price_usd", "value_usd", "value_sol", "fee_sol", "pnl_usd", "pnl_sol")


def progress(message: str = "", percentage: int = 1) -> Progress:
    return Progress(
        message=message,
        percentage=percentage,
        step="",
        signatures_found=0,
        transactions_done=0,
        trades_found=0,
        timestamp=0,
    )


def away(text: str) -> Away:
    return Away(seconds=1, cause=Refused(text, code=text, status=503))


def with_text(text: str) -> Iterator[Event]:
    """An event for each place where a text stands, with `data` that has it too."""
    data = {"text": text}
    yield progress(text)
    yield Retract(signature=text, id=text, data=data)
    yield away(text)
    yield Gap(reason=text, from_id=text, to_id=None, data=data)
    for name in TEXTS:
        yield trade(**{name: text}, data=data)
    named = events.Token(mint=text, symbol=text, decimals=0, amount=Decimal(1), amount_raw="1")
    for name in ("token_in", "token_out"):
        yield trade(**{name: named})
    yield Preview(trades=(trade(dex=text, action=text),), timestamp=1)


def with_number(number: str) -> Iterator[Event]:
    value = Decimal(number)
    for name in (*AMOUNTS, "unmatched_amount", "position_amount"):
        yield trade(**{name: value}, data={"value": value})
    for name in ("token_in", "token_out"):
        yield trade(**{name: token("X", number)})


def drawn(*shown: Event) -> str:
    board = Board("W")
    for event in shown:
        board.take(event, 0.0)
    out = io.StringIO()
    console = Console(file=out, width=200, height=40, force_terminal=False)
    console.print(screen(board, 200, 40, 0.0))
    return out.getvalue()


def steers(text: str) -> bool:
    return any(not each.isprintable() for each in text.replace("\n", ""))


@pytest.mark.parametrize("text", STEERING)
def test_no_text_steers_the_terminal_as_lines_or_as_a_screen(text: str) -> None:
    for event in with_text(text):
        shown = cli._text(event)
        assert not steers(shown), event
        assert shown.count("\n") == len(list(lines(event)))
        assert not steers(drawn(event)), event


@pytest.mark.parametrize("text", STEERING)
def test_no_text_steers_the_terminal_as_csv(text: str) -> None:
    for event in with_text(text):
        assert not steers(as_csv(event)), event


@pytest.mark.parametrize("text", STEERING)
def test_no_text_steers_the_terminal_as_json_and_it_is_the_same_text(text: str) -> None:
    for event in with_text(text):
        line = as_json(event)
        assert not steers(line), event
        data = json.loads(line)["data"]
        assert data == event.data or data["reason"] == f"{text} ({text})"


def test_the_code_of_a_refusal_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any, **__: Any) -> Any:
        raise Refused("\x1b[2J", code="\x1b]0;x\x07", status=400)
        yield

    monkeypatch.setattr(cli, "stream", refused)
    assert cli.main(["W", "--json"], {}) == cli.EXIT_REFUSED
    assert not steers(capsys.readouterr().err)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula_wherever_it_stands(text: str) -> None:
    for event in with_text(text):
        rows = list(csv.reader(io.StringIO(csv_head() + as_csv(event), newline=""), strict=True))
        cells = [cell for row in rows[1:] for cell in row]
        assert text not in cells, event
        shown = text.replace("\r", "�") if "\r" in text else f"'{text}"
        assert shown in cells or isinstance(event, Progress | Away | Gap | Preview), event


def test_a_loss_stays_a_number() -> None:
    (row,) = csv.DictReader(io.StringIO(csv_head() + as_csv(trade(pnl_sol=Decimal("-1.5")))))
    assert row["pnl_sol"] == "-1.5"


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_ends_it_or_keeps_it_busy(number: str) -> None:
    before = time.process_time()
    for event in with_number(number):
        shown = (cli._text(event), drawn(event), as_json(event), as_csv(event))
        assert all(len(each) < 5_000 for each in shown)
    assert time.process_time() - before < SECONDS


@pytest.mark.parametrize("number", [each for each in NUMBERS if each not in ("NaN", "sNaN")])
def test_an_amount_that_cannot_be_is_written_as_it_was_sent(number: str) -> None:
    (row,) = csv.DictReader(io.StringIO(csv_head() + as_csv(trade(pnl_usd=Decimal(number)))))
    assert Decimal(row["pnl_usd"]) == Decimal(number)


@pytest.mark.parametrize("timestamp", [2**50, -(2**50), 10**300, -1, 0, 2**33])
def test_no_time_ends_it(timestamp: int) -> None:
    for event in (
        trade(timestamp=timestamp),
        Trades(
            trades=(trade(timestamp=timestamp),),
            batch_num=1,
            total_yielded=1,
            has_more=False,
            timestamp=timestamp,
        ),
    ):
        assert cli._text(event)
        assert as_csv(event)
        assert drawn(event)


@pytest.mark.parametrize("percentage", [-1, 101, 10**300, -(10**300)])
def test_no_percentage_ends_it(percentage: int) -> None:
    assert str(percentage)[:60] in drawn(progress("reading", percentage))


def test_a_server_that_says_never_to_come_back_is_waited_for() -> None:
    assert "back in inf s" in drawn(Away(seconds=inf, cause=Refused("Full.", code="X", status=503)))
