"""The ledger against double-entry books that share no code with it.

Every step of a generated history is written into both. Here it is a set of entries in fractions
that add up to 0, so that a lamport that left one account is in another one; the ledger has to have
the same balance on each line of its summary, but for what it rounds, and its own formula has to
hold to the lamport. Amounts of tokens are large beside the lamports they cost, so that rounding a
unit comes to less than a lamport.
"""

from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from wd_server.trading.interpretation import Interpretation, Reason
from wd_server.trading.ledger import Ledger, Outcome
from wd_server.trading.postings import Posting, PostingKind, balance_changes
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL, USDC
from wd_server.trading.summary import InCustody, Position, Summary
from wd_server.trading.trade import Action, CostBasisMethod, Leg, RawTrade

BASES: tuple[CostBasisMethod, ...] = ("fifo", "average")
TOKENS = ("Amint", "Bmint", USDC)
FRIENDS = ("friend", "other")
PLACES = ("kamino", "raydium", "marinade")
SHARE = "Share"
SOL_KINDS: tuple[PostingKind, ...] = (
    "network_fee",
    "priority_fee",
    "tip",
    "platform_fee",
    "rent_locked",
    "rent_returned",
    "rent_paid",
    "sent",
    "received",
    "reward",
    "unexplained",
)
COMES: frozenset[PostingKind] = frozenset(("rent_returned", "received", "reward"))


class Step(NamedTuple):
    """What happens in one transaction: `units` of `token` for `lamports`, or one of them alone.
    `place` is a custodian, an address, another token, or the kind of a posting of SOL."""

    what: str
    token: str
    units: int
    lamports: int
    place: str
    is_valued: bool


class Known(NamedTuple):
    """Units, what they cost, and which part of them has a known cost."""

    units: Fraction
    cost: Fraction
    known: Fraction


Lots = list[Known]


class Books:
    """Double entry in fractions. Accounts of what came are negative, as is usual."""

    def __init__(self, basis: CostBasisMethod) -> None:
        self.basis = basis
        self.accounts: dict[str, Fraction] = defaultdict(Fraction)
        self.lots: dict[tuple[str, str], Lots] = defaultdict(list)
        self.kept_sol: dict[str, Fraction] = defaultdict(Fraction)

    def enter(self, **amounts: Fraction | int) -> None:
        """One balanced entry."""
        assert not sum(amounts.values())
        for account, amount in amounts.items():
            self.accounts[account] += amount

    def put(self, place: str, token: str, lots: Lots) -> None:
        if not lots:
            return
        there = self.lots[place, token]
        there += lots
        if self.basis == "average":
            there[:] = [merged(there)]

    def take(self, place: str, token: str, units: int) -> tuple[Lots, Fraction]:
        """Lots of so many units, and how many of them aren't there."""
        there, left, taken = self.lots[place, token], Fraction(units), []
        while there and left:
            part = min(left, there[0].units)
            share = part / there[0].units
            taken.append(Known(part, there[0].cost * share, there[0].known))
            if share == 1:
                del there[0]
            else:
                rest = 1 - share
                there[0] = Known(there[0].units * rest, there[0].cost * rest, there[0].known)
            left -= part
        if not there:
            del self.lots[place, token]
        return taken, left


def merged(lots: Lots) -> Known:
    units = sum((lot.units for lot in lots), Fraction())
    known = sum((lot.units * lot.known for lot in lots), Fraction())
    return Known(units, cost_of(lots), known / units if units else Fraction(1))


def cost_of(lots: Lots) -> Fraction:
    return sum((lot.cost for lot in lots), Fraction())


def gift(units: Fraction | int) -> Lots:
    return [Known(Fraction(units), Fraction(), Fraction())] if units else []


# The steps, as the books enter them.


