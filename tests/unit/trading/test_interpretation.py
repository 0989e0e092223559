import msgspec
import pytest

from wd_server.trading.balances import TokenDelta
from wd_server.trading.deals import CLAIM_FEE_MAX, DUST, divided
from wd_server.trading.effects import Effects
from wd_server.trading.interpretation import Reason, action_of, interpret
from wd_server.trading.parties import Parties
from wd_server.trading.programs import PROGRAMS, SOL, USDC, USDT, Program
from wd_server.trading.sol_postings import Payment

RAYDIUM = Program("raydium", "venue")
JUPITER = Program("jupiter", "router")


def makers(**sides: dict[str, int]) -> Parties:
    """Owners that all gave one asset and took another, without their accounts."""
    changes = [change for side in sides.values() for change in side.items()]
    return Parties(
        sides=sides,
        makers=frozenset(sides),
        given=frozenset(mint for mint, raw in changes if raw < 0),
        taken=frozenset(mint for mint, raw in changes if raw > 0),
    )


def effects(
    sol: int = 0,
    program: Program | None = RAYDIUM,
    *,
    fees: int = 0,
    failed: bool = False,
    exact: bool = True,
    parties: Parties | None = None,
    **tokens: TokenDelta | int,
) -> Effects:
    deltas = {
        {"usdc": USDC, "usdt": USDT}.get(name, name): TokenDelta(delta, 6)
        if isinstance(delta, int)
        else delta
        for name, delta in tokens.items()
    }
    payments = (Payment("Front end", fees, outer=False, caller="Program"),) if fees else ()
    return Effects(
        *("signature", 1, 2, failed, "wallet", True),
        *(sol - 5_000 - fees, 5_000, 5_000, 0, 0, 0, payments, sol),
        tokens=deltas,
        parties=parties or Parties(),
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
    assert (trade.sold.mint, trade.sold.raw, trade.sold.decimals) == (SOL, 10**9, 9)
    assert (trade.bought.mint, trade.bought.raw, trade.bought.decimals) == ("X", 500, 6)
    assert (trade.action, trade.dex, trade.confidence, trade.fee_lamports) == (
        *("buy", "raydium", "high"),
        5_007,
    )


def test_an_unknown_program_makes_a_trade_less_sure() -> None:
    trade = interpret(effects(10**9, None, X=-500)).trades[0]
    assert (trade.dex, trade.confidence) == ("unknown", "low")


def test_numbers_from_floats_make_a_trade_less_sure() -> None:
    trade = interpret(effects(10**9, exact=False, X=-500)).trades[0]
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


@pytest.mark.parametrize("kind", ["lending", "escrow", "staking", "bridge"])
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
    created = TokenDelta(900, 6, supply=1_000)
    assert reason(effects(-(10**9), pump_fun, X=created)) is None


def test_a_transfer_fee_that_is_withheld_is_no_burn() -> None:
    assert reason(effects(10**9, X=TokenDelta(-500, 6, supply=-50))) is None


def test_two_tokens_for_sol_are_two_trades_by_what_each_pool_took() -> None:
    pools = makers(one={SOL: 300, "X": -500}, two={SOL: 700, "Y": -7})
    found = interpret(effects(-1_000, fees=9, parties=pools, X=500, Y=7))
    assert [(one.sold.raw, one.bought.mint) for one in found.trades] == [(300, "X"), (700, "Y")]
    assert [(one.part, one.parts, one.fee_lamports) for one in found.trades] == [
        (0, 2, 5_009),
        (1, 2, 0),
    ]
    assert {one.confidence for one in found.trades} == {"high"}


def test_two_tokens_sold_for_a_stable_coin_are_two_trades() -> None:
    pools = makers(one={USDC: -30, "X": 500}, two={USDC: -70, "Y": 7})
    found = interpret(effects(parties=pools, usdc=100, X=-500, Y=-7))
    assert [(one.action, one.bought.raw) for one in found.trades] == [("sell", 30), ("sell", 70)]


def test_what_pools_do_not_tell_apart_is_split_equally_and_less_sure() -> None:
    one_pool = makers(pool={SOL: 1_001, "X": -500, "Y": -7})
    for parties in (one_pool, None):
        found = interpret(effects(-100_001, parties=parties, X=500, Y=7))
        assert sorted(one.sold.raw for one in found.trades) == [50_000, 50_001]
        assert {one.confidence for one in found.trades} == {"low"}


@pytest.mark.parametrize("raw", [0, 1, -1, 7, -7, 10**18, -(2**64)])
@pytest.mark.parametrize("weights", [[1], [1, 1], [1, 2, 3], [10**18, 1]])
def test_parts_add_up_to_the_whole(raw: int, weights: list[int]) -> None:
    parts = divided(raw, weights)
    assert sum(parts) == raw
    assert len(parts) == len(weights)


def test_what_a_route_left_over_is_a_posting_beside_the_trade() -> None:
    route = makers(one={SOL: 10**9, "Y": -1_000}, two={"Y": 300, "X": -500})
    found = interpret(effects(-(10**9), parties=route, X=500, Y=700))
    assert [(one.sold.mint, one.bought.mint) for one in found.trades] == [(SOL, "X")]
    assert ("leftover", "Y", 700) in [(one.kind, one.mint, one.raw) for one in found.postings]


def test_what_somebody_gave_who_took_nothing_is_a_reward_beside_the_trade() -> None:
    pool = makers(pool={SOL: 10**9, "X": -500})
    pool.sides["Vault"] = {"Y": -7}
    found = interpret(effects(-(10**9), parties=pool, X=500, Y=7))
    assert [one.bought.mint for one in found.trades] == ["X"]
    assert ("reward", "Y", "Vault") in [
        (one.kind, one.mint, one.counterparty) for one in found.postings
    ]


def test_what_somebody_took_who_gave_nothing_was_sent_beside_the_trade() -> None:
    pool = makers(pool={SOL: 10**9, "X": -500})
    pool.sides["Friend"] = {"Y": 7}
    found = interpret(effects(-(10**9), parties=pool, X=500, Y=-7))
    assert [one.sold.mint for one in found.trades] == [SOL]
    assert ("sent", "Y", "Friend") in [
        (one.kind, one.mint, one.counterparty) for one in found.postings
    ]


def test_a_maker_makes_a_purchase_on_an_unknown_venue_however_small() -> None:
    pool = makers(pool={SOL: 3, "X": -500})
    trade = interpret(effects(-3, None, parties=pool, X=500)).trades[0]
    assert (trade.action, trade.sold.raw, trade.dex, trade.confidence) == (
        *("buy", 3, "unknown", "low"),
    )


def test_one_unit_that_cannot_be_divided_is_traded_where_a_venues_maker_gave_it() -> None:
    pool = makers(pool={SOL: 10**9, "N": -1})
    for program, expected in ((JUPITER, None), (RAYDIUM, None), (None, "nft")):
        found = effects(-(10**9), program, parties=pool, N=TokenDelta(1, 0))
        assert reason(found) == expected


def test_a_mint_that_withholds_half_of_a_transfer_is_traded_on_a_venue() -> None:
    pool = makers(pool={SOL: -(10**9), "X": 250})
    found = interpret(effects(10**9, parties=pool, X=TokenDelta(-500, 6, supply=-250)))
    assert [(one.action, one.sold.raw) for one in found.trades] == [("sell", 500)]


def test_sol_that_left_beside_a_trade_of_tokens_is_a_fee() -> None:
    trade = interpret(effects(-21_000, X=-7, Y=500)).trades[0]
    assert (trade.action, trade.fee_lamports) == ("swap", 26_000)


def test_sol_that_came_back_beside_a_trade_of_tokens_is_ignored() -> None:
    trade = interpret(effects(2_039_280, usdc=-7, X=500)).trades[0]
    assert (trade.action, trade.fee_lamports) == ("buy", 5_000)


def test_a_small_fee_for_tokens_from_an_unknown_program_is_a_claim() -> None:
    assert reason(effects(-CLAIM_FEE_MAX + 1, None, X=500)) == "claim"
    assert reason(effects(-CLAIM_FEE_MAX, None, X=500)) is None
    assert reason(effects(-CLAIM_FEE_MAX + 1, RAYDIUM, X=500)) is None


def test_what_nobody_gave_or_took_is_unexplained() -> None:
    found = interpret(effects(10**9, None, X=500, Y=7))
    moved = [(one.kind, one.mint, one.raw) for one in found.postings]
    assert moved == [
        ("network_fee", SOL, -5_000),
        ("unexplained", "X", 500),
        ("unexplained", "Y", 7),
        ("unexplained", SOL, 10**9),
    ]


def test_what_moved_in_a_failed_transaction_beside_its_fee_is_unexplained() -> None:
    found = interpret(effects(10**9, failed=True, X=500))
    assert [(one.kind, one.mint, one.raw, one.place) for one in found.postings] == [
        ("network_fee", SOL, -5_000, ""),
        ("unexplained", "X", 500, "failed"),
        ("unexplained", SOL, 10**9, "failed"),
    ]


def test_a_burn_for_nothing_realizes_its_loss() -> None:
    found = interpret(effects(0, None, X=TokenDelta(-500, 6, supply=-500)))
    (trade,) = found.trades
    assert (trade.action, trade.sold.raw, trade.bought.mint, trade.bought.raw) == (
        *("burn", 500, SOL, 0),
    )
    assert (trade.confidence, trade.fee_lamports) == ("high", 5_000)
    assert [(one.kind, one.part) for one in found.postings] == [
        ("network_fee", 0),
        ("burned", 0),
    ]


def test_several_burns_are_as_many_trades() -> None:
    burned = {name: TokenDelta(-500, 6, supply=-500) for name in ("X", "Y")}
    found = interpret(effects(0, None, fees=3, **burned))
    assert [(one.sold.mint, one.part, one.parts, one.fee_lamports) for one in found.trades] == [
        ("X", 0, 2, 5_003),
        ("Y", 1, 2, 0),
    ]


@pytest.mark.parametrize("kind", ["lending", "escrow", "staking", "bridge"])
def test_a_burn_that_a_custodian_makes_is_custody(kind: Reason) -> None:
    program = next(one for one in PROGRAMS.values() if one.kind == kind)
    found = interpret(effects(0, program, X=TokenDelta(-500, 6, supply=-500)))
    assert (found.trades, found.reason) == ((), kind)
    assert [(one.kind, one.place) for one in found.postings][1:] == [("burned", program.name)]


def test_a_nft_that_was_burned_is_no_loss_of_a_trader() -> None:
    found = interpret(effects(0, None, N=TokenDelta(-1, 0, supply=-1)))
    assert [one.kind for one in found.postings] == ["network_fee", "burned"]
    assert found.trades == ()


@pytest.mark.parametrize(
    ("payment", "kind"),
    [
        (Payment("Builder", 300_000_000, outer=True), "tip"),
        (Payment("Builder", 9_000_000_000, outer=True), "sent"),
        (Payment("Friend", 1_000_000, outer=True, new=True), "sent"),
        (Payment("Front end", 9_000_000_000, outer=False, caller="Program"), "platform_fee"),
        (Payment("96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5", 9, outer=False), "tip"),
    ],
)
def test_what_a_payment_beside_a_trade_of_8_sol_is(payment: Payment, kind: str) -> None:
    pool = makers(pool={SOL: 8 * 10**9, "X": -500})
    seen = effects(-8 * 10**9, parties=pool, X=500)
    found = interpret(msgspec.structs.replace(seen, payments=(payment,)))
    assert [one.kind for one in found.postings if one.raw == -payment.lamports] == [kind]
