"""Postings of what a transaction moved beside trades: costs, custody, transfers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from wd_server.trading.deals import Asset
from wd_server.trading.effects import Effects
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.programs import (
    FEE_ACCOUNTS,
    SOL,
    SOL_DECIMALS,
    TIP_ACCOUNTS,
    TRADING_KINDS,
)
from wd_server.trading.sol_postings import Payment

# A payment that the transaction makes by an instruction of its own, beside a trade, is no tip if it
# is more than this (lamports) and more than the trade's SOL. The flow can't tell a tip from a gift
# there; but nobody pays more for a trade than it is worth.
FEE_MAX: Final = 100_000_000
UNKNOWN_PLACE: Final = "unknown"
# The place of native stake. Its accounts hold deposit and stake together, so that both are there.
STAKE: Final = "stake"


def sol_posting(kind: PostingKind, lamports: int, counterparty: str = "") -> Posting:
    return Posting(kind, SOL, lamports, SOL_DECIMALS, counterparty)


def costs(effects: Effects) -> Iterator[Posting]:
    """What the chain took."""
    priority = effects.network_fee - effects.base_fee
    if effects.base_fee:
        yield sol_posting("network_fee", -effects.base_fee)
    if priority:
        yield sol_posting("priority_fee", -priority)


def rents(effects: Effects, *, is_staked: bool = False) -> Iterator[Posting]:
    """Deposits. The account of an order gives its deposit back, as does that of a bridge's message;
    a lending market keeps it. Stake is in custody with its deposit, if the transaction stakes."""
    locked, returned, paid = effects.rent_locked, effects.rent_returned, effects.rent_paid
    program = effects.program
    if is_staked and place_of(effects) == STAKE:
        paid = 0
    elif program is not None and program.kind in ("escrow", "staking", "bridge"):
        locked, returned, paid = locked + max(0, paid), returned + max(0, -paid), 0
    if locked:
        yield sol_posting("rent_locked", -locked)
    if returned:
        yield sol_posting("rent_returned", returned)
    if paid:
        yield sol_posting("rent_paid", -paid)


def place_of(effects: Effects) -> str:
    """The custodian that the transaction is for, empty if there is none."""
    program = effects.program
    return "" if program is None or program.kind in TRADING_KINDS else program.name


def payment_kind(payment: Payment, turnover: int) -> PostingKind:
    """What a payment beside a trade of `turnover` lamports was."""
    if payment.target in TIP_ACCOUNTS:
        return "tip"
    if payment.target in FEE_ACCOUNTS:
        return "platform_fee"
    if payment.caller:
        return "platform_fee"
    if payment.new or payment.lamports > max(FEE_MAX, turnover):
        return "sent"
    return "tip" if payment.outer else "platform_fee"


def paid_fees(payments: Iterable[Payment], turnover: int, limit: int | None) -> Iterator[Posting]:
    """Payments beside a trade, together no more than `limit` if there is one."""
    for payment in payments:
        lamports = payment.lamports
        if limit is not None:
            lamports = min(lamports, limit)
            limit -= lamports
        if lamports:
            kind = payment_kind(payment, turnover)
            yield sol_posting(kind, -lamports, payment.target if kind == "sent" else "")


def beside_trade(effects: Effects, asset: Asset) -> Iterator[Posting]:
    """What else the wallet has more or less of."""
    mint, raw, decimals, parties = asset.mint, asset.raw, asset.decimals, effects.parties
    if mint == SOL:
        yield sol_posting("platform_fee" if raw < 0 else "received", raw)
    elif raw < 0:
        for owner, units in parties.taken_by(mint, -raw):
            yield Posting("sent", mint, -units, decimals, owner)
    elif parties.is_middle(mint):
        yield Posting("leftover", mint, raw, decimals)
    else:
        yield Posting("reward", mint, raw, decimals, parties.counterparty(mint, raw))


def round_trip(effects: Effects, assets: Sequence[Asset]) -> Iterator[Posting]:
    """One posting for what is left of each asset; what the route left of others costs nothing."""
    yield from paid_fees(effects.payments, abs(effects.sol), None)
    for asset in assets:
        kind: PostingKind = "sold" if asset.raw < 0 else "bought"
        yield Posting(kind, asset.mint, asset.raw, asset.decimals)


def in_custody(effects: Effects, assets: Sequence[Asset], place: str) -> Iterator[Posting]:
    """What went to a custodian and came back from it. A pool takes several assets; who takes
    nothing but SOL beside it takes a fee."""
    fees, paid_in = [], []
    targets = {payment.target for payment in effects.payments}
    pools = {target for target in targets if _takes_several(effects, target)}
    for payment in effects.payments:
        target = payment.target
        is_listed = target in TIP_ACCOUNTS or target in FEE_ACCOUNTS
        is_fee = target not in pools if pools else not payment.caller and not payment.new
        if is_listed or is_fee:
            fees.append(payment)
        else:
            paid_in.append(Asset(SOL, -payment.lamports, SOL_DECIMALS))
    yield from paid_fees(fees, sum(-asset.raw for asset in paid_in), None)
    if effects.rent_paid and place_of(effects) == STAKE:
        paid_in.append(Asset(SOL, -effects.rent_paid, SOL_DECIMALS))
    swapped = {asset.mint for asset in assets if _was_swapped(effects, asset)}
    for mint, raw, decimals in _summed([*assets, *paid_in]):
        minted = effects.tokens[mint].supply if mint in effects.tokens else 0
        kind: PostingKind = "custody_out" if raw < 0 else "custody_in"
        if minted and (minted > 0) == (raw > 0) and 2 * abs(minted) >= abs(raw):
            kind = "minted" if raw > 0 else "burned"
        elif mint in swapped:
            kind = "leftover"
        if kind == "leftover":
            yield Posting(kind, mint, raw, decimals)
        else:
            order = _order(effects, mint, raw, fees)
            yield Posting(kind, mint, raw, decimals, order, place)


def _order(effects: Effects, mint: str, raw: int, fees: Iterable[Payment]) -> str:
    """Address of the order that took or gave this, empty where it isn't the only one."""
    if effects.program is None or effects.program.kind != "escrow":
        return ""
    paid = {payment.target for payment in fees}
    found = [owner for owner in effects.parties.opposite(mint, raw) if owner not in paid]
    return found[0] if len(found) == 1 else ""