def enter(books: Books, step: Step) -> None:
    handler = {
        "buy": enter_buy,
        "sell": enter_sale,
        "swap": enter_swap,
        "burn": enter_burn,
        "send": enter_sent,
        "receive": enter_received,
        "leftover": enter_leftover,
        "put": enter_put,
        "get": enter_got,
        "lock": enter_locked,
        "unlock": enter_unlocked,
        "mint": enter_minted,
        "redeem": enter_redeemed,
        "round_trip": enter_round_trip,
        "failed": enter_failed,
        "sol": enter_sol,
    }[step.what]
    handler(books, step)


def enter_buy(books: Books, step: Step) -> None:
    books.put("wallet", step.token, [Known(Fraction(step.units), Fraction(step.lamports), ONE)])
    books.enter(sol=-step.lamports, open=step.lamports)


def sold(books: Books, step: Step) -> Known:
    lots, missing = books.take("wallet", step.token, step.units)
    return merged(lots + gift(missing))


def enter_sale(books: Books, step: Step) -> None:
    gave = sold(books, step)
    realize(books, step.token, gave, step.lamports)
    books.enter(sol=step.lamports, value=-step.lamports)


def realize(books: Books, token: str, gave: Known, lamports: int) -> None:
    matched = lamports * gave.known
    books.enter(open=-gave.cost, value=matched, realized=gave.cost - matched)
    books.enter(value=lamports - matched, outside=matched - lamports)


def enter_swap(books: Books, step: Step) -> None:
    gave = sold(books, step)
    units, to = Fraction(step.units), step.place
    if step.is_valued:
        realize(books, step.token, gave, step.lamports)
        books.enter(open=step.lamports, value=-step.lamports)
        books.put("wallet", to, [Known(units, Fraction(step.lamports), ONE)])
    else:
        books.put("wallet", to, [Known(units, gave.cost, gave.known)])


def enter_burn(books: Books, step: Step) -> None:
    gave = sold(books, step)
    books.enter(open=-gave.cost, realized=gave.cost)
    books.accounts["burned"] += gave.cost


def enter_sent(books: Books, step: Step) -> None:
    lots, _ = books.take("wallet", step.token, step.units)
    books.put(step.place, step.token, [lot for lot in lots if lot.known])
    books.enter(open=-cost_of(lots), transferred=cost_of(lots))


def enter_received(books: Books, step: Step) -> None:
    lots, missing = books.take(step.place, step.token, step.units)
    books.put("wallet", step.token, lots + gift(missing))
    books.enter(open=cost_of(lots), transferred=-cost_of(lots))


def enter_leftover(books: Books, step: Step) -> None:
    books.put("wallet", step.token, [Known(Fraction(step.units), Fraction(), ONE)])


def enter_put(books: Books, step: Step) -> None:
    lots, missing = books.take("wallet", step.token, step.units)
    books.put(step.place, step.token, lots + gift(missing))
    books.enter(open=-cost_of(lots), custody=cost_of(lots))


def enter_got(books: Books, step: Step) -> None:
    lots, missing = books.take(step.place, step.token, step.units)
    books.enter(open=cost_of(lots), custody=-cost_of(lots))
    books.put("wallet", step.token, lots)
    if missing and step.place == "raydium" and books.kept_sol[step.place] > 0:
        cost = books.kept_sol.pop(step.place)
        books.put("wallet", step.token, [Known(missing, cost, ONE)])
        books.enter(custody=-cost, open=cost)
    else:
        books.put("wallet", step.token, gift(missing))


def enter_locked(books: Books, step: Step) -> None:
    books.kept_sol[step.place] += step.lamports
    books.enter(sol=-step.lamports, custody=step.lamports)


