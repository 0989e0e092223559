"""Transactions of kinds that no recording has, built by hand, each with its right postings."""

import struct

import pytest
from test_effects import FEE, FRIEND, JITO, POOL, RAYDIUM, RENT, WALLET, Chain, X, Y, read

from wd_server.trading.effects import effects_of
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.postings import Posting
from wd_server.trading.programs import PROGRAM_ADDRESSES, SOL, SYSTEM, TOKEN

LIMIT = "j1o2qRpjcyUwEvwtcfhEQefh773ZgjxcVRry7LDqg5X"
STAKE = "Stake11111111111111111111111111111111111111"
STAKE_POOL = "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy"
DLMM = "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo"
JUPITER = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"
PUMP_FUN = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
KEEPER, ORDER = "Keeper", "Order"
# A token account's deposit at 5,080 lamports a byte.
RENT_2026 = 293 * 5_080

Moved = tuple[str, str, int]


def meaning(chain: Chain, wallet: str = WALLET) -> Interpretation:
    return interpret(effects_of(read(chain.json()), wallet))


def moved(found: Interpretation) -> set[Moved]:
    """Kind, mint and amount of all postings but the network fee."""
    return {(one.kind, one.mint, one.raw) for one in found.postings if one.kind != "network_fee"}


def posting(found: Interpretation, kind: str) -> Posting:
    (one,) = (each for each in found.postings if each.kind == kind)
    return one


def transfer(chain: Chain, source: str, target: str, authority: str, raw: int) -> None:
    """The instruction of a token transfer, inside a program."""
    chain.call(TOKEN, [source, target, authority], struct.pack("<BQ", 3, raw), inner=True)


def swapped(chain: Chain, *, sold: int, bought: int, owner: str = POOL) -> None:
    """A pool takes X and gives wrapped SOL."""
    chain.token(f"{owner}X", X, owner, 10**9, 10**9 + sold)
    chain.token(f"{owner}Sol", SOL, owner, 10**12, 10**12 - bought)
    chain.lamports(f"{owner}Sol", 10**12 + RENT, 10**12 + RENT - bought)


def keepers(chain: Chain) -> None:
    """The wallet signs nothing: somebody else pays."""
    del chain.pre[WALLET], chain.post[WALLET]
    chain.pre = {KEEPER: 10**10} | chain.pre
    chain.post = {KEEPER: 10**10 - FEE} | chain.post
    chain.lamports(WALLET, 10**9, 10**9)


def test_the_fill_of_a_purchase_takes_the_orders_sol_without_its_deposit() -> None:
    chain = Chain()
    keepers(chain)
    chain.token("OrderSol", SOL, ORDER, 10**9, None)
    chain.lamports("OrderSol", 10**9 + RENT, 0)
    chain.lamports(ORDER, 2_902_320, 0)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 + 10**9)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT + 10**9)
    chain.token("PoolX", X, POOL, 10**9, 10**9 - 500)
    chain.token("MyX", X, WALLET, 0, 500)
    chain.post[WALLET] += RENT + 2_902_320
    chain.call(LIMIT, [KEEPER, ORDER, WALLET])
    chain.call(TOKEN, ["OrderSol", WALLET, ORDER], b"\x09", inner=True)
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("buy", 10**9, 500)
    assert moved(found) == {
        ("custody_in", SOL, 10**9),
        ("sold", SOL, -(10**9)),
        ("bought", X, 500),
        ("rent_returned", SOL, RENT + 2_902_320),
    }


def test_the_fill_of_an_order_is_a_sale_of_its_owner_who_signed_nothing() -> None:
    chain = Chain()
    keepers(chain)
    chain.token("OrderX", X, ORDER, 500, 0)
    swapped(chain, sold=500, bought=2 * 10**9)
    chain.post[WALLET] += 2 * 10**9
    chain.call(LIMIT, [KEEPER, ORDER, WALLET])
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("sell", 500, 2 * 10**9)
    assert (trade.dex, trade.confidence, trade.fee_lamports) == ("jupiter_limit", "high", 0)
    assert moved(found) == {
        ("custody_in", X, 500),
        ("sold", X, -500),
        ("bought", SOL, 2 * 10**9),
    }
    back = posting(found, "custody_in")
    assert (back.place, back.counterparty) == ("jupiter_limit", ORDER)


