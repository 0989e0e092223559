"""What a wallet's transactions came to, worked out by hand, and as an identity over histories."""

import asyncio

import pytest

from wd_tools.simulator.clock import Clock
from wd_tools.simulator.market import Market
from wd_tools.simulator.result import WalletResult, result_of
from wd_tools.simulator.truth import Action, Kind, Posting, PostingKind, TradeTruth, Truth

SOL = "So11111111111111111111111111111111111111112"
TOKEN, OTHER, SHARE, FRIEND = "token", "other", "share", "friend"


def post(kind: PostingKind, mint: str, raw: int, place: str = "", to: str = "") -> Posting:
    return Posting(kind, mint, raw, place, to)


def truth(
    *postings: Posting, kind: Kind = "transfer_in", trades: tuple[TradeTruth, ...] = ()
) -> Truth:
    return Truth("signature", 1, 1, 1, kind, None, trades, postings, True)


def trade(
    action: Action, sold: tuple[str, int], bought: tuple[str, int], *beside: Posting
) -> Truth:
    given: PostingKind = "burned" if action == "burn" else "sold"
    legs = [post(given, sold[0], -sold[1])]
    if bought[1]:
        legs.append(post("bought", *bought))
    one = TradeTruth(0, action, *sold, *bought)
    return truth(*beside, *legs, kind="buy", trades=(one,))


def buy(sol: int, raw: int, mint: str = TOKEN, *beside: Posting) -> Truth:
    return trade("buy", (SOL, sol), (mint, raw), *beside)


def sell(raw: int, sol: int, mint: str = TOKEN, *beside: Posting) -> Truth:
    return trade("sell", (mint, raw), (SOL, sol), *beside)


def burn(raw: int, mint: str = TOKEN) -> Truth:
    return trade("burn", (mint, raw), (SOL, 0))


def test_the_oldest_units_are_sold_first() -> None:
    result = result_of([buy(100, 10), buy(400, 10), sell(15, 900)])
    assert (result.realized, result.open_cost) == (900 - 100 - 200, 200)


def test_a_burn_realizes_the_loss_of_its_cost() -> None:
    result = result_of([buy(100, 10), burn(10)])
    assert (result.realized, result.burned_cost, result.burns, result.unmatched) == (
        -100,
        100,
        1,
        0,
    )


def test_what_came_for_nothing_is_sold_for_no_profit() -> None:
    result = result_of([truth(post("received", TOKEN, 10, to=FRIEND)), buy(100, 10), sell(20, 800)])
    assert (result.unmatched, result.realized) == (400, 300)


def test_a_leftover_costs_nothing_and_is_known() -> None:
    result = result_of([truth(post("leftover", TOKEN, 10)), sell(10, 50)])
    assert (result.realized, result.unmatched) == (50, 0)


def test_an_order_that_is_cancelled_gives_back_what_it_had_with_its_cost() -> None:
    placed = truth(post("custody_out", TOKEN, -10, "jupiter_limit"))
    cancelled = truth(post("custody_in", TOKEN, 10, "jupiter_limit"))
    assert result_of([buy(100, 10), placed]).custody_cost == 100
    result = result_of([buy(100, 10), placed, cancelled, sell(10, 130)])
    assert (result.realized, result.unmatched, result.custody_cost) == (30, 0, 0)


def test_a_fill_realizes_what_the_order_got() -> None:
    placed = truth(post("custody_out", TOKEN, -10, "jupiter_limit"))
    back = post("custody_in", TOKEN, 10, "jupiter_limit")
    result = result_of([buy(100, 10), placed, sell(10, 180, TOKEN, back)])
    assert (result.realized, result.custody_cost) == (80, 0)


def test_interest_in_sol_is_a_reward_and_interest_in_a_token_has_no_known_cost() -> None:
    lent = truth(
        post("custody_out", SOL, -100, "kamino"), post("custody_out", TOKEN, -10, "kamino")
    )
    back = truth(post("custody_in", SOL, 103, "kamino"), post("custody_in", TOKEN, 11, "kamino"))
    result = result_of([buy(100, 10), lent, back, sell(11, 220)])
    assert (result.rewards, result.realized, result.unmatched) == (3, 100, 20)