def enter_unlocked(books: Books, step: Step) -> None:
    """SOL repays SOL; beyond it a lender lends, a pool repays its tokens, others reward."""
    kept = books.kept_sol[step.place]
    if step.place == "kamino" and kept <= 0:
        repaid = Fraction(step.lamports)
    else:
        repaid = min(kept, Fraction(step.lamports))
    books.kept_sol[step.place] -= repaid
    books.enter(sol=repaid, custody=-repaid)
    beyond = step.lamports - repaid
    books.enter(sol=beyond, value=-beyond)
    if step.place != "raydium":
        books.enter(value=beyond, reward=-beyond)
        return
    for (place, _), lots in books.lots.items():
        if place == step.place and lots:
            cost = cost_of(lots)
            back = min(cost, beyond)
            whole = merged(lots)
            lots[:] = [Known(whole.units, cost - back, whole.known)] if back else lots
            books.enter(value=back, custody=-back)
            beyond -= back
    books.enter(value=beyond, realized=-beyond)


def enter_minted(books: Books, step: Step) -> None:
    gave = sold(books, step)
    cost = gave.cost + step.lamports
    books.enter(sol=-step.lamports, open=step.lamports)
    books.put("wallet", SHARE, [Known(Fraction(step.units), cost, (1 + gave.known) / 2)])


def enter_redeemed(books: Books, step: Step) -> None:
    """The share for SOL and a token: SOL repays its cost, the token costs what is left of it."""
    gave = sold(books, step._replace(token=SHARE))
    matched = step.lamports * gave.known
    repaid = min(matched, gave.cost)
    books.enter(sol=step.lamports, value=-step.lamports)
    books.enter(value=step.lamports - matched, outside=matched - step.lamports)
    books.enter(value=matched, open=-repaid, realized=repaid - matched)
    books.put("wallet", step.token, [Known(Fraction(step.units), gave.cost - repaid, gave.known)])


def enter_round_trip(books: Books, step: Step) -> None:
    lots, _ = books.take("wallet", step.token, step.units)
    cost = cost_of(lots)
    books.enter(sol=step.lamports, open=-cost, round_trip=cost - step.lamports)


def enter_failed(books: Books, step: Step) -> None:
    books.enter(sol=-step.lamports, failed=step.lamports)


def enter_sol(books: Books, step: Step) -> None:
    sign = 1 if step.place in COMES else -1
    books.accounts["sol"] += sign * step.lamports
    books.accounts[step.place] -= sign * step.lamports


ONE = Fraction(1)


# The same steps, as the ledger is told them.


def leg(mint: str, raw: int) -> Leg:
    return Leg(mint, raw, 9 if mint == SOL else 6)


def post(kind: PostingKind, mint: str, raw: int, where: str = "") -> Posting:
    if kind in ("sent", "received"):
        return Posting(kind, mint, raw, leg(mint, raw).decimals, counterparty=where)
    return Posting(kind, mint, raw, leg(mint, raw).decimals, place=where)


class Told(NamedTuple):
    interpretation: Interpretation
    values: tuple[Value, ...]


def trade_told(action: Action, gave: Leg, got: Leg, value: Value) -> Told:
    trade = RawTrade("sig", 1, 1_750_000_000, action, gave, got, 5000, "dex", "high", tip=7)
    postings = [
        post("network_fee", SOL, -5000),
        post("tip", SOL, -7),
        post("burned" if action == "burn" else "sold", gave.mint, -gave.raw),
    ]
    if got.raw:
        postings.append(post("bought", got.mint, got.raw))
    return Told(Interpretation((trade,), None, tuple(postings)), (value,))


def moved(*postings: Posting, reason: Reason = "one_sided") -> Told:
    return Told(Interpretation((), reason, postings), ())


def told(step: Step) -> Told:
    what, token, units, lamports, place, is_valued = step
    money, amount = leg(SOL, lamports), leg(token, units)
    nanousd = lamports * 150 if is_valued else None
    if token == USDC:
        nanousd = units * 1000
    match what:
        case "buy":
            return trade_told("buy", money, amount, Value(lamports, nanousd))
        case "sell":
            return trade_told("sell", amount, money, Value(lamports, nanousd))
        case "swap":
            value = Value(lamports if is_valued else None, nanousd)
            return trade_told("swap", amount, leg(place, units), value)
        case "burn":
            return trade_told("burn", amount, leg(SOL, 0), Value(0, 0))
        case "failed":
            return moved(post("network_fee", SOL, -lamports), reason="failed")
        case "sol":
            kind = next(kind for kind in SOL_KINDS if kind == place)
            return moved(post(kind, SOL, lamports if kind in COMES else -lamports))
    return moved(*tokens_moved(step))


