"""Results that are easy to get wrong, each with the right value."""

from decimal import Decimal

import pytest

from wd_server.trading.interpretation import Interpretation, Reason
from wd_server.trading.ledger import Consumed, Ledger, Outcome
from wd_server.trading.lots import OpenPosition
from wd_server.trading.postings import Posting, PostingKind, balance_changes
from wd_server.trading.prices import Value, value_of
from wd_server.trading.programs import SOL, USDC
from wd_server.trading.summary import InCustody, Summary, position_of
from wd_server.trading.trade import Action, CostBasisMethod, Leg, RawTrade

BASES: tuple[CostBasisMethod, ...] = ("fifo", "average")
A, B, SHARE = "Amint", "Bmint", "Share"
ONE = 10**9  # lamports of a SOL

both_bases = pytest.mark.parametrize("basis", BASES)


def sol(text: str) -> int:
    return int(Decimal(text).scaleb(9))


def leg(mint: str, raw: int) -> Leg:
    return Leg(mint, raw, 9 if mint == SOL else 6)


def post(kind: PostingKind, mint: str, raw: int, place: str = "", address: str = "") -> Posting:
    return Posting(kind, mint, raw, leg(mint, raw).decimals, address, place)


class Wallet:
    """A ledger, and what its postings say the wallet has."""

    def __init__(self, basis: CostBasisMethod = "fifo", *, trace: bool = False) -> None:
        self.ledger = Ledger(basis, trace=trace)
        self.lamports = 0

    def trade(
        self, action: Action, gave: Leg, got: Leg, *beside: Posting, value: Value | None = None
    ) -> Outcome:
        trade = RawTrade("sig", 1, 1_750_000_000, action, gave, got, 0, "dex", "high")
        legs = [post("burned" if action == "burn" else "sold", gave.mint, -gave.raw)]
        if got.raw:
            legs.append(post("bought", got.mint, got.raw))
        interpretation = Interpretation((trade,), None, (*legs, *beside))
        return self.tell(interpretation, value_of(trade, {}) if value is None else value)[0]

    def buy(self, mint: str, raw: int, lamports: int, *beside: Posting) -> Outcome:
        return self.trade("buy", leg(SOL, lamports), leg(mint, raw), *beside)

    def sell(self, mint: str, raw: int, lamports: int, *beside: Posting) -> Outcome:
        return self.trade("sell", leg(mint, raw), leg(SOL, lamports), *beside)

    def move(self, *postings: Posting, reason: Reason = "one_sided") -> None:
        self.tell(Interpretation((), reason, postings))

    def resolve(self, *postings: Posting) -> tuple[Interpretation, tuple[Outcome, ...]]:
        told = Interpretation((), "escrow", postings)
        resolved = self.ledger.resolved(told, "fill", 7, 1_750_000_000)
        assert balance_changes(resolved.postings) == balance_changes(postings)
        values = [value_of(trade, {}) for trade in resolved.trades]
        return resolved, self.tell(resolved, *values)

    def tell(self, interpretation: Interpretation, *values: Value) -> tuple[Outcome, ...]:
        self.lamports += balance_changes(interpretation.postings).get(SOL, 0)
        outcomes = self.ledger.record(interpretation, values)
        assert int(self.summary.sol_change().scaleb(9)) == self.lamports
        return outcomes

    @property
    def summary(self) -> Summary:
        return self.ledger.summary()


