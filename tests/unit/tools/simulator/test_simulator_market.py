"""The simulated history itself: what it conserves, how it hangs together, that its truth is true.

What is expected here is computed from the JSON alone, with nothing of the simulator's own
arithmetic.
"""

import asyncio
import json
import struct
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wd_server.chain.payloads import Transaction
from wd_tools.simulator import base58
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.market import Market
from wd_tools.simulator.programs import JITO_TIPS, PHOTON_TIP, SYSTEM
from wd_tools.simulator.truth import TRADES, Kind, Truth
from wd_tools.simulator.wallet import SimulatedWallet

START = 1_788_220_800
WSOL = "So11111111111111111111111111111111111111112"
Json = dict[str, Any]

seeds = st.integers(min_value=0, max_value=2**40)
few = settings(max_examples=8, deadline=None)


def made(seed: int, size: int) -> SimulatedWallet:
    market = Market(seed, [size], Clock(START, lambda: 0.0))

    async def wallet() -> SimulatedWallet:
        found = await market.wallet(market.wallets[0].address)
        assert found is not None
        return found

    return asyncio.run(wallet())


def raws(wallet: SimulatedWallet) -> list[Json]:
    return [json.loads(b"{" + entry.body) for entry in wallet.entries]


def keys(raw: Json) -> list[str]:
    loaded = raw["meta"]["loadedAddresses"]
    static: list[str] = raw["transaction"]["message"]["accountKeys"]
    return static + loaded["writable"] + loaded["readonly"]


def native(raw: Json, wallet: str) -> tuple[int, int] | None:
    """The wallet's lamports before and after; None where it isn't named."""
    if wallet not in keys(raw):
        return None
    index = keys(raw).index(wallet)
    return raw["meta"]["preBalances"][index], raw["meta"]["postBalances"][index]


def tokens(raw: Json, wallet: str, side: str) -> dict[str, int]:
    """account -> raw amount of the wallet's token accounts before or after."""
    return {
        keys(raw)[held["accountIndex"]]: int(held["uiTokenAmount"]["amount"])
        for held in raw["meta"][f"{side}TokenBalances"]
        if held["owner"] == wallet
    }


def token_changes(raw: Json, wallet: str) -> Counter[str]:
    changes: Counter[str] = Counter()
    for side, sign in (("pre", -1), ("post", 1)):
        for held in raw["meta"][f"{side}TokenBalances"]:
            if held["owner"] == wallet:
                changes[held["mint"]] += sign * int(held["uiTokenAmount"]["amount"])
    return changes


def system_transfers(raw: Json) -> list[tuple[str, str, int]]:
    names, meta = keys(raw), raw["meta"]
    found = [i for group in meta["innerInstructions"] for i in group["instructions"]]
    transfers = []
    for instruction in raw["transaction"]["message"]["instructions"] + found:
        data = base58.decode(instruction["data"])
        if names[instruction["programIdIndex"]] == SYSTEM and data[:4] == b"\x02\0\0\0":
            source, target = (names[index] for index in instruction["accounts"])
            transfers.append((source, target, struct.unpack("<Q", data[4:])[0]))
    return transfers


@few
@given(seeds)
def test_every_transaction_conserves_lamports_but_for_its_fee(seed: int) -> None:
    for raw in raws(made(seed, 150)):
        meta = raw["meta"]
        assert sum(meta["postBalances"]) - sum(meta["preBalances"]) == -meta["fee"]
        assert len(meta["preBalances"]) == len(meta["postBalances"]) == len(set(keys(raw)))


@few
@given(seeds)
def test_no_balance_is_ever_negative_or_too_large_for_the_chain(seed: int) -> None:
    for raw in raws(made(seed, 150)):
        meta = raw["meta"]
        assert min(meta["preBalances"] + meta["postBalances"]) >= 0
        for held in meta["preTokenBalances"] + meta["postTokenBalances"]:
            assert 0 <= int(held["uiTokenAmount"]["amount"]) < 2**64