def tokens_moved(step: Step) -> list[Posting]:
    what, token, units, lamports, place, _ = step
    return {
        "send": [post("sent", token, -units, place)],
        "receive": [post("received", token, units, place)],
        "leftover": [post("leftover", token, units)],
        "put": [post("custody_out", token, -units, place)],
        "get": [post("custody_in", token, units, place)],
        "lock": [post("custody_out", SOL, -lamports, place)],
        "unlock": [post("custody_in", SOL, lamports, place)],
        "mint": [
            post("custody_out", token, -units, "orca"),
            post("custody_out", SOL, -lamports, "orca"),
            post("minted", SHARE, units, "orca"),
        ],
        "redeem": [
            post("burned", SHARE, -units, "orca"),
            post("custody_in", SOL, lamports, "orca"),
            post("custody_in", token, units, "orca"),
        ],
        "round_trip": [post("sold", token, -units), post("bought", SOL, lamports)],
    }[what]


units = st.integers(10**12, 10**13)
lamports = st.integers(1, 10**9)


def step(whats: str, places: tuple[str, ...], tokens: tuple[str, ...]) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        st.sampled_from(whats.split()),
        st.sampled_from(tokens),
        units,
        lamports,
        st.sampled_from(places),
        st.booleans(),
    )


def histories(suffix: str = "", places: tuple[str, ...] = PLACES) -> st.SearchStrategy[list[Step]]:
    """Tokens and friends with other suffixes have nothing to do with each other."""
    plain = (f"Amint{suffix}", f"Bmint{suffix}")
    tokens = plain if suffix else (*plain, USDC)
    friends = tuple(name + suffix for name in FRIENDS)
    return st.lists(
        st.one_of(
            step("buy sell burn round_trip", ("",), tokens),
            step("swap", (plain[1], f"Cmint{suffix}"), plain[:1]),
            step("send receive", friends, tokens),
            step("leftover", ("",), plain),
            step("put get lock unlock", places, tokens),
            step("mint redeem", ("",), plain) if not suffix else st.nothing(),
            step("failed", ("",), plain),
            step("sol", SOL_KINDS, plain),
        ),
        max_size=25,
    )


def played(ledger: Ledger, history: list[Told]) -> list[Outcome]:
    return [outcome for each in history for outcome in ledger.record(*each)]


def raw(coins: Decimal | None) -> int:
    return int((coins or Decimal()).scaleb(9))


LINES = {
    "open": "open_cost_sol",
    "custody": "custody_cost_sol",
    "transferred": "transferred_cost_sol",
    "burned": "burned_cost_sol",
    "failed": "failed_fees_sol",
    "round_trip": "round_trip_pnl_sol",
    "reward": "rewards_sol",
    "realized": "realized_pnl_sol",
}
EARNED = ("round_trip", "reward", "realized")  # what came in is less than 0 in an account


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from(BASES))
def test_each_line_is_the_balance_of_an_account(
    history: list[Step], basis: CostBasisMethod
) -> None:
    books, ledger = Books(basis), Ledger(basis)
    for each in history:
        enter(books, each)
        ledger.record(*told(each))
    summary, accounts = ledger.summary(), books.accounts
    rounded = 4 * len(history) + 4
    for account, line in LINES.items():
        balance = accounts[account] * (-1 if account in EARNED else 1)
        assert abs(raw(getattr(summary, line)) - balance) <= rounded, line
    outside = raw(summary.unmatched_sol) + raw(summary.deposited_sol)
    assert abs(outside + accounts["outside"]) <= rounded
    assert accounts["value"] == 0


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from(BASES))
def test_the_lines_add_up_to_what_the_wallet_has_more_of_to_the_lamport(
    history: list[Step], basis: CostBasisMethod
) -> None:
    ledger = Ledger(basis)
    change = 0
    for each in map(told, history):
        ledger.record(*each)
        change += balance_changes(each.interpretation.postings).get(SOL, 0)
        assert raw(ledger.summary().sol_change()) == change
    positions = ledger.positions()
    summary = ledger.summary()
    assert raw(summary.open_cost_sol) == sum(raw(each.cost_sol) for each in positions)
    in_custody = [kept for each in positions for kept in each.in_custody]
    if raw(summary.custody_cost_sol) >= 0 and not _has_loan(history):
        assert raw(summary.custody_cost_sol) == sum(raw(kept.cost_sol) for kept in in_custody)


