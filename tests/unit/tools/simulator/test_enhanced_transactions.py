"""Enhanced objects say the same as the raw transactions they are made of."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wd_server.chain.payloads import EnhancedTransaction, Transaction
from wd_server.trading.effects import effects_of
from wd_server.trading.enhanced import effects_of_enhanced
from wd_server.trading.interpretation import interpret
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.enhanced import enhanced
from wd_tools.simulator.market import Market
from wd_tools.simulator.wallet import SimulatedWallet

RECORDED = Path(__file__).parents[5] / "shared" / "recordings" / "enhanced"


@pytest.fixture(scope="module")
def wallet() -> SimulatedWallet:
    return made(Market(7, [3_000], Clock(1_788_220_800, lambda: 0.0)))


def everything() -> SimulatedWallet:
    return made(Market(7, [], Clock(1_788_220_800, lambda: 0.0), [400]))


def opens_or_closes_empty(raw: Any, wallet: str) -> bool:
    before, after = (
        {
            one["accountIndex"]: int(one["uiTokenAmount"]["amount"])
            for one in raw["meta"][side]
            if one["owner"] == wallet
        }
        for side in ("preTokenBalances", "postTokenBalances")
    )
    return any(not (before | after)[index] for index in before.keys() ^ after.keys())


def made(market: Market) -> SimulatedWallet:
    found = asyncio.run(market.wallet(market.wallets[0].address))
    assert found is not None
    return found


def test_it_means_what_the_raw_transaction_means(
    wallet: SimulatedWallet,
) -> None:
    compared = 0
    for entry, truth in zip(wallet.entries, wallet.truths, strict=True):
        moves_rent_only = truth.kind == "excess"
        raw_json = json.loads(b"{" + entry.body)
        if moves_rent_only or opens_or_closes_empty(raw_json, wallet.address):
            continue  # no enhanced object tells the owner of an account whose tokens don't change
        compared += 1
        raw = msgspec.json.decode(b"{" + entry.body, type=Transaction)
        shown = msgspec.convert(enhanced(entry), EnhancedTransaction, strict=False)
        meaning = interpret(effects_of_enhanced(shown, wallet.address))
        expected = interpret(effects_of(raw, wallet.address))
        assert (meaning.trades, meaning.reason) == (expected.trades, expected.reason)
        # Postings stand in the order of the accounts, which the two forms list differently.
        assert Counter(meaning.postings) == Counter(expected.postings)
    assert compared > 0.95 * len(wallet.entries)


def test_what_all_accounts_gained_is_minus_the_fee(wallet: SimulatedWallet) -> None:
    for entry in wallet.entries:
        shown = enhanced(entry)
        gained = sum(one["nativeBalanceChange"] for one in shown["accountData"])
        assert gained == -shown["fee"]


def test_transfers_of_a_batch_are_shown_one_by_one() -> None:
    found = 0
    for entry in everything().entries:
        raw = json.loads(b"{" + entry.body)
        if not raw["meta"]["err"] and "Batch" in str(raw["meta"]["logMessages"]):
            mint = "So11111111111111111111111111111111111111112"
            moved = [one for one in enhanced(entry)["tokenTransfers"] if one["mint"] == mint]
            assert len(moved) == 2
            found += 1
    assert found


def test_transfers_name_both_parties(wallet: SimulatedWallet) -> None:
    native = tokens = 0
    for entry in wallet.entries:
        shown = enhanced(entry)
        native += len(shown["nativeTransfers"])
        for moved in shown["tokenTransfers"]:
            tokens += 1
            assert moved["tokenAmount"] > 0
            assert moved["fromTokenAccount"] != moved["toTokenAccount"]
    assert native > 1_000
    assert tokens > 1_000


@pytest.mark.recordings
def test_an_object_has_the_fields_of_real_ones(wallet: SimulatedWallet) -> None:
    shown = [enhanced(entry) for entry in wallet.entries]
    lists = ("accountData", "instructions", "nativeTransfers", "tokenTransfers")
    keys = {name: {frozenset(one) for each in shown for one in each[name]} for name in lists}
    for path in RECORDED.glob("*.json"):
        for real in json.loads(path.read_text()):
            assert real.keys() == shown[0].keys()
            for name in lists:
                assert {frozenset(one) for one in real[name]} <= keys[name]