@few
@given(seeds)
def test_what_a_wallet_has_after_one_transaction_it_has_before_the_next(seed: int) -> None:
    wallet = made(seed, 150)
    lamports, held = 0, dict[str, int]()
    for raw in raws(wallet):
        change = native(raw, wallet.address)
        if change is not None:
            assert change[0] == lamports
            lamports = change[1]
        before = tokens(raw, wallet.address, "pre")
        assert before.items() <= held.items()
        for account in before:
            del held[account]
        after = tokens(raw, wallet.address, "post")
        assert not after.keys() & held.keys()
        held |= after
    assert lamports == wallet.lamports


@few
@given(seeds)
def test_the_truth_says_what_the_balances_say(seed: int) -> None:
    wallet = made(seed, 150)
    for raw, truth in zip(raws(wallet), wallet.truths, strict=True):
        changes = token_changes(raw, wallet.address)
        before, after = native(raw, wallet.address) or (0, 0)
        apart = truth.network_fee + truth.tips + truth.platform_fees + truth.rent
        changes[WSOL] += after - before + apart
        assert {m: c for m, c in changes.items() if c} == {
            m: c for m, c in truth.deltas.items() if c
        }
        paid = keys(raw)[0] == wallet.address
        assert truth.network_fee == (raw["meta"]["fee"] if paid else 0)
        assert truth.visible == (wallet.address in keys(raw))


@few
@given(seeds)
def test_tips_and_fees_can_be_found_as_transfers_of_the_system_program(seed: int) -> None:
    wallet = made(seed, 150)
    for raw, truth in zip(raws(wallet), wallet.truths, strict=True):
        if truth.kind not in TRADES:
            continue
        sent = [
            (to, amount) for source, to, amount in system_transfers(raw) if source == wallet.address
        ]
        tips = sum(amount for to, amount in sent if to in (*JITO_TIPS, PHOTON_TIP))
        assert tips == truth.tips


@pytest.fixture(scope="module")
def large() -> SimulatedWallet:
    return made(7, 3_000)


def of_kind(wallet: SimulatedWallet, *kinds: Kind) -> list[Truth]:
    return [truth for truth in wallet.truths if truth.kind in kinds]


def test_a_long_history_has_every_kind(large: SimulatedWallet) -> None:
    assert {truth.kind for truth in large.truths} == set(Kind.__args__)  # type: ignore[attr-defined]


def test_a_trade_has_two_legs_and_nothing_else_has_any(large: SimulatedWallet) -> None:
    for truth in large.truths:
        if truth.kind in TRADES:
            assert truth.deltas == {
                truth.sold_mint: -(truth.sold_raw or 0),
                truth.bought_mint: truth.bought_raw,
            }
            assert min(truth.sold_raw or 0, truth.bought_raw or 0) > 0
        else:
            assert (truth.sold_mint, truth.bought_mint) == (None, None)


def test_a_failed_transaction_costs_its_fee_and_nothing_else(large: SimulatedWallet) -> None:
    failed = [
        (raw, truth)
        for raw, truth in zip(raws(large), large.truths, strict=True)
        if truth.kind == "failed"
    ]
    assert failed
    for raw, truth in failed:
        meta = raw["meta"]
        assert meta["err"] == meta["status"]["Err"] != None  # noqa: E711
        assert meta["preTokenBalances"] == meta["postTokenBalances"]
        moved = [
            b - a for a, b in zip(meta["preBalances"], meta["postBalances"], strict=True) if a != b
        ]
        assert moved == [-meta["fee"]]
        assert truth.deltas == {}


def test_only_failed_ones_carry_an_error(large: SimulatedWallet) -> None:
    for entry, truth in zip(large.entries, large.truths, strict=True):
        assert (entry.err is None) == (truth.kind != "failed")


def test_some_transactions_do_not_name_the_wallet_and_only_move_its_tokens(
    large: SimulatedWallet,
) -> None:
    hidden = [truth for truth in large.truths if not truth.visible]
    assert 0.01 < len(hidden) / len(large.truths) < 0.2
    for truth in hidden:
        assert truth.deltas
        assert WSOL not in truth.deltas