def test_what_is_staked_is_the_cost_of_what_is_minted() -> None:
    staked = truth(
        post("custody_out", SOL, -1000, "marinade"), post("minted", SHARE, 900, "marinade")
    )
    assert result_of([staked, sell(900, 1120, SHARE)]).realized == 120
    back = truth(post("burned", SHARE, -900, "marinade"), post("custody_in", SOL, 1050, "marinade"))
    result = result_of([staked, back])
    assert (result.realized, result.rewards, result.open_cost) == (50, 0, 0)


@pytest.mark.parametrize(("sol", "realized", "left"), [(150, 0, 50), (230, 30, 0)])
def test_sol_out_of_a_pool_repays_the_cost_of_its_share_first(
    sol: int, realized: int, left: int
) -> None:
    entered = truth(
        post("custody_out", SOL, -100, "raydium"),
        post("custody_out", TOKEN, -10, "raydium"),
        post("minted", SHARE, 70, "raydium"),
    )
    left_pool = truth(
        post("burned", SHARE, -70, "raydium"),
        post("custody_in", SOL, sol, "raydium"),
        post("custody_in", TOKEN, 9, "raydium"),
    )
    result = result_of([buy(100, 10), entered, left_pool])
    assert (result.realized, result.open_cost, result.custody_cost) == (realized, left, 0)


def test_what_was_sent_and_comes_back_keeps_its_cost_and_is_the_last_to_be_sold() -> None:
    there = truth(post("sent", TOKEN, -10, to=FRIEND))
    back = truth(post("received", TOKEN, 10, to=FRIEND))
    assert result_of([buy(100, 10), there]).transferred_cost == 100
    result = result_of([buy(100, 10), there, buy(500, 10), back, sell(10, 600)])
    assert (result.realized, result.transferred_cost, result.open_cost) == (100, 0, 100)


def test_a_swap_carries_its_cost_on() -> None:
    swapped = trade("swap", (TOKEN, 10), (OTHER, 30))
    result = result_of([buy(100, 10), swapped, sell(30, 140, OTHER)])
    assert (result.realized, result.swaps) == (40, 1)


def test_fees_of_failed_transactions_are_a_line_of_their_own() -> None:
    failed = truth(post("network_fee", SOL, -5), post("priority_fee", SOL, -50), kind="failed")
    result = result_of([buy(100, 10, TOKEN, post("network_fee", SOL, -5)), failed])
    assert (result.network_fees, result.failed_fees, result.fees) == (5, 55, 60)
    assert result.net == -60


def test_a_round_trip_is_no_trade_and_counts_in_net() -> None:
    result = result_of([truth(post("sold", SOL, -30), kind="round_trip")])
    assert (result.round_trip, result.realized, result.net, result.buys) == (-30, 0, -30, 0)


def test_rent_that_comes_back_is_no_loss_and_rent_for_others_is() -> None:
    opened = truth(post("rent_locked", SOL, -20), post("rent_paid", SOL, -7))
    result = result_of([opened, truth(post("rent_returned", SOL, 5))])
    assert (result.rent_locked, result.rent_paid, result.net) == (15, 7, -7)


@pytest.mark.parametrize("seed", range(4))
def test_all_lines_together_are_what_the_wallet_has(seed: int) -> None:
    async def results() -> list[tuple[int, WalletResult]]:
        market = Market(seed, [700], Clock(1_788_220_800, lambda: 0.0), [700])
        found = []
        for address, _ in market.wallets:
            wallet = await market.wallet(address)
            assert wallet is not None
            held = wallet.at(market.clock.slot())
            wrapped = held.holdings.get(SOL)
            has = held.lamports + (wrapped.amount if wrapped else 0)
            found.append((has, result_of(wallet.truths)))
        return found

    for has, result in asyncio.run(results()):
        assert has == result.closing == result.lines
        assert min(result.buys, result.sells, result.burns) > 0