def test_the_fill_of_an_order_that_closes_gives_its_deposit_back() -> None:
    chain = Chain()
    keepers(chain)
    chain.token("OrderX", X, ORDER, 500, None)
    chain.lamports("OrderX", RENT, 0)
    chain.lamports(ORDER, 2_902_320, 0)
    swapped(chain, sold=500, bought=2 * 10**9)
    chain.post[WALLET] += 2 * 10**9 + RENT + 2_902_320
    chain.call(LIMIT, [KEEPER, ORDER, WALLET])
    chain.call(TOKEN, ["OrderX", WALLET, ORDER], b"\x09", inner=True)
    found = meaning(chain)
    assert found.trades[0].bought.raw == 2 * 10**9
    assert posting(found, "rent_returned").raw == RENT + 2_902_320


def test_an_order_that_gives_back_what_it_has_is_cancelled() -> None:
    chain = Chain()
    chain.token("OrderX", X, ORDER, 500, 0)
    chain.token("MyX", X, WALLET, 0, 500)
    chain.call(LIMIT, [WALLET, ORDER])
    found = meaning(chain)
    assert (found.trades, found.reason) == ((), "escrow")
    assert posting(found, "custody_in") == Posting("custody_in", X, 500, 6, ORDER, "jupiter_limit")


def test_an_order_is_placed_with_tokens_or_with_sol() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.token("OrderX", X, ORDER, 0, 500)
    chain.call(LIMIT, [WALLET, ORDER])
    assert moved(meaning(chain)) == {("custody_out", X, -500)}
    assert posting(meaning(chain), "custody_out").counterparty == ORDER
    chain = Chain()
    chain.pay(ORDER, 10**9, inner=True)
    chain.call(LIMIT, [WALLET, ORDER])
    chain.pay(JITO, 10**6)
    found = meaning(chain)
    assert moved(found) == {("custody_out", SOL, -(10**9)), ("tip", SOL, -(10**6))}
    assert posting(found, "custody_out").counterparty == ORDER


def test_a_fee_that_a_pool_pays_out_of_its_own_is_no_proceeds_of_a_sale_in_another() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.token("MyY", Y, WALLET, 700, 0)
    swapped(chain, sold=500, bought=10**9 + 10**7)
    chain.token("OtherY", Y, "Other", 10**9, 10**9 + 700)
    chain.token("OtherSol", SOL, "Other", 10**12, 10**12 - 10**9)
    chain.lamports("OtherSol", 10**12 + RENT, 10**12 + RENT - 10**9)
    chain.token("FeeSol", SOL, "Front end", 0, 10**7)
    chain.lamports("FeeSol", RENT, RENT + 10**7)
    chain.post[WALLET] += 2 * 10**9
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "PoolSol", "Temp", POOL, 10**9)
    transfer(chain, "PoolSol", "FeeSol", POOL, 10**7)
    transfer(chain, "OtherSol", "Temp", "Other", 10**9)
    chain.call(TOKEN, ["Temp", WALLET, WALLET], b"\x09")
    found = meaning(chain)
    assert [(one.sold.raw, one.bought.raw) for one in found.trades] == [
        (500, 10**9),
        (700, 10**9),
    ]
    assert {one.confidence for one in found.trades} == {"high"}


def test_proceeds_that_go_straight_to_another_wallet_were_sold_for_and_then_sent() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    swapped(chain, sold=500, bought=10**9 + 10**7)
    chain.token("FeeSol", SOL, "Front end", 0, 10**7)
    chain.lamports("FeeSol", RENT, RENT + 10**7)
    chain.lamports(FRIEND, 10**9, 2 * 10**9)
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "PoolSol", "Temp", POOL, 10**9)
    transfer(chain, "PoolSol", "FeeSol", POOL, 10**7)
    chain.call(TOKEN, ["Temp", FRIEND, WALLET], b"\x09")
    found = meaning(chain)
    assert [(one.action, one.bought.raw) for one in found.trades] == [("sell", 10**9)]
    assert moved(found) == {
        ("sold", X, -500),
        ("bought", SOL, 10**9),
        ("sent", SOL, -(10**9)),
    }
    assert posting(found, "sent").counterparty == FRIEND


