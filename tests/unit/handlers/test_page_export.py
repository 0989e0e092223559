"""The page's CSV, run by Node: what a trade may hold that harms neither it nor a spreadsheet."""

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[3] / "handlers" / "web"
# Seconds; Node starts in a fraction of one.
PATIENCE = 60

CALL = """
const { readFileSync } = await import("node:fs");
const [file, name, text] = process.argv.slice(1);
const module = "data:text/javascript;base64," + readFileSync(file).toString("base64");
process.stdout.write(String((await import(module))[name](JSON.parse(text))));
"""
TEXTS = ("signature", "action", "dex", "confidence")
FORMULAS = ["=1+1", "+1", "-cmd()", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff20x"]


def called(file: str, name: str, argument: Any) -> str:
    command = ["node", "--input-type=module", "-e", CALL, str(WEB / file), name]
    done = subprocess.run(
        [*command, json.dumps(argument)], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def trade(**changes: Any) -> dict[str, Any]:
    token = {"mint": "M", "symbol": "S", "decimals": 6, "amount_raw": "1500000"}
    numbers = ("value_sol", "value_usd", "price_usd", "fee_sol", "pnl_sol", "pnl_usd")
    return {
        "signature": "s",
        "slot": 1,
        "timestamp": 1_700_000_000,
        "action": "buy",
        "token_in": token,
        "token_out": token,
        "dex": "d",
        "confidence": "high",
        **dict.fromkeys((*numbers, "unmatched_amount", "position_amount"), -0.5),
        **changes,
    }


def rows(*trades: dict[str, Any]) -> list[dict[str, str]]:
    text = called("export.js", "csv", trades)
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_time_beyond_the_calendar_is_its_number_and_costs_no_other_row() -> None:
    times = [1_700_000_000, 2**50, -(2**50), 0]
    assert [row["time"] for row in rows(*(trade(timestamp=each) for each in times))] == [
        *("2023-11-14T22:13:20.000Z", "1125899906842624", "-1125899906842624"),
        "1970-01-01T00:00:00.000Z",
    ]


def test_no_text_is_a_formula_and_a_loss_stays_a_number() -> None:
    hostile = []
    for text in FORMULAS:
        token = {"mint": text, "symbol": text, "decimals": 0, "amount_raw": text}
        hostile.append(trade(**dict.fromkeys(TEXTS, text), token_in=token, token_out=token))
    for text, row in zip(FORMULAS, rows(*hostile), strict=True):
        assert list(row.values()).count(f"'{text}") == len(TEXTS) + 6
        assert (row["pnl_sol"], row["gave_mint"]) == ("-0.5", f"'{text}")


def test_what_tells_trades_of_a_transaction_apart_and_each_fee_stand_at_the_end() -> None:
    keyed = {"part": 1, "parts": 2, "block_index": None, "replaces": "7-1", "tip_sol": 0.001}
    added = ("part", "parts", "block_index", "replaces")
    new, old = rows(trade(**keyed), trade())
    assert tuple(new)[-7:] == (*added, "network_fee_sol", "tip_sol", "platform_fee_sol")
    assert [new[name] for name in (*added, "tip_sol")] == ["1", "2", "", "7-1", "0.001"]
    assert {old[name] for name in tuple(old)[-7:]} == {""}


@pytest.mark.parametrize("name", ["time", "day"])
def test_a_time_beyond_the_calendar_is_shown_as_none(name: str) -> None:
    assert called("figures.js", name, 2**50) == "\u2014"
    assert called("figures.js", name, 1_700_000_000).startswith("2023-11-1")