def _has_loan(history: list[Step]) -> bool:
    return any(each.what == "unlock" and each.place == "kamino" for each in history)


@settings(max_examples=80, deadline=None)
@given(histories(), st.sampled_from(BASES))
def test_every_figure_is_a_fold_over_what_a_client_gets(
    history: list[Step], basis: CostBasisMethod
) -> None:
    ledger = Ledger(basis)
    sums: Counter[str] = Counter()
    for each in map(told, history):
        outcomes = ledger.record(*each)
        for posting in each.interpretation.postings:
            if posting.mint == SOL:
                failed = each.interpretation.reason == "failed"
                sums["failed" if failed else posting.kind] += posting.raw
        for trade, value, outcome in zip(
            each.interpretation.trades, each.values, outcomes, strict=True
        ):
            sums[trade.action] += 1
            sums["realized"] += outcome.pnl_lamports or 0
            sums["usd"] += outcome.pnl_nanousd or 0
            sums["volume"] += value.lamports or 0
            sums["burned"] += outcome.cost_lamports * (trade.action == "burn")
            sums["known"] += outcome.pnl_lamports is not None
    summary = ledger.summary()
    counts = (summary.buys, summary.sells, summary.swaps, summary.burns)
    assert counts == (sums["buy"], sums["sell"], sums["swap"], sums["burn"])
    assert summary.trades == sum(counts)
    assert raw(summary.realized_pnl_sol) == sums["realized"] + raw(summary.custody_pnl_sol)
    assert raw(summary.realized_pnl_usd) == sums["usd"]
    assert raw(summary.volume_sol) == sums["volume"]
    assert raw(summary.burned_cost_sol) == sums["burned"]
    assert raw(summary.network_fees_sol) == -sums["network_fee"] - sums["priority_fee"]
    assert raw(summary.priority_fees_sol) == -sums["priority_fee"]
    assert raw(summary.tips_sol) == -sums["tip"]
    assert raw(summary.platform_fees_sol) == -sums["platform_fee"]
    assert raw(summary.failed_fees_sol) == -sums["failed"]
    assert raw(summary.rent_locked_sol) == -sums["rent_locked"] - sums["rent_returned"]
    assert raw(summary.rent_paid_sol) == -sums["rent_paid"]
    assert raw(summary.sent_sol) == -sums["sent"]
    assert raw(summary.received_sol) == sums["received"]
    assert raw(summary.unexplained_sol) == sums["unexplained"]
    assert summary.fees_sol == (
        summary.network_fees_sol
        + summary.tips_sol
        + summary.platform_fees_sol
        + summary.failed_fees_sol
    )
    assert raw(summary.net_pnl_sol) == (
        raw(summary.realized_pnl_sol)
        + raw(summary.round_trip_pnl_sol)
        - raw(summary.fees_sol)
        - raw(summary.rent_paid_sol)
    )


