"""The page's list of trades, run by Node: which trades it has, and in which order."""

import json
import subprocess
from typing import Any

from processes import PATIENCE, ROOT

FILE = ROOT / "handlers" / "web" / "trades.js"

# Hands what comes to the list, looks at it after each, and tells the last look.
SCRIPT = """
const { readFileSync } = await import("node:fs");
const [file, text] = process.argv.slice(1);
const module = "data:text/javascript;base64," + readFileSync(file).toString("base64");
const { Trades } = await import(module);
const trades = new Trades();
let told;
for (const [step, what] of JSON.parse(text)) {
  const answer = trades[step](what, "7-1");
  told = { all: trades.all, pending: trades.pending(), tokens: trades.tokens(), answer };
}
process.stdout.write(JSON.stringify(told));
"""

Step = tuple[str, Any]


def told(*steps: Step) -> dict[str, Any]:
    command = ["node", "--input-type=module", "-e", SCRIPT, str(FILE), json.dumps(steps)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def trade(signature: str, **fields: Any) -> dict[str, Any]:
    tokens = {leg: {"mint": leg, "symbol": leg} for leg in ("token_in", "token_out")}
    return {"signature": signature, "slot": 1, **tokens, **fields}


def add(*trades: dict[str, Any]) -> Step:
    return "add", list(trades)


def keys(trades: list[dict[str, Any]]) -> list[tuple[str, int | None, int]]:
    """Signature, part and slot."""
    return [(each["signature"], each.get("part"), each["slot"]) for each in trades]


BOTH = [trade("a", part=part, parts=2) for part in (0, 1)]
NEXT = trade("b", part=0, parts=1, slot=2)


def test_two_trades_of_a_transaction_are_two_and_each_comes_once() -> None:
    seen = told(add(*BOTH), add(NEXT), add(BOTH[1], NEXT))
    assert keys(seen["all"]) == [("a", 0, 1), ("a", 1, 1), ("b", 0, 2)]
    assert [token["trades"] for token in seen["tokens"]] == [3, 3]


def test_a_retract_takes_back_all_trades_of_its_transaction() -> None:
    seen = told(add(*BOTH, NEXT), ("retract", "a"))
    assert keys(seen["all"]) == [("b", 0, 2)]
    assert keys(seen["answer"]) == [("a", 0, 1), ("a", 1, 1)]
    assert [token["trades"] for token in seen["tokens"]] == [1, 1]
    assert told(add(NEXT), ("retract", "unknown"))["answer"] == []


def test_a_corrected_trade_stands_in_the_place_of_its_first_version() -> None:
    corrected = [trade("a", part=part, slot=5, replaces="7-1") for part in (0, 1)]
    places = [("a", 0, 5), ("a", 1, 5), ("b", 0, 2)]
    assert keys(told(add(*BOTH, NEXT), ("retract", "a"), add(*corrected))["all"]) == places
    one = told(add(BOTH[0]), add(NEXT), ("retract", "a"), *(add(each) for each in corrected))
    assert keys(one["all"]) == places


def test_a_trade_that_lands_again_after_a_fork_is_the_newest() -> None:
    landed = [trade("a", part=part, slot=3) for part in (0, 1)]
    seen = told(add(*BOTH, NEXT), ("retract", "a"), add(*landed))
    assert keys(seen["all"]) == [("b", 0, 2), ("a", 0, 3), ("a", 1, 3)]


def test_a_trade_of_an_older_server_has_no_part_and_is_the_only_one() -> None:
    seen = told(add(trade("a"), trade("b")), add(trade("a")))
    assert keys(seen["all"]) == [("a", None, 1), ("b", None, 1)]
    assert keys(told(add(trade("a"), trade("b")), ("retract", "a"))["all"]) == [("b", None, 1)]


def test_a_previewed_trade_is_pending_until_the_same_part_has_come() -> None:
    seen = told(("preview", BOTH), add(BOTH[0]))
    assert (keys(seen["all"]), keys(seen["pending"])) == ([("a", 0, 1)], [("a", 1, 1)])
