"""The `jsonParsed` encoding says the same as `json`, in the shape that nodes give it."""

import asyncio
import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import Transaction
from wd_server.trading.effects import effects_of
from wd_server.trading.interpretation import interpret
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.market import Market
from wd_tools.simulator.parsed import parsed
from wd_tools.simulator.wallet import SimulatedWallet


@pytest.fixture(scope="module")
def wallet() -> SimulatedWallet:
    market = Market(7, [], Clock(1_788_220_800, lambda: 0.0), [1_500])
    found = asyncio.run(market.wallet(market.wallets[0].address))
    assert found is not None
    return found


def instructions(shown: Any) -> list[Any]:
    inner = [one for group in shown["meta"]["innerInstructions"] for one in group["instructions"]]
    return [*shown["transaction"]["message"]["instructions"], *inner]


def test_the_server_reads_the_same_from_both_encodings(wallet: SimulatedWallet) -> None:
    for entry in wallet.entries:
        raw = b"{" + entry.body
        read = [
            interpret(effects_of(msgspec.json.decode(body, type=Transaction), wallet.address))
            for body in (raw, parsed(raw))
        ]
        assert read[0] == read[1]


def test_instructions_of_the_programs_that_nodes_know_are_parsed(wallet: SimulatedWallet) -> None:
    kinds = Counter[str]()
    for entry in wallet.entries:
        for one in instructions(json.loads(parsed(b"{" + entry.body))):
            if "parsed" not in one:
                assert one.keys() == {"accounts", "data", "programId", "stackHeight"}
                continue
            assert one.keys() == {"parsed", "program", "programId", "stackHeight"}
            kinds[one["program"] if one["program"] == "spl-memo" else one["parsed"]["type"]] += 1
    assert kinds.keys() == {
        "burn",
        "closeAccount",
        "createAccount",
        "createIdempotent",
        "initializeAccount3",
        "mintTo",
        "spl-memo",
        "syncNative",
        "transfer",
        "transferChecked",
        "transferCheckedWithFee",
    }


def test_what_p_token_added_is_shown_as_it_is(wallet: SimulatedWallet) -> None:
    for name in ("Batch", "UnwrapLamports", "WithdrawExcessLamports"):
        shown = [
            json.loads(parsed(b"{" + entry.body))
            for entry in wallet.entries
            if f"Instruction: {name}".encode() in entry.body and entry.err is None
        ]
        assert shown
        for one in shown:
            raw = [each for each in instructions(one) if each["programId"].startswith("Token")]
            assert any("data" in each for each in raw)