@pytest.mark.parametrize("rate", [6_960, 6_333, 5_080, 2_575, 1_322, 696])
def test_deposits_are_no_proceeds_at_any_rate(rate: int) -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    swapped(chain, sold=500, bought=10**9)
    chain.lamports("Counter", 293 * rate, 0)
    chain.post[WALLET] += 10**9 + 293 * rate
    chain.call(RAYDIUM, [WALLET, "Counter"])
    found = meaning(chain)
    assert found.trades[0].bought.raw == 10**9
    assert posting(found, "rent_paid").raw == 293 * rate


def test_a_token_account_closed_by_a_program_returns_its_deposit() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    swapped(chain, sold=500, bought=10**9)
    chain.token("ItsX", X, "Program", 0, None)
    chain.lamports("ItsX", RENT_2026 + 7, 0)
    chain.post[WALLET] += 10**9 + RENT_2026 + 7
    chain.call(RAYDIUM, [WALLET])
    chain.call(TOKEN, ["ItsX", WALLET, "Program"], b"\x09", inner=True)
    found = meaning(chain)
    assert found.trades[0].bought.raw == 10**9
    assert posting(found, "rent_paid").raw == RENT_2026 + 7


def test_a_deposit_and_one_that_comes_back_are_two_postings() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, None)
    chain.token("MyY", Y, WALLET, None, 500)
    chain.token("PoolX", X, POOL, 0, 500)
    chain.token("PoolY", Y, POOL, 500, 0)
    chain.post[WALLET] += RENT - RENT_2026
    chain.lamports("MyY", 0, RENT_2026)
    chain.call(RAYDIUM, [WALLET])
    assert moved(meaning(chain)) == {
        ("rent_returned", SOL, RENT),
        ("rent_locked", SOL, -RENT_2026),
        ("sold", X, -500),
        ("bought", Y, 500),
    }


def test_a_fee_within_a_batch_is_a_fee() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    swapped(chain, sold=500, bought=10**9)
    chain.token("FeeSol", SOL, "Front end", 0, 10**7)
    chain.lamports("FeeSol", RENT, RENT + 10**7)
    chain.post[WALLET] += 10**9 - 10**7
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "MyX", "PoolX", WALLET, 500)
    transfer(chain, "PoolSol", "Temp", POOL, 10**9)
    batch = bytes([255, 3, 9]) + struct.pack("<BQ", 3, 10**7)
    chain.call(TOKEN, ["Temp", "FeeSol", WALLET], batch, inner=True)
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.bought.raw, trade.platform_fee) == (10**9, 10**7)


def test_native_stake_is_custody_with_its_deposit() -> None:
    chain = Chain()
    chain.lamports("StakeAccount", 0, 10**9)
    chain.post[WALLET] -= 10**9
    create = struct.pack("<IQQ", 0, 10**9, 200) + b"\x06" * 32
    chain.call(SYSTEM, [WALLET, "StakeAccount"], create)
    chain.call(STAKE, ["StakeAccount"])
    found = meaning(chain)
    assert moved(found) == {("custody_out", SOL, -(10**9))}
    assert posting(found, "custody_out").place == "stake"


def test_liquid_staking_mints_what_was_staked() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 0, 900)
    chain.pay("Reserve", 10**9, inner=True)
    chain.call(STAKE_POOL, [WALLET])
    found = meaning(chain)
    assert (found.trades, found.reason) == ((), "staking")
    assert moved(found) == {("custody_out", SOL, -(10**9)), ("minted", X, 900)}
    assert {one.place for one in found.postings[1:]} == {"stake_pool"}


def test_liquidity_that_mints_nothing_is_custody_of_the_pool() -> None:
    for sign, kind in ((1, "custody_out"), (-1, "custody_in")):
        chain = Chain()
        mine, its = (500, 0) if sign > 0 else (0, 500), (0, 500) if sign > 0 else (500, 0)
        chain.token("MyX", X, WALLET, *mine)
        chain.token("PoolX", X, POOL, *its)
        chain.token("MyY", Y, WALLET, *mine)
        chain.token("PoolY", Y, POOL, *its)
        chain.call(DLMM, [WALLET])
        found = meaning(chain)
        assert moved(found) == {(kind, X, -500 * sign), (kind, Y, -500 * sign)}
        assert {one.place for one in found.postings[1:]} == {"meteora"}


