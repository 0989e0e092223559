import pytest

from wd_server.trading.balances import TokenDelta
from wd_server.trading.effects import DUST, Effects
from wd_server.trading.interpretation import CLAIM_FEE_MAX, Reason, action_of, interpret
from wd_server.trading.programs import PROGRAMS, SOL, USDC, USDT, Program

RAYDIUM = Program("raydium", "venue")
JUPITER = Program("jupiter", "router")


def effects(
    sol: int = 0,
    program: Program | None = RAYDIUM,
    *,
    fees: int = 0,
    failed: bool = False,
    exact: bool = True,
    **tokens: TokenDelta | int,
) -> Effects:
    deltas = {
        {"usdc": USDC, "usdt": USDT}.get(name, name): TokenDelta(delta, 6)
        if isinstance(delta, int)
        else delta
        for name, delta in tokens.items()
    }
    lamports = sol - 5_000 - fees
    return Effects(
        *("signature", 1, 2, failed, lamports, 5_000, fees, 0, 0, sol),
        tokens=deltas,
        program=program,
        exact=exact,
    )


def reason(effects: Effects) -> Reason | None:
    return interpret(effects).reason


@pytest.mark.parametrize(
    ("sold", "bought", "action"),
    [
        (SOL, "X", "buy"),
        ("X", SOL, "sell"),
        (USDC, "X", "buy"),
        ("X", USDC, "sell"),
        (SOL, USDC, "buy"),
        (USDC, SOL, "sell"),
        (USDC, USDT, "swap"),
        ("X", "Y", "swap"),
    ],
)
def test_sol_quotes_more_than_stable_coins_do_and_they_more_than_others(
    sold: str, bought: str, action: str
) -> None:
    assert action_of(sold, bought) == action


def test_a_trade_has_positive_legs_and_all_fees() -> None:
    trade = interpret(effects(-(10**9), fees=7, X=500)).trades[0]
    assert trade is not None
    assert (trade.sold.mint, trade.sold.raw, trade.sold.decimals) == (SOL, 10**9, 9)
    assert (trade.bought.mint, trade.bought.raw, trade.bought.decimals) == ("X", 500, 6)
    assert (trade.action, trade.dex, trade.confidence, trade.fee_lamports) == (
        *("buy", "raydium", "high"),
        5_007,
    )


def test_an_unknown_program_makes_a_trade_less_sure() -> None:
    trade = interpret(effects(10**9, None, X=-500)).trades[0]
    assert trade is not None
    assert (trade.dex, trade.confidence) == ("unknown", "low")


def test_numbers_from_floats_make_a_trade_less_sure() -> None:
    trade = interpret(effects(10**9, exact=False, X=-500)).trades[0]
    assert trade is not None
    assert (trade.dex, trade.confidence) == ("raydium", "low")


def test_what_failed_is_no_trade_whatever_moved() -> None:
    assert reason(effects(-(10**9), failed=True, X=500)) == "failed"


def test_what_goes_only_one_way_is_no_trade() -> None:
    assert reason(effects()) == "one_sided"
    assert reason(effects(10**9)) == "one_sided"
    assert reason(effects(X=500)) == "one_sided"
    assert reason(effects(10**9, X=500, Y=7)) == "one_sided"
    assert reason(effects(-(10**9), X=-500)) == "one_sided"


def test_dust_is_no_leg() -> None:
    assert reason(effects(-DUST, X=500)) == "one_sided"
    assert reason(effects(-DUST - 1, X=500)) is None


@pytest.mark.parametrize("kind", ["lending", "escrow", "staking"])
def test_programs_that_move_balances_both_ways_without_trading(kind: Reason) -> None:
    program = next(one for one in PROGRAMS.values() if one.kind == kind)
    found = interpret(effects(-(10**9), program, X=500))
    assert (found.trades, found.reason) == ((), kind)


def test_an_nft_is_not_traded_like_a_token() -> None:
    for program in (None, RAYDIUM):
        assert reason(effects(-(10**9), program, N=TokenDelta(1, 0))) == "nft"
    assert reason(effects(-(10**9), None, N=TokenDelta(40, 0))) == "nft"
    assert reason(effects(-(10**9), RAYDIUM, N=TokenDelta(40, 0))) is None


def test_a_share_that_is_minted_or_burned_is_no_trade() -> None:
    minted, burned = TokenDelta(500, 6, supply=500), TokenDelta(-500, 6, supply=-500)
    assert reason(effects(-(10**9), X=minted)) == "share"
    assert reason(effects(10**9, X=burned)) == "share"
    assert reason(effects(-(10**9), None, X=minted)) == "share"
    assert reason(effects(-(10**9), X=minted, Y=-7)) == "share"


def test_a_router_may_mint_what_it_sells() -> None:
    minted = TokenDelta(500, 6, supply=500)
    assert reason(effects(-(10**9), JUPITER, X=minted)) is None


def test_who_creates_a_token_and_buys_some_trades() -> None:
    pump_fun = Program("pump_fun", "launchpad")
    created = TokenDelta(900, 6, supply=1_000, largest=100)
    assert reason(effects(-(10**9), pump_fun, X=created)) is None


def test_a_transfer_fee_that_is_withheld_is_no_burn() -> None:
    assert reason(effects(10**9, X=TokenDelta(-500, 6, supply=-50))) is None


def test_more_than_two_assets_are_no_trade() -> None:
    assert reason(effects(-(10**9), X=500, Y=7)) == "several_assets"
    assert reason(effects(-(10**9), X=500, Y=-7)) == "several_assets"


def test_what_a_route_left_over_is_a_posting_beside_the_trade() -> None:
    leftover = TokenDelta(7, 6, largest=1_000)
    found = interpret(effects(-(10**9), X=500, Y=leftover))
    assert found.trades[0].bought.mint == "X"
    assert [(one.mint, one.raw) for one in found.postings] == [("Y", 7)]


def test_a_little_of_what_was_just_minted_is_no_leftover() -> None:
    assert not TokenDelta(7, 6, supply=1_000, largest=993).is_leftover
    assert TokenDelta(7, 6, largest=993).is_leftover


def test_sol_that_left_beside_a_trade_of_tokens_is_a_fee() -> None:
    trade = interpret(effects(-21_000, X=-7, Y=500)).trades[0]
    assert trade is not None
    assert (trade.action, trade.fee_lamports) == ("swap", 26_000)


def test_sol_that_came_back_beside_a_trade_of_tokens_is_ignored() -> None:
    trade = interpret(effects(2_039_280, usdc=-7, X=500)).trades[0]
    assert trade is not None
    assert (trade.action, trade.fee_lamports) == ("buy", 5_000)


def test_a_small_fee_for_tokens_from_an_unknown_program_is_a_claim() -> None:
    assert reason(effects(-CLAIM_FEE_MAX + 1, None, X=500)) == "claim"
    assert reason(effects(-CLAIM_FEE_MAX, None, X=500)) is None
    assert reason(effects(-CLAIM_FEE_MAX + 1, RAYDIUM, X=500)) is None


def test_without_a_trade_every_token_is_a_posting_and_sol_is_none() -> None:
    found = interpret(effects(10**9, X=500, Y=7))
    moved = [(one.mint, one.raw, one.decimals) for one in found.postings]
    assert moved == [("X", 500, 6), ("Y", 7, 6)]
