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
from wd_tools.simulator.addresses import Addresses
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.derivation import associated_token_address
from wd_tools.simulator.market import Market
from wd_tools.simulator.programs import JITO_TIPS, PHOTON_TIP, SYSTEM, TOKEN
from wd_tools.simulator.scene import OWNERS_SINCE
from wd_tools.simulator.trades import UNLISTED_ACCOUNTS
from wd_tools.simulator.truth import Kind, PostingKind, Truth
from wd_tools.simulator.wallet import SimulatedWallet

START = 1_788_220_800
WSOL = "So11111111111111111111111111111111111111112"
Json = dict[str, Any]

seeds = st.integers(min_value=0, max_value=2**40)
few = settings(max_examples=8, deadline=None)


def made(seed: int, size: int) -> SimulatedWallet:
    return both(seed, size)[0]


def both(seed: int, size: int) -> tuple[SimulatedWallet, SimulatedWallet]:
    """A trader's wallet, and one that does everything."""
    market = Market(seed, [size], Clock(START, lambda: 0.0), [size])

    async def wallet(number: int) -> SimulatedWallet:
        found = await market.wallet(market.wallets[number].address)
        assert found is not None
        return found

    return asyncio.run(wallet(0)), asyncio.run(wallet(1))


def unlisted(seed: int, what: str) -> set[str]:
    addresses = Addresses(seed)
    return {addresses.of(what, str(number)) for number in range(UNLISTED_ACCOUNTS)}


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


def owns(raw: Json, wallet: SimulatedWallet, held: Json) -> bool:
    """Whether a token balance is the wallet's; where no owner is told, by its address."""
    if "owner" in held:
        owned: bool = held["owner"] == wallet.address
        return owned
    account = keys(raw)[held["accountIndex"]]
    return account == associated_token_address(wallet.address, held["mint"], TOKEN)


def token_changes(raw: Json, wallet: SimulatedWallet) -> Counter[str]:
    changes: Counter[str] = Counter()
    for side, sign in (("pre", -1), ("post", 1)):
        for held in raw["meta"][f"{side}TokenBalances"]:
            if owns(raw, wallet, held):
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
    for raw in [raw for wallet in both(seed, 150) for raw in raws(wallet)]:
        meta = raw["meta"]
        assert sum(meta["postBalances"]) - sum(meta["preBalances"]) == -meta["fee"]
        assert len(meta["preBalances"]) == len(meta["postBalances"]) == len(set(keys(raw)))


@few
@given(seeds)
def test_no_balance_is_ever_negative_or_too_large_for_the_chain(seed: int) -> None:
    for raw in [raw for wallet in both(seed, 150) for raw in raws(wallet)]:
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
def test_postings_add_up_to_what_the_balances_say(seed: int) -> None:
    for wallet in both(seed, 150):
        for raw, truth in zip(raws(wallet), wallet.truths, strict=True):
            changes = token_changes(raw, wallet)
            before, after = native(raw, wallet.address) or (0, 0)
            changes[WSOL] += after - before
            assert {m: c for m, c in changes.items() if c} == truth.changes
            paid = keys(raw)[0] == wallet.address
            network = truth.total("network_fee", "priority_fee")
            assert -network == (raw["meta"]["fee"] if paid else 0)
            assert truth.visible == (wallet.address in keys(raw))


@few
@given(seeds)
def test_tips_can_be_found_as_transfers_of_the_system_program(seed: int) -> None:
    wallet = made(seed, 150)
    tipped = set(JITO_TIPS) | {PHOTON_TIP} | unlisted(seed, "tips")
    for raw, truth in zip(raws(wallet), wallet.truths, strict=True):
        if not truth.trades:
            continue
        sent = [
            (to, amount) for source, to, amount in system_transfers(raw) if source == wallet.address
        ]
        tips = sum(amount for to, amount in sent if to in tipped)
        assert tips == -truth.total("tip")


@pytest.fixture(scope="module")
def large() -> SimulatedWallet:
    return made(7, 3_000)


def of_kind(wallet: SimulatedWallet, *kinds: Kind) -> list[Truth]:
    return [truth for truth in wallet.truths if truth.kind in kinds]


@pytest.fixture(scope="module")
def everything() -> SimulatedWallet:
    return both(7, 1_500)[1]


def test_a_wallet_of_everything_has_every_kind(everything: SimulatedWallet) -> None:
    kinds = {truth.kind for truth in everything.truths}
    assert kinds == set(Kind.__args__)  # type: ignore[attr-defined]
    posted = {posting.kind for truth in everything.truths for posting in truth.postings}
    assert posted == set(PostingKind.__args__)  # type: ignore[attr-defined]


