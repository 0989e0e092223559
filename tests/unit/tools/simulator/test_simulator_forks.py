"""Forks: what leaves the chain, what lands again, and that balances still follow on each other."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wd_tools.simulator import landing, mix
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.market import Market
from wd_tools.simulator.wallet import SimulatedWallet

WSOL = "So11111111111111111111111111111111111111112"
START = 1_788_220_800
ORDERS = ("jupiter_limit", "jupiter_dca")
CONFIRMED = {"commitment": "confirmed"}
FULL = {**CONFIRMED, "maxSupportedTransactionVersion": 0}


def follow_on_each_other(wallet: SimulatedWallet) -> None:
    """Balances begin as they ended before, and each transaction conserves lamports."""
    lamports, held = 0, dict[str, tuple[int, int]]()
    for entry in wallet.entries:
        left = landing.footprint(entry, wallet.address)
        meta = left.body["meta"]
        assert sum(meta["postBalances"]) - sum(meta["preBalances"]) == -meta["fee"]
        assert min(meta["postBalances"]) >= 0
        assert (left.body["slot"], left.body["blockTime"]) == (entry.slot, entry.block_time)
        assert b'"slot":%d' % entry.slot in entry.listed
        if left.native is not None:
            assert left.native[0] == lamports
            lamports = left.native[1]
        # Whoever names an account that is there says what is in it.
        assert not held.keys() & set(left.keys) - left.tokens.keys()
        for account, (mint, before, after, rent, rent_after) in left.tokens.items():
            assert held.pop(account, (None, 0)) == (before, rent)
            if after is not None:
                held[account] = after, rent_after
                wrapped = after if mint == WSOL else 0
                assert meta["postBalances"][left.keys.index(account)] == wrapped + rent_after
    assert lamports == wallet.lamports


def forked(
    seed: int, test: Callable[[Market, SimulatedWallet, list[float]], Awaitable[None]]
) -> None:
    async def main() -> None:
        seconds = [0.0]
        market = Market(seed, [150], Clock(START, lambda: seconds[0]))
        wallet = await market.wallet(market.wallets[0].address)
        assert wallet is not None
        await test(market, wallet, seconds)

    asyncio.run(main())


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_after_every_fork_the_history_is_one_that_could_have_been(seed: int) -> None:
    async def test(market: Market, wallet: SimulatedWallet, seconds: list[float]) -> None:
        history = list(wallet.entries)
        for _ in range(6):
            for _ in range(4):
                await market.append(wallet.address, 3)
                seconds[0] += 0.4
            kept = market.clock.slot() - 3
            before = [entry for entry in wallet.entries if entry.slot <= kept]
            gone = {entry.signature for entry in wallet.entries[len(before) :]}
            fork = market.fork(kept)
            assert {*fork.landed, *fork.lost} == gone
            assert wallet.entries[: len(before)] == before
            assert [e.signature for e in wallet.entries[len(before) :]] == fork.landed
            assert all(entry.slot > kept + 3 for entry in wallet.entries[len(before) :])
            assert len(wallet.entries) == len(wallet.truths) == wallet.size
            for entry, truth in zip(wallet.entries, wallet.truths, strict=True):
                assert (truth.signature, truth.slot, truth.position) == (
                    entry.signature,
                    *entry.place,
                )
            assert wallet.visible == [entry for entry in wallet.entries if entry.visible]
            places = [entry.place for entry in wallet.entries]
            assert places == sorted(set(places))
        follow_on_each_other(wallet)
        assert wallet.entries[: len(history)] == history

    forked(seed, test)


def test_some_land_in_another_order_and_some_are_lost() -> None:
    async def test(market: Market, wallet: SimulatedWallet, seconds: list[float]) -> None:
        reordered = lost = landed = 0
        for _ in range(12):
            entries = await market.append(wallet.address, 8)
            fork = market.fork(market.clock.slot() - 1)
            order = [entry.signature for entry in entries if entry.signature in fork.landed]
            reordered += order != fork.landed
            landed += len(fork.landed)
            lost += len(fork.lost)
            seconds[0] += 4
            follow_on_each_other(wallet)
        assert reordered >= 2
        assert lost >= 12
        assert landed >= 40

    forked(3, test)


@pytest.mark.parametrize("seed", range(8))
def test_what_others_keep_for_the_wallet_is_forked_with_it(seed: int) -> None:
    async def test(market: Market, wallet: SimulatedWallet, seconds: list[float]) -> None:
        rng = random.Random(seed)
        for _ in range(30):
            for _ in range(8):
                action = rng.choice(list(mix.ACTIONS.values()))
                await market.append(wallet.address, 1, action=action)
            market.fork(market.clock.slot() - 1)
            seconds[0] += 4
        follow_on_each_other(wallet)
        ordered = Counter[tuple[str, str]]()
        for truth in wallet.truths:
            for one in truth.postings:
                if one.kind in ("custody_out", "custody_in") and one.place in ORDERS:
                    ordered[one.place, one.mint] -= one.raw
        kept = Counter[tuple[str, str]]()
        for deposit in wallet.at(market.clock.slot() + 10).deposits:
            if deposit.place in ORDERS:
                kept[deposit.place, deposit.mint.address] += deposit.raw
        assert +ordered == kept

    forked(seed, test)


@pytest.mark.parametrize("seed", range(6))
def test_wrapped_sol_follows_on_itself_too(seed: int) -> None:
    async def test(market: Market, wallet: SimulatedWallet, seconds: list[float]) -> None:
        for _ in range(4):
            await market.append(wallet.address, 150)
            market.fork(market.clock.slot() - 1)
            seconds[0] += 4
        follow_on_each_other(wallet)

    forked(seed, test)


def test_what_happened_before_the_start_is_no_fork_s() -> None:
    async def test(market: Market, wallet: SimulatedWallet, seconds: list[float]) -> None:
        history: list[Entry] = list(wallet.entries)
        assert market.fork(0) == ([], [])
        assert wallet.entries == history

    forked(3, test)


def test_the_rpc_forgets_what_is_lost_and_finds_the_rest_elsewhere(served: Any) -> None:
    async def test(client: Any) -> None:
        old = await client.call("simAppend", client.wallet, 5)
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet], "tokenAccounts": "all"}
        await ws.call("transactionSubscribe", asked, FULL)
        new = await client.call("simAppend", client.wallet, 30)
        first = {}
        for _ in new:
            result = (await ws.notified())["params"]["result"]
            first[result["signature"]] = result["slot"]
        assert list(first) == new
        fork = await client.call("simFork", 1000)
        assert {*fork["landed"], *fork["lost"]} == {*old, *new}
        gone = (await client.call("getSignatureStatuses", old + new))["value"]
        assert gone == [None] * 35
        again = {}
        for _ in fork["landed"]:
            result = (await ws.notified())["params"]["result"]
            again[result["signature"]] = result["slot"]
        assert list(again) == fork["landed"]
        assert all(slot > first.get(signature, 0) for signature, slot in again.items())
        for signature in fork["lost"]:
            assert await client.call("getTransaction", signature, FULL) is None
        statuses = (await client.call("getSignatureStatuses", fork["landed"]))["value"]
        assert [one["slot"] for one in statuses] == list(again.values())
        listed = await client.call("getSignaturesForAddress", client.wallet, CONFIRMED)
        assert not set(fork["lost"]) & {one["signature"] for one in listed}
        truth = await client.call("simTruth", client.wallet)
        assert [one["signature"] for one in truth[250:]] == fork["landed"]
        assert (await client.call("simStatistics"))["forks"] == 1

    served(test)


def test_what_was_abandoned_before_it_was_confirmed_is_told_once_or_never(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet], "tokenAccounts": "all"}
        await ws.call("transactionSubscribe", asked, FULL)
        await client.call("simAppend", client.wallet, 20)
        fork = await client.call("simFork", 1000)
        assert fork["landed"]
        told = [(await ws.notified())["params"]["result"] for _ in fork["landed"]]
        assert [one["signature"] for one in told] == fork["landed"]
        truth = await client.call("simTruth", client.wallet)
        assert [one["slot"] for one in told] == [one["slot"] for one in truth[250:]]
        await ws.call("nothing")
        assert ws.kept == []

    served(test, confirmed_after=0.5)


def test_what_is_finalized_stays(served: Any) -> None:
    async def test(client: Any) -> None:
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet], "tokenAccounts": "all"}
        config = {**FULL, "commitment": "finalized"}
        await ws.call("transactionSubscribe", asked, config)
        (signature,) = await client.call("simAppend", client.wallet, 1)
        assert (await ws.notified())["params"]["result"]["signature"] == signature
        assert await client.call("simFork", 1000) == {"landed": [], "lost": []}
        assert await client.call("getTransaction", signature, config)

    served(test, finalized_after=0.3)


def test_a_fault_forks_now_and_then(served: Any) -> None:
    async def test(client: Any) -> None:
        await client.call("simFault", {"kind": "fork", "share": 1.0, "depth": 10, "count": 1})
        ws = await client.connect()
        asked = {"accountInclude": [client.wallet], "tokenAccounts": "all"}
        await ws.call("transactionSubscribe", asked, FULL)
        signatures = await client.call("simAppend", client.wallet, 30)
        told = [(await ws.notified())["params"]["result"] for _ in range(40)]
        assert [one["signature"] for one in told[:30]] == signatures
        assert {one["signature"] for one in told[30:]} < set(signatures)
        assert all(one["slot"] > told[0]["slot"] for one in told[30:])
        statistics = await client.call("simStatistics")
        assert statistics["forks"] == statistics["faults"]["fork"] == 1

    served(test)


@pytest.mark.parametrize("params", [[], ["1"], [1, 2]])
def test_a_fork_needs_a_depth(served: Any, params: list[Any]) -> None:
    async def test(client: Any) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "simFork", "params": params}
        assert json.loads((await client.post(body)).body)["error"]["code"] == -32602

    served(test)


def test_statuses_of_old_transactions_need_a_search(served: Any) -> None:
    async def test(client: Any) -> None:
        listed = await client.call("getSignaturesForAddress", client.wallet, {"limit": 256})
        asked = [*(one["signature"] for one in listed[50:]), "1" * 88]
        plain = await client.call("getSignatureStatuses", asked)
        assert plain["value"] == [None] * len(asked)
        config = {"searchTransactionHistory": True}
        found = (await client.call("getSignatureStatuses", asked, config))["value"]
        assert found[-1] is None
        for line, status in zip(listed[50:], found[:-1], strict=True):
            assert status == {
                "slot": line["slot"],
                "confirmations": None,
                "err": line["err"],
                "status": {"Err": line["err"]} if line["err"] else {"Ok": None},
                "confirmationStatus": "finalized",
            }
        error = await client.call("getSignatureStatuses", ["1" * 88] * 257)
        assert "max 256" in error["message"]

    served(test)