def test_a_token_2022_fee_makes_less_arrive_than_was_sent(large: SimulatedWallet) -> None:
    found = 0
    for raw in raws(large):
        if raw["meta"]["err"]:
            continue
        total: Counter[str] = Counter()
        for side, sign in (("pre", -1), ("post", 1)):
            for held in raw["meta"][f"{side}TokenBalances"]:
                if held["programId"].startswith("Tokenz"):
                    total[held["mint"]] += sign * int(held["uiTokenAmount"]["amount"])
        assert all(change <= 0 for change in total.values())
        found += any(change < 0 for change in total.values())
    assert found


def test_rent_is_paid_and_comes_back(large: SimulatedWallet) -> None:
    rents = {truth.rent for truth in large.truths}
    assert {2_039_280, -2_039_280, 0, 2_157_600} <= rents


def test_somebody_else_sometimes_pays_the_fee_of_a_trade(large: SimulatedWallet) -> None:
    assert any(truth.network_fee == 0 for truth in of_kind(large, "buy", "sell"))


def test_slots_ascend_and_agree_with_the_time(large: SimulatedWallet) -> None:
    places = [entry.place for entry in large.entries]
    assert places == sorted(set(places))
    assert len({slot for slot, _ in places}) < len(places)
    last = large.entries[-1]
    assert last.block_time == START
    for entry in large.entries:
        assert abs((last.slot - entry.slot) * 0.4 - (last.block_time - entry.block_time)) <= 1


def test_signatures_are_64_bytes_and_unique_and_addresses_32(large: SimulatedWallet) -> None:
    assert len({entry.signature for entry in large.entries}) == len(large.entries)
    for raw in raws(large)[:300]:
        assert all(len(base58.decode(one)) == 64 for one in raw["transaction"]["signatures"])
        assert all(len(base58.decode(key)) == 32 for key in keys(raw))


def test_transactions_are_as_large_as_real_ones(large: SimulatedWallet) -> None:
    mean = sum(len(entry.body) for entry in large.entries) / len(large.entries)
    assert 2_000 < mean < 6_000


def test_the_server_can_read_every_one(large: SimulatedWallet) -> None:
    for entry in large.entries:
        read = msgspec.json.decode(b"{" + entry.body, type=Transaction)
        assert read.signature == entry.signature


def test_the_same_seed_makes_the_same_bytes() -> None:
    one, other = made(5, 120), made(5, 120)
    assert one.address == other.address
    assert [entry.body for entry in one.entries] == [entry.body for entry in other.entries]
    assert one.truths == other.truths


def test_another_seed_makes_another_wallet() -> None:
    assert made(5, 1).address != made(6, 1).address


def test_wallets_without_transactions_and_with_one() -> None:
    assert made(7, 0).entries == []
    assert [truth.kind for truth in made(7, 1).truths] == ["transfer_in"]


def test_a_history_is_made_once_however_many_ask_and_lets_others_run() -> None:
    async def main() -> None:
        market = Market(7, [200], Clock(START, lambda: 0.0))
        address = market.wallets[0].address
        turns = 0
        asked = [asyncio.ensure_future(market.wallet(address)) for _ in range(3)]
        while not all(task.done() for task in asked):
            await asyncio.sleep(0)
            turns += 1
        assert turns > 5
        wallet = await market.wallet(address)
        assert wallet is not None
        assert len(wallet.entries) == 200

    asyncio.run(main())


def test_appended_transactions_follow_on_the_history() -> None:
    async def main() -> None:
        seconds = [0.0]
        market = Market(7, [100], Clock(START, lambda: seconds[0]))
        address = market.wallets[0].address
        first = await market.append(address, 5)
        seconds[0] = 60.0
        (second,) = await market.append(address, 1)
        wallet = await market.wallet(address)
        assert wallet is not None
        places = [entry.place for entry in wallet.entries]
        assert places == sorted(set(places))
        assert len(places) == 106
        assert second.block_time >= START + 60 > first[-1].block_time
        assert await market.entry(second.signature) is second

    asyncio.run(main())


def test_more_wallets_do_not_change_the_ones_before_them() -> None:
    def market(*sizes: int) -> list[str]:
        return [w.address for w in Market(7, sizes, Clock(START, lambda: 0.0)).wallets]

    assert market(1, 2, 3)[:2] == market(1, 2)