@settings(max_examples=80, deadline=None)
@given(histories(), st.sampled_from(BASES), st.data())
def test_splitting_a_transaction_in_two_changes_no_total(
    history: list[Step], basis: CostBasisMethod, data: st.DataObject
) -> None:
    """A purchase or a sale is told with what came before it and what went after it, or apart."""
    together, apart = Ledger(basis), Ledger(basis)
    arriving = step("receive", FRIENDS, TOKENS) | step("get", ("marinade",), TOKENS)
    leaving = step("send", FRIENDS, TOKENS) | step("put", ("marinade",), TOKENS)
    for each in history:
        parts = [told(each)]
        if parts[0].interpretation.trades:
            parts = [told(data.draw(arriving)), *parts, told(data.draw(leaving))]
            trades, values = parts[1].interpretation.trades, parts[1].values
        else:
            trades, values = (), ()
        postings = tuple(one for part in parts for one in part.interpretation.postings)
        reason = parts[0].interpretation.reason if len(parts) == 1 else None
        together.record(Interpretation(trades, reason, postings), values)
        played(apart, parts)
    assert together.summary() == apart.summary()
    assert together.positions() == apart.positions()


@settings(max_examples=80, deadline=None)
@given(
    histories("1", ("raydium",)),
    histories("2", ("kamino",)),
    st.sampled_from(BASES),
    st.randoms(use_true_random=False),
)
def test_the_order_of_unrelated_transactions_changes_nothing(
    one: list[Step], other: list[Step], basis: CostBasisMethod, random: Random
) -> None:
    ordered, mixed = Ledger(basis), Ledger(basis)
    played(ordered, [*map(told, one), *map(told, other)])
    left = [list(map(told, one)), list(map(told, other))]
    while any(left):
        played(mixed, [random.choice([each for each in left if each]).pop(0)])
    assert ordered.summary() == mixed.summary()
    assert unordered(ordered) == unordered(mixed)


def unordered(ledger: Ledger) -> dict[str, tuple[Position, frozenset[InCustody]]]:
    return {
        each.mint: (msgspec.structs.replace(each, in_custody=()), frozenset(each.in_custody))
        for each in ledger.positions()
    }


@settings(max_examples=80, deadline=None)
@given(histories(), histories(), st.sampled_from(BASES))
def test_a_checkpoint_of_any_books_changes_nothing(
    before: list[Step], after: list[Step], basis: CostBasisMethod
) -> None:
    straight = Ledger(basis)
    played(straight, [*map(told, before)])
    restored = Ledger.from_bytes(straight.to_bytes())
    rest = [*map(told, after)]
    assert played(straight, rest) == played(restored, rest)
    assert straight.summary() == restored.summary()
    assert straight.positions() == restored.positions()


@settings(max_examples=50, deadline=None)
@given(histories())
def test_tracing_changes_no_figure_and_names_what_each_trade_consumed(
    history: list[Step],
) -> None:
    plain, traced = Ledger("fifo"), Ledger("fifo", trace=True)
    for number, each in enumerate(map(told, history)):
        without = plain.record(*each)
        outcomes = traced.record(*each, f"signature {number:02}")
        for trade, outcome in zip(each.interpretation.trades, outcomes, strict=True):
            if trade.sold.mint == SOL:
                continue
            consumed = outcome.consumed
            assert sum(one.raw for one in consumed) == trade.sold.raw
            assert sum(one.cost_lamports for one in consumed) == outcome.cost_lamports
            assert all(one.signature < f"signature {len(history):02}" for one in consumed)
        bare = tuple(msgspec.structs.replace(outcome, consumed=()) for outcome in outcomes)
        assert bare == without
    assert plain.summary() == traced.summary()


def test_a_summary_of_nothing_has_nothing_on_any_line() -> None:
    summary: Summary = Ledger("fifo").summary()
    assert summary.sol_change() == 0
    assert {getattr(summary, line) for line in LINES.values()} == {0}