def test_a_trader_mostly_trades(large: SimulatedWallet) -> None:
    assert 0.65 < sum(bool(truth.trades) for truth in large.truths) / len(large.truths) < 0.8


def test_each_trade_has_the_postings_of_its_legs(
    large: SimulatedWallet, everything: SimulatedWallet
) -> None:
    for truth in large.truths + everything.truths:
        legs = [
            (one.part, one.kind, one.mint, one.raw)
            for one in truth.postings
            if one.kind in ("sold", "bought") or (one.kind == "burned" and not one.place)
        ]
        if truth.kind == "round_trip":
            assert not truth.trades
            continue
        expected = []
        for part, trade in enumerate(truth.trades):
            assert trade.part == part
            given = "burned" if trade.action == "burn" else "sold"
            expected.append((part, given, trade.sold_mint, -trade.sold_raw))
            if trade.action == "burn":
                assert trade.bought_raw == 0
            else:
                expected.append((part, "bought", trade.bought_mint, trade.bought_raw))
        assert sorted(legs) == sorted(expected)


def test_some_transactions_have_two_trades(everything: SimulatedWallet) -> None:
    two = [truth for truth in everything.truths if len(truth.trades) == 2]
    assert two
    assert all(len({trade.sold_mint for trade in truth.trades}) == 2 for truth in two)


def test_fills_of_orders_are_not_signed_by_their_owner(everything: SimulatedWallet) -> None:
    found = 0
    for raw, truth in zip(raws(everything), everything.truths, strict=True):
        if truth.kind in ("limit_fill", "dca_fill"):
            signers = raw["transaction"]["message"]["header"]["numRequiredSignatures"]
            assert everything.address not in keys(raw)[:signers]
            assert truth.visible
            assert truth.fees == 0
            found += 1
    assert found > 10


def test_old_blocks_do_not_tell_the_owners_of_token_accounts(everything: SimulatedWallet) -> None:
    old = new = 0
    for raw in raws(everything):
        told = {"owner" in held for held in raw["meta"]["postTokenBalances"]}
        if raw["blockTime"] < OWNERS_SINCE:
            assert told <= {False}
            assert raw["version"] == "legacy"
            old += bool(told)
        else:
            assert told <= {True}
            new += bool(told)
    assert min(old, new) > 50


def test_the_deposit_of_an_account_falls_within_a_history(large: SimulatedWallet) -> None:
    paid = {
        -posting.raw
        for truth in large.truths
        for posting in truth.postings
        if posting.kind == "rent_locked"
    }
    assert {(165 + 128) * price for price in (6_960, 6_333, 5_080)} <= paid


def test_p_token_instructions_are_among_those_of_a_wallet_of_everything(
    everything: SimulatedWallet,
) -> None:
    tags = Counter[int]()
    for raw in raws(everything):
        found = [i for group in raw["meta"]["innerInstructions"] for i in group["instructions"]]
        for one in raw["transaction"]["message"]["instructions"] + found:
            if keys(raw)[one["programIdIndex"]] == TOKEN:
                tags[base58.decode(one["data"])[0]] += 1
    assert min(tags[255], tags[45], tags[38]) > 0


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
        assert {posting.kind for posting in truth.postings} <= {"network_fee", "priority_fee"}
    fees = [-truth.total("network_fee", "priority_fee") for _, truth in failed]
    assert max(fees) > 2_000_000


def test_only_failed_ones_carry_an_error(large: SimulatedWallet) -> None:
    for entry, truth in zip(large.entries, large.truths, strict=True):
        assert (entry.err is None) == (truth.kind != "failed")


def test_some_transactions_do_not_name_the_wallet_and_only_move_its_tokens(
    large: SimulatedWallet,
) -> None:
    hidden = [truth for truth in large.truths if not truth.visible]
    assert 0.01 < len(hidden) / len(large.truths) < 0.2
    for truth in hidden:
        assert truth.changes
        assert WSOL not in truth.changes


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
    locked = {truth.total("rent_locked") for truth in large.truths}
    returned = {truth.total("rent_returned") for truth in large.truths}
    assert {-2_039_280, -2_157_600, 0} <= locked
    assert {2_039_280, 0} <= returned


def test_somebody_else_sometimes_pays_the_fee_of_a_trade(large: SimulatedWallet) -> None:
    assert any(truth.fees == 0 for truth in of_kind(large, "buy", "sell"))


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