def _takes_several(effects: Effects, owner: str) -> bool:
    side = effects.parties.sides.get(owner, {})
    return len([raw for raw in side.values() if raw > 0]) > 1


def _was_swapped(effects: Effects, asset: Asset) -> bool:
    """Whether it is what a swap on the way to an order or a bridge left over."""
    kind = effects.program.kind if effects.program is not None else None
    is_on_the_way = kind == "bridge" or kind == "escrow"
    return is_on_the_way and asset.raw > 0 and effects.parties.met(asset.mint, asset.raw)


def _summed(assets: Iterable[Asset]) -> list[tuple[str, int, int]]:
    sums: dict[str, int] = {}
    decimals: dict[str, int] = {}
    for asset in assets:
        sums[asset.mint] = sums.get(asset.mint, 0) + asset.raw
        decimals[asset.mint] = asset.decimals
    return [(mint, raw, decimals[mint]) for mint, raw in sums.items() if raw]


def transferred(effects: Effects, assets: Sequence[Asset]) -> Iterator[Posting]:
    """What came from others and went to them."""
    for payment in effects.payments:
        kind: PostingKind = "sent"
        if payment.target in TIP_ACCOUNTS:
            kind = "tip"
        elif payment.target in FEE_ACCOUNTS:
            kind = "platform_fee"
        yield sol_posting(kind, -payment.lamports, payment.target if kind == "sent" else "")
    yield from each_transferred(effects, assets)


def each_transferred(effects: Effects, assets: Iterable[Asset]) -> Iterator[Posting]:
    for asset in assets:
        yield from _transfer(effects, asset)


def _transfer(effects: Effects, asset: Asset) -> Iterator[Posting]:
    mint, raw, decimals = asset.mint, asset.raw, asset.decimals
    parties, program = effects.parties, effects.program
    owners = parties.opposite(mint, raw)
    counterparty = owners[0] if len(owners) == 1 else ""
    supply = effects.tokens[mint].supply if mint in effects.tokens else 0
    if not owners and supply and (supply > 0) == (raw > 0):
        yield Posting("minted" if raw > 0 else "burned", mint, raw, decimals)
    elif not owners:
        yield Posting("unexplained", mint, raw, decimals, place="unseen")
    elif program is not None and program.kind == "venue":
        kind: PostingKind = "custody_out" if raw < 0 else "custody_in"
        yield Posting(kind, mint, raw, decimals, counterparty, program.name)
    elif raw < 0:
        for owner, units in parties.taken_by(mint, -raw):
            yield Posting("sent", mint, -units, decimals, owner)
    else:
        kind = "reward" if _is_claimed(effects, asset) else "received"
        yield Posting(kind, mint, raw, decimals, counterparty)


def _is_claimed(effects: Effects, asset: Asset) -> bool:
    """Whether a program gave it in a transaction that the wallet made and gave nothing in."""
    return (
        effects.paid
        and asset.decimals > 0
        and any(flow.kind == "tokens" and not flow.outer for flow in effects.flows)
        and not any(other.raw < 0 for other in effects.tokens.values())
        and not effects.payments
        and effects.sol >= 0
    )


def share_place(effects: Effects) -> str:
    return effects.program.name if effects.program is not None else UNKNOWN_PLACE