def test_what_was_sent_and_received_has_a_counterparty() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.token("ItsX", X, FRIEND, 0, 500)
    chain.pay(FRIEND, 10**9)
    found, its = meaning(chain), meaning(chain, FRIEND)
    assert moved(found) == {("sent", X, -500), ("sent", SOL, -(10**9))}
    assert {one.counterparty for one in found.postings[1:]} == {FRIEND}
    assert moved(its) == {("received", X, 500), ("received", SOL, 10**9)}
    assert {one.counterparty for one in its.postings} == {WALLET}


def test_an_airdrop_to_many_has_a_posting_for_each() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.token("ItsX", X, FRIEND, 0, 300)
    chain.token("OthersX", X, "Other", 0, 200)
    found = meaning(chain)
    assert {(one.counterparty, one.raw) for one in found.postings[1:]} == {
        (FRIEND, -300),
        ("Other", -200),
    }


def test_liquidity_that_was_swapped_for_first_is_no_purchase_of_what_is_left() -> None:
    """10 SOL: 5 buy 500 X, and 4.9 with 499 X go into the pool, of which 0.1 SOL is unused."""
    chain = Chain()
    chain.post[WALLET] -= 99 * 10**8
    chain.token("MyX", X, WALLET, 0, 1)
    chain.token("MyLp", Y, WALLET, 0, 70)
    chain.token("PoolX", X, POOL, 10**6, 10**6 - 1)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 + 99 * 10**8)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT + 99 * 10**8)
    chain.call(JUPITER, [WALLET])
    transfer(chain, "Temp", "PoolSol", WALLET, 5 * 10**9)
    transfer(chain, "PoolX", "MyX", POOL, 500)
    chain.call(RAYDIUM, [WALLET])
    transfer(chain, "Temp", "PoolSol", WALLET, 49 * 10**8)
    transfer(chain, "MyX", "PoolX", WALLET, 499)
    chain.call(TOKEN, ["Lp", "MyLp", POOL], struct.pack("<BQ", 7, 70), inner=True)
    item = chain.json()
    calls = item["meta"]["innerInstructions"][0]["instructions"]
    item["meta"]["innerInstructions"] = [
        {"index": 0, "instructions": calls[:2]},
        {"index": 1, "instructions": calls[2:]},
    ]
    found = interpret(effects_of(read(item), WALLET))
    assert [(one.sold.raw, one.bought.raw) for one in found.trades] == [(5 * 10**9, 500)]
    assert moved(found) == {
        ("sold", SOL, -5 * 10**9),
        ("bought", X, 500),
        ("custody_out", SOL, -49 * 10**8),
        ("custody_out", X, -499),
        ("minted", Y, 70),
    }


def test_what_was_spent_of_a_routes_middle_is_a_sale_of_it() -> None:
    """SOL buys 97 X, and 100 X, of which the wallet had 3, buy 1,000 Y."""
    chain = Chain()
    chain.post[WALLET] -= 10**9
    chain.token("OneSol", SOL, "One", 10**12, 10**12 + 10**9)
    chain.lamports("OneSol", 10**12 + RENT, 10**12 + RENT + 10**9)
    chain.token("OneX", X, "One", 1_000, 903)
    chain.token("TwoX", X, "Two", 1_000, 1_100)
    chain.token("TwoY", Y, "Two", 5_000, 4_000)
    chain.token("MyX", X, WALLET, 3, 0)
    chain.token("MyY", Y, WALLET, 0, 1_000)
    chain.call(JUPITER, [WALLET])
    found = meaning(chain)
    assert [(one.sold.mint, one.sold.raw, one.bought.raw) for one in found.trades] == [
        (SOL, 10**9, 970),
        (X, 3, 30),
    ]