@both_bases
def test_rugs_that_are_burned_lose_what_they_cost(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    for rug in ("rug1", "rug2", "rug3"):
        fees = (post("network_fee", SOL, -5000), post("rent_locked", SOL, -2_039_280))
        wallet.buy(rug, 100, ONE, *fees)
    for rug in ("rug1", "rug2", "rug3"):
        back = (post("network_fee", SOL, -5000), post("rent_returned", SOL, 2_039_280))
        outcome = wallet.trade("burn", leg(rug, 100), leg(SOL, 0), *back)
        assert (outcome.pnl_lamports, outcome.unmatched_raw) == (-ONE, 0)
    summary = wallet.summary
    assert summary.net_pnl_sol == Decimal("-3.00003")
    assert (summary.burned_cost_sol, summary.rent_locked_sol, summary.unmatched_sol) == (3, 0, 0)
    assert (summary.trades, summary.burns, summary.win_rate) == (6, 3, 0)
    assert summary.transferred_cost_sol == summary.open_cost_sol == 0


@both_bases
def test_burning_a_gift_loses_nothing_that_is_known(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    wallet.move(post("received", A, 100))
    outcome = wallet.trade("burn", leg(A, 100), leg(SOL, 0))
    assert (outcome.pnl_lamports, outcome.pnl_nanousd, outcome.unmatched_raw) == (None, None, 0)
    assert wallet.summary.unmatched_sol == 0


def test_a_burn_is_worth_nothing_in_either_currency() -> None:
    burn = RawTrade("sig", 1, 60, "burn", leg(A, 5), leg(SOL, 0), 0, "unknown", "high")
    assert value_of(burn, {}) == Value(0, 0)


@both_bases
def test_a_rug_sold_for_dust_is_a_loss(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    wallet.buy(A, 100, sol("0.88"))
    assert wallet.sell(A, 100, 9409).pnl_lamports == sol("-0.879990591")


ROUND_ABOUT: list[tuple[PostingKind, PostingKind, str, str]] = [
    ("custody_out", "custody_in", "jupiter_limit", ""),
    ("custody_out", "custody_in", "kamino", ""),
    ("custody_out", "custody_in", "raydium", ""),
    ("sent", "received", "", "own other wallet"),
]


@both_bases
@pytest.mark.parametrize(("out", "back", "place", "address"), ROUND_ABOUT)
def test_what_was_away_comes_back_with_its_cost(
    basis: CostBasisMethod, out: PostingKind, back: PostingKind, place: str, address: str
) -> None:
    wallet = Wallet(basis)
    wallet.buy(A, 100, ONE)
    wallet.move(post(out, A, -100, place, address))
    wallet.ledger = Ledger.from_bytes(wallet.ledger.to_bytes())
    away = wallet.summary
    assert away.custody_cost_sol + away.transferred_cost_sol == 1
    wallet.move(post(back, A, 100, place, address))
    assert wallet.sell(A, 100, 3 * ONE) == Outcome(2 * ONE, None, ONE, 0, 0, 0)
    summary = wallet.summary
    assert (summary.realized_pnl_sol, summary.unmatched_sol) == (2, 0)
    assert summary.custody_cost_sol == summary.transferred_cost_sol == 0


@both_bases
def test_what_somebody_else_sends_has_no_known_cost(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    wallet.buy(A, 100, ONE)
    wallet.move(post("sent", A, -100, address="somebody"))
    wallet.move(post("received", A, 100, address="somebody else"))
    assert wallet.sell(A, 100, ONE).unmatched_raw == 100


@both_bases
def test_more_tokens_than_went_into_custody_are_a_reward_of_unknown_cost(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.buy(A, 100, ONE)
    wallet.move(post("custody_out", A, -100, "kamino"))
    wallet.move(post("custody_in", A, 110, "kamino"))
    assert wallet.sell(A, 110, 11 * ONE).pnl_lamports == 9 * ONE
    assert wallet.summary.unmatched_sol == 1


def test_sol_that_comes_back_beyond_what_went_into_custody_is_a_reward() -> None:
    wallet = Wallet()
    wallet.move(post("custody_out", SOL, -10 * ONE, "kamino"))
    assert wallet.summary.custody_cost_sol == 10
    wallet.move(post("custody_in", SOL, sol("10.5"), "kamino"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (0, Decimal("0.5"))


def test_a_loan_of_sol_is_owed_and_no_reward() -> None:
    wallet = Wallet()
    wallet.move(post("custody_in", SOL, 10 * ONE, "kamino"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (-10, 0)
    wallet.move(post("custody_out", SOL, -10 * ONE, "kamino"))
    assert wallet.summary.custody_cost_sol == 0


def test_the_last_of_several_deposits_of_sol_comes_back_as_interest_and_is_no_loan() -> None:
    """The interest of the first was taken for the second's principal."""
    wallet = Wallet()
    wallet.move(post("custody_out", SOL, -10 * ONE, "kamino"))
    wallet.move(post("custody_out", SOL, sol("-0.1"), "kamino"))
    wallet.move(post("custody_in", SOL, sol("10.3"), "kamino"))
    wallet.ledger = Ledger.from_bytes(wallet.ledger.to_bytes())
    wallet.move(post("custody_in", SOL, sol("0.11"), "kamino"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (0, Decimal("0.31"))
    wallet.move(post("custody_in", SOL, 2 * ONE, "kamino"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (-2, Decimal("0.31"))
    wallet.move(post("custody_in", SOL, sol("0.01"), "kamino"))
    assert wallet.summary.custody_cost_sol == Decimal("-2.01")


def test_sol_that_pays_a_loan_back_brings_no_interest() -> None:
    wallet = Wallet()
    wallet.move(post("custody_in", SOL, 10 * ONE, "kamino"))
    wallet.move(post("custody_out", SOL, -10 * ONE, "kamino"))
    wallet.move(post("custody_in", SOL, sol("0.5"), "kamino"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (Decimal("-0.5"), 0)


@both_bases
def test_the_fill_of_an_order_is_a_trade(basis: CostBasisMethod) -> None:
    """What the order gave comes out of custody and is sold."""
    wallet = Wallet(basis)
    wallet.buy(A, 100, ONE)
    wallet.move(post("custody_out", A, -100, "jupiter_limit"))
    outcome = wallet.sell(A, 100, sol("1.998"), post("custody_in", A, 100, "jupiter_limit"))
    assert (outcome.pnl_lamports, outcome.unmatched_raw) == (sol("0.998"), 0)
    assert wallet.ledger.positions() == []


@both_bases
def test_an_order_that_closes_and_gives_another_asset_was_filled(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    wallet.buy(A, 100, ONE)
    wallet.buy(B, 100, ONE)
    wallet.move(post("custody_out", B, -100, "jupiter_limit", "order b"))
    wallet.move(post("custody_out", A, -100, "jupiter_limit", "order a"))
    wallet.ledger = Ledger.from_bytes(wallet.ledger.to_bytes())
    resolved, (outcome,) = wallet.resolve(
        post("custody_in", SOL, sol("1.998"), "jupiter_limit", "order a"),
        post("rent_returned", SOL, 3_000_000),
    )
    (trade,) = resolved.trades
    assert (trade.action, trade.sold, trade.bought) == (
        "sell", leg(A, 100), leg(SOL, sol("1.998")),
    )  # fmt: skip
    assert (trade.signature, trade.slot, trade.dex) == ("fill", 7, "jupiter_limit")
    assert trade.confidence == "high"
    assert outcome.pnl_lamports == sol("0.998")
    assert resolved.reason is None
    (position,) = wallet.ledger.positions()
    assert position.mint == B


def test_an_order_filled_in_part_gives_the_rest_back_and_sells_what_is_missing() -> None:
    wallet = Wallet()
    wallet.move(post("custody_out", SOL, -10 * ONE, "jupiter_dca"))
    resolved, _ = wallet.resolve(
        post("custody_in", SOL, 4 * ONE, "jupiter_dca"),
        post("custody_in", A, 600, "jupiter_dca"),
        post("network_fee", SOL, -5000),
    )
    (trade,) = resolved.trades
    assert (trade.action, trade.sold, trade.bought) == ("buy", leg(SOL, 6 * ONE), leg(A, 600))
    assert (trade.network_fee, trade.confidence) == (5000, "low")
    assert wallet.summary.custody_cost_sol == 0
    assert wallet.sell(A, 600, 7 * ONE).pnl_lamports == ONE


def test_an_order_that_is_cancelled_is_no_trade() -> None:
    wallet = Wallet()
    wallet.move(post("custody_out", SOL, -10 * ONE, "jupiter_dca"))
    back = (post("custody_in", SOL, 10 * ONE, "jupiter_dca"), post("rent_returned", SOL, 5))
    assert wallet.resolve(*back)[0].trades == ()
    assert wallet.resolve(post("custody_in", A, 5, "jupiter_dca"))[0].trades == ()


@both_bases
def test_a_liquid_staking_token_costs_what_was_staked(basis: CostBasisMethod) -> None:
    wallet = Wallet(basis)
    wallet.move(
        post("custody_out", SOL, -10 * ONE, "marinade"), post("minted", SHARE, 900, "marinade")
    )
    assert (wallet.summary.open_cost_sol, wallet.summary.custody_cost_sol) == (10, 0)
    outcome = wallet.sell(SHARE, 900, sol("11.2"))
    assert (outcome.pnl_lamports, outcome.unmatched_raw) == (sol("1.2"), 0)


@both_bases
def test_a_liquid_staking_token_that_is_unstaked_realizes_what_comes_beyond_its_cost(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.move(
        post("custody_out", SOL, -10 * ONE, "marinade"), post("minted", SHARE, 900, "marinade")
    )
    wallet.move(
        post("burned", SHARE, -450, "marinade"), post("custody_in", SOL, sol("5.6"), "marinade")
    )
    summary = wallet.summary
    assert summary.realized_pnl_sol == summary.custody_pnl_sol == Decimal("0.6")
    assert (summary.open_cost_sol, summary.rewards_sol, summary.trades) == (5, 0, 0)


@both_bases
def test_a_share_that_gives_back_less_than_it_cost_realizes_the_loss(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.buy(SHARE, 900, 10 * ONE)
    wallet.move(
        post("burned", SHARE, -900, "marinade"), post("custody_in", SOL, sol("9.9"), "marinade")
    )
    assert wallet.summary.realized_pnl_sol == Decimal("-0.1")
    assert wallet.ledger.positions() == []


@both_bases
def test_what_was_bought_and_pooled_at_once_comes_out_with_its_cost_and_is_sold_at_once(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.buy(
        A, 100, 5 * ONE,
        post("custody_out", A, -100, "orca"),
        post("custody_out", SOL, -5 * ONE, "orca"),
        post("minted", SHARE, 77, "orca"),
    )  # fmt: skip
    (share,) = wallet.ledger.positions()
    assert (share.mint, share.cost_sol) == (SHARE, Decimal(10))
    outcome = wallet.sell(
        A, 120, 6 * ONE,
        post("burned", SHARE, -77, "orca"),
        post("custody_in", A, 120, "orca"),
        post("custody_in", SOL, 6 * ONE, "orca"),
    )  # fmt: skip
    assert (outcome.cost_lamports, outcome.pnl_lamports) == (4 * ONE, 2 * ONE)
    assert wallet.summary.realized_pnl_sol == 2


def test_a_share_that_is_burned_before_anything_comes_back_leaves_its_cost_with_the_program() -> (
    None
):
    wallet = Wallet()
    wallet.buy(SHARE, 100, ONE)
    wallet.move(post("burned", SHARE, -100, "marinade"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.open_cost_sol) == (1, 0)
    wallet.move(post("custody_in", SOL, sol("1.1"), "marinade"))
    assert (wallet.summary.custody_cost_sol, wallet.summary.rewards_sol) == (0, Decimal("0.1"))


@both_bases
@pytest.mark.parametrize(
    ("back_sol", "back_tokens", "realized", "open_cost", "left"),
    [("2", 3000, "0", "13", "0"), ("18", 200, "4", "1", "0"), ("4", 1000, "0", "5", "6")],
)
def test_a_position_in_a_pool_is_a_pot(
    basis: CostBasisMethod,
    back_sol: str,
    back_tokens: int,
    realized: str,
    open_cost: str,
    left: str,
) -> None:
    """10 SOL and 1,000 tokens that cost 5 SOL went in."""
    wallet = Wallet(basis)
    wallet.buy(A, 1000, 5 * ONE)
    wallet.move(
        post("custody_out", A, -1000, "meteora"), post("custody_out", SOL, -10 * ONE, "meteora")
    )
    wallet.move(
        post("custody_in", A, back_tokens, "meteora"),
        post("custody_in", SOL, sol(back_sol), "meteora"),
    )
    summary = wallet.summary
    assert summary.custody_pnl_sol == Decimal(realized)
    assert summary.open_cost_sol == Decimal(open_cost)
    assert summary.custody_cost_sol == Decimal(left)


def test_fees_of_failed_transactions_are_a_line_of_their_own() -> None:
    wallet = Wallet()
    for _ in range(20):
        fee = post("network_fee", SOL, -5000), post("priority_fee", SOL, -4_995_000)
        wallet.move(*fee, reason="failed")
    wallet.move(post("network_fee", SOL, -5000), post("priority_fee", SOL, -100))
    wallet.buy(A, 1, ONE, post("tip", SOL, -sol("0.3")), post("platform_fee", SOL, -sol("0.08")))
    summary = wallet.summary
    assert (summary.failed_fees_sol, summary.tips_sol) == (Decimal("0.1"), Decimal("0.3"))
    assert summary.network_fees_sol == Decimal("0.0000051")
    assert summary.priority_fees_sol == Decimal("0.0000001")
    assert summary.fees_sol == Decimal("0.4800051")
    assert summary.net_pnl_sol == -summary.fees_sol


def test_rent_that_stays_is_shown_and_is_no_loss_unless_the_wallet_cannot_close_the_account() -> (
    None
):
    wallet = Wallet()
    for number in range(10):
        wallet.buy(f"mint{number}", 100, ONE, post("rent_locked", SOL, -2_039_280))
        wallet.sell(f"mint{number}", 100, ONE)
    assert wallet.summary.rent_locked_sol == Decimal("0.0203928")
    assert wallet.summary.net_pnl_sol == 0
    wallet.move(post("rent_paid", SOL, -1_000_000), post("rent_returned", SOL, 2_039_280))
    assert wallet.summary.rent_locked_sol == Decimal("0.01835352")
    assert (wallet.summary.rent_paid_sol, wallet.summary.net_pnl_sol) == (
        Decimal("0.001"), Decimal("-0.001"),
    )  # fmt: skip


@both_bases
def test_a_round_trip_within_a_transaction_has_a_result_and_is_no_trade(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    fee = post("network_fee", SOL, -5000)
    wallet.move(fee, post("sold", SOL, -1_471_168))
    summary = wallet.summary
    assert (summary.round_trip_pnl_sol, summary.trades) == (Decimal("-0.001471168"), 0)
    assert summary.net_pnl_sol == Decimal("-0.001476168")
    wallet.buy(A, 100, ONE)
    wallet.move(post("sold", A, -1), post("bought", SOL, 30_000_000))
    assert wallet.summary.round_trip_pnl_sol == Decimal("0.018528832")
    wallet.move(post("bought", A, 1))
    assert wallet.sell(A, 100, ONE).unmatched_raw == 0


def usdc_trader(basis: CostBasisMethod, lamports: int | None) -> tuple[Wallet, list[Outcome]]:
    """Deposits 10,000 USDC and makes three round trips of +1 USDC. `lamports`: for 100 USDC."""
    wallet = Wallet(basis)
    wallet.move(post("received", USDC, 10_000_000_000))
    outcomes = []
    for mint in (A, B, "Cmint"):
        value = Value(lamports, 100 * 10**9)
        wallet.trade("buy", leg(USDC, 100_000_000), leg(mint, 1000), value=value)
        more = Value(lamports, 101 * 10**9)
        outcomes.append(wallet.trade("sell", leg(mint, 1000), leg(USDC, 101_000_000), value=more))
    return wallet, outcomes


@both_bases
def test_a_trader_in_usdc_wins_in_usd(basis: CostBasisMethod) -> None:
    wallet, _ = usdc_trader(basis, sol("0.632"))
    summary = wallet.summary
    assert (summary.tokens_won, summary.tokens_sold, summary.win_rate) == (3, 3, 1)
    assert (summary.unmatched_sol, summary.unmatched_usd) == (0, 0)
    assert summary.realized_pnl_usd == 3
    wallet.ledger = Ledger.from_bytes(wallet.ledger.to_bytes())
    wallet.trade(
        "buy", leg(USDC, 100_000_000), leg(A, 1000), value=Value(sol("0.632"), 100 * 10**9)
    )
    wallet.trade("sell", leg(A, 1000), leg(USDC, 1_000_000), value=Value(sol("0.632"), 10**9))
    assert (wallet.summary.tokens_won, wallet.summary.tokens_sold) == (2, 3)


@both_bases
def test_what_is_not_known_in_sol_is_null_and_not_unmatched(basis: CostBasisMethod) -> None:
    wallet, outcomes = usdc_trader(basis, None)
    for outcome in outcomes:
        assert (outcome.pnl_nanousd, outcome.pnl_lamports) == (10**9, None)
        assert outcome.unmatched_raw == 0
    summary = wallet.summary
    assert (summary.realized_pnl_sol, summary.realized_pnl_usd) == (None, 3)
    assert (summary.unmatched_sol, summary.known_cost_share, summary.priced_share) == (0, None, 1)
    assert summary.win_rate == 1


@both_bases
def test_a_sale_of_units_bought_without_a_price_has_no_result_in_usd(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.move(post("received", USDC, 100_000_000))
    wallet.trade("buy", leg(USDC, 100_000_000), leg(A, 100))
    wallet.buy(A, 50, ONE)
    outcome = wallet.trade("sell", leg(A, 150), leg(USDC, 300_000_000))
    assert (outcome.pnl_nanousd, outcome.pnl_lamports, outcome.unmatched_raw) == (None, None, 0)


def test_a_pool_of_units_without_a_price_stays_without_one_however_it_is_rounded() -> None:
    wallet = Wallet("average")
    wallet.move(post("received", A, 2))
    wallet.buy(A, 1, ONE)
    wallet.trade("buy", leg(SOL, ONE), leg(A, 97), value=Value(ONE, 100 * 10**9))
    for units in (34, 33, 32):
        value = Value(ONE, 100 * 10**9)
        outcome = wallet.trade("sell", leg(A, units), leg(SOL, ONE), value=value)
        assert outcome.pnl_nanousd is None


def test_a_swap_passes_on_that_a_unit_has_no_price_even_if_it_is_less_than_one() -> None:
    wallet = Wallet("average")
    wallet.buy(A, 1, ONE)
    wallet.trade("buy", leg(SOL, ONE), leg(A, 97), value=Value(ONE, 100 * 10**9))
    wallet.trade("swap", leg(A, 98), leg(B, 5), value=Value(None, None))
    outcome = wallet.trade("sell", leg(B, 5), leg(SOL, 3 * ONE), value=Value(3 * ONE, 300 * 10**9))
    assert (outcome.pnl_lamports, outcome.pnl_nanousd) == (ONE, None)


@both_bases
def test_a_sale_of_an_airdrop_has_no_result_and_its_proceeds_are_unmatched(
    basis: CostBasisMethod,
) -> None:
    wallet = Wallet(basis)
    wallet.move(post("received", A, 1000))
    outcome = wallet.sell(A, 1000, 3 * ONE)
    assert (outcome.pnl_lamports, outcome.pnl_nanousd, outcome.unmatched_raw) == (None, None, 1000)
    summary = wallet.summary
    assert (summary.unmatched_sol, summary.realized_pnl_sol, summary.known_cost_share) == (
        3, None, 0,
    )  # fmt: skip


def test_the_tokens_that_cost_most_are_asked_a_price_of_last() -> None:
    """Of very many, the last ones are."""
    wallet = Wallet()
    wallet.buy(A, 1000, ONE)
    for number in range(130):
        wallet.move(post("received", f"airdrop{number}", 5))
    assert wallet.ledger.held()[-1] == A


def test_custody_stays_visible_where_nothing_is_held() -> None:
    wallet = Wallet()
    wallet.buy(A, 2_000_000, ONE)
    wallet.move(post("custody_out", A, -2_000_000, "jupiter_limit"))
    wallet.move(post("custody_out", SOL, -ONE, "stake"))
    kept = [InCustody("jupiter_limit", Decimal(2), "2000000", Decimal(1))]
    staked = [InCustody("stake", Decimal(1), str(ONE), Decimal(1))]
    token, money = wallet.ledger.positions()
    assert (token.mint, token.held, token.amount) == (A, False, Decimal(0))
    assert token.in_custody == kept
    assert (money.mint, money.held, money.in_custody) == (SOL, False, staked)
    assert wallet.summary.open_positions == 2
    assert position_of(A, OpenPosition(6, 0, [])).in_custody == ()


def test_a_leftover_costs_nothing_and_is_all_profit() -> None:
    wallet = Wallet()
    wallet.buy(B, 100, sol("6.6"), post("leftover", A, 13))
    assert wallet.sell(A, 13, 500) == Outcome(500, None, 0, 0, 0, 0)


def test_the_net_result_in_usd_takes_fees_at_the_mean_price_of_sol() -> None:
    wallet = Wallet()
    fee = post("network_fee", SOL, -10_000_000)
    wallet.trade("buy", leg(SOL, ONE), leg(A, 10), fee, value=Value(ONE, 100 * 10**9))
    value = Value(2 * ONE, 200 * 10**9)
    wallet.trade("sell", leg(A, 10), leg(SOL, 2 * ONE), value=value)
    assert (wallet.summary.realized_pnl_usd, wallet.summary.net_pnl_usd) == (100, 99)
    assert Wallet().summary.net_pnl_usd == 0


def test_a_tracing_ledger_names_the_purchases_that_a_sale_consumed() -> None:
    ledger = Ledger("fifo", trace=True)
    for name, units in (("first", 60), ("second", 60)):
        trade = RawTrade(name, 1, 60, "buy", leg(SOL, 600), leg(A, units), 0, "dex", "high")
        ledger.record(Interpretation((trade,), None, ()), (Value(600, None),), name)
    away = post("custody_out", A, -60, "kamino")
    ledger.record(Interpretation((), "lending", (away,)), (), "lent")
    back = post("custody_in", A, 70, "kamino")
    ledger.record(Interpretation((), "lending", (back,)), (), "returned")
    sale = RawTrade("sale", 1, 60, "sell", leg(A, 140), leg(SOL, 9), 0, "dex", "high")
    (outcome,) = ledger.record(Interpretation((sale,), None, ()), (Value(9, None),), "sale")
    assert outcome.consumed == (
        Consumed("second", 60, 600, 0, True),
        Consumed("first", 60, 600, 0, True),
        Consumed("returned", 10, 0, 0, False),
        Consumed("", 10, 0, 0, False),
    )


def test_what_is_away_is_forgotten_beyond_a_bound_and_no_total_with_it() -> None:
    wallet = Wallet()
    for number in range(450):
        wallet.buy(f"mint{number}", 10, ONE)
        wallet.move(post("custody_out", f"mint{number}", -10, "meteora"))
    summary = wallet.summary
    assert (summary.custody_cost_sol, summary.transferred_cost_sol) == (200, 250)
    for number in range(450):
        wallet.buy(f"mint{number}", 10, ONE)
        wallet.move(post("sent", f"mint{number}", -10, address=f"friend{number}"))
        wallet.move(post("custody_out", SOL, -1, f"place{number}"))
    assert len(wallet.ledger.to_bytes()) < 60_000


def test_a_custodian_that_is_in_use_is_not_forgotten() -> None:
    wallet = Wallet()
    for number in range(300):
        wallet.move(post("custody_out", SOL, -ONE, "kamino"))
        wallet.move(post("custody_out", SOL, -1, f"place{number}"))
    wallet.move(post("custody_in", SOL, 300 * ONE, "kamino"))
    assert wallet.summary.rewards_sol == 0