def test_a_creator_who_buys_pays_the_curve_and_the_deposits_apart() -> None:
    chain = Chain()
    chain.lamports("Curve", 0, 10**9 + 1_231_920 + 250_560)
    chain.post[WALLET] -= 10**9 + 1_231_920 + 250_560
    chain.token("CurveX", X, "Curve", None, 900)
    chain.token("MyX", X, WALLET, 0, 100)
    create = struct.pack("<IQQ", 0, 1_231_920, 49) + b"\x06" * 32
    chain.call(PUMP_FUN, [WALLET])
    chain.call(SYSTEM, [WALLET, "Curve"], create, inner=True)
    chain.call(TOKEN, ["Mint", "CurveX", "Authority"], struct.pack("<BQ", 7, 1_000), inner=True)
    chain.call(PUMP_FUN, [WALLET])
    top_up = struct.pack("<IQ", 2, 250_560)
    chain.call(SYSTEM, [WALLET, "Curve"], top_up, inner=True)
    chain.call(PUMP_FUN, [WALLET])
    transfer(chain, "CurveX", "MyX", "Curve", 100)
    chain.call(SYSTEM, [WALLET, "Curve"], struct.pack("<IQ", 2, 10**9), inner=True)
    item = chain.json()
    calls = item["meta"]["innerInstructions"][0]["instructions"]
    item["meta"]["innerInstructions"] = [
        {"index": 0, "instructions": calls[:2]},
        {"index": 1, "instructions": calls[2:3]},
        {"index": 2, "instructions": calls[3:]},
    ]
    found = interpret(effects_of(read(item), WALLET))
    assert [(one.sold.raw, one.bought.raw) for one in found.trades] == [(10**9, 100)]
    assert posting(found, "rent_paid").raw == -(1_231_920 + 250_560)


def test_a_rug_that_is_burned_is_sold_for_nothing_and_its_deposit_comes_back() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, None)
    chain.post[WALLET] += RENT
    chain.call(TOKEN, ["MyX", "Mint", WALLET], struct.pack("<BQ", 8, 500))
    chain.call(TOKEN, ["MyX", WALLET, WALLET], b"\x09")
    found = meaning(chain)
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.raw) == ("burn", 500, 0)
    assert moved(found) == {("burned", X, -500), ("rent_returned", SOL, RENT)}


def test_tokens_burned_by_a_bridge_are_in_its_custody() -> None:
    chain = Chain()
    chain.token("MyX", X, WALLET, 500, 0)
    chain.call("CCTPV2vPZJS2u2BBsUoscuikbYjnpFmbFsvVuJdgUMQe", [WALLET])
    found = meaning(chain)
    assert (found.trades, found.reason) == ((), "bridge")
    assert posting(found, "burned").place == "cctp"


def test_others_who_buy_in_the_same_transaction_make_no_market() -> None:
    chain = Chain()
    chain.post[WALLET] -= 10**9
    chain.token("PoolX", X, POOL, 10**6, 10**6 - 800)
    chain.token("PoolSol", SOL, POOL, 10**12, 10**12 + 16 * 10**8)
    chain.lamports("PoolSol", 10**12 + RENT, 10**12 + RENT + 16 * 10**8)
    chain.token("MyX", X, WALLET, 0, 500)
    chain.token("ItsX", X, FRIEND, 0, 300)
    chain.lamports(FRIEND, 10**10, 10**10 - 6 * 10**8)
    chain.call("Unknown", [WALLET])
    transfer(chain, "Temp", "PoolSol", WALLET, 10**9)
    transfer(chain, "PoolX", "MyX", POOL, 500)
    found = meaning(chain)
    assert [(one.action, one.sold.raw, one.bought.raw) for one in found.trades] == [
        ("buy", 10**9, 500)
    ]


def test_the_chains_fee_is_that_of_its_signatures_and_priority() -> None:
    item = Chain().json()
    item["transaction"]["signatures"] *= 2
    item["meta"]["fee"] = 25_000
    item["meta"]["postBalances"][0] -= 20_000
    for failed in (None, {"InstructionError": [0, "Custom"]}):
        item["meta"]["err"] = failed
        found = interpret(effects_of(read(item), WALLET))
        assert [(one.kind, one.raw) for one in found.postings] == [
            ("network_fee", -10_000),
            ("priority_fee", -15_000),
        ]
        assert found.reason == ("failed" if failed else "one_sided")


def test_every_custodian_has_one_name_and_one_kind() -> None:
    kinds: dict[str, set[str]] = {}
    for kind, programs in PROGRAM_ADDRESSES.items():
        for name in programs:
            kinds.setdefault(name, set()).add(kind)
    custodians = ("lending", "escrow", "staking", "bridge")
    assert all(len(found) == 1 for found in kinds.values() if found & {*custodians})
