"""What a transaction meant for a wallet: its trades, and postings of all that moved.

Balances decide, flows explain. Each asset of the wallet's that changed goes one of these ways:

    belongs to a trade (see `deals`)        sold, bought
    paid to the chain, a builder, a venue   network_fee, priority_fee, tip, platform_fee
    deposit for an account                  rent_locked, rent_returned, rent_paid
    kept by a program for the wallet        custody_out, custody_in, minted, burned
    burned for nothing                      burned, and a trade that realizes the loss
    from or to somebody                     sent, received, reward
    nothing shows why                       unexplained
"""

from collections.abc import Iterator, Sequence
from typing import Literal, cast

from msgspec import Struct

from wd_server.trading import movements
from wd_server.trading.deals import (
    Asset,
    Deal,
    NoDeal,
    Part,
    assets_of,
    burned_assets,
    deal_of,
    order_filled,
    swap_of_deposit,
)
from wd_server.trading.effects import Effects
from wd_server.trading.movements import sol_posting
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.programs import SOL, SOL_DECIMALS, STABLE_MINTS
from wd_server.trading.trade import Action, Leg, RawTrade

Reason = Literal[
    "failed",  # only the network fee moved
    "unreadable",  # what the upstream gave is no transaction that there can be
    "one_sided",  # a transfer, an airdrop, a claim for nothing
    "round_trip",  # it ends in what it began with: an arbitrage, a volume bot
    "lending",  # deposit, withdrawal, loan, repayment
    "escrow",  # an order that will trade later, or gives back
    "staking",  # native or liquid
    "bridge",  # to or from another chain
    "nft",  # minted, bought, sold
    "share",  # a part of a pool, stake pool or vault was minted or burned
    "claim",  # tokens for a small fee, no venue known
]


class Interpretation(Struct, frozen=True, array_like=True, gc=False):
    """What a transaction meant for a wallet.

    trades: what it exchanged, by part; none where there is a `reason`
    reason: why it was no trade
    postings: all of them; they add up to the wallet's balance changes
    """

    trades: tuple[RawTrade, ...]
    reason: Reason | None
    postings: tuple[Posting, ...]


def interpret(effects: Effects) -> Interpretation:
    if effects.failed:
        return _no_trade(effects, "failed", _unexplained(effects, "failed"))
    assets = assets_of(effects)
    if not assets and not effects.payments and not effects.flows:
        return _no_trade(effects, "one_sided", ())
    found: Deal | NoDeal = order_filled(effects, assets) or deal_of(effects, assets)
    place = movements.place_of(effects)
    if place and found != "round_trip" and not (isinstance(found, Deal) and found.order):
        assert effects.program is not None
        custody = movements.in_custody(effects, assets, place)
        return _no_trade(effects, cast(Reason, effects.program.kind), custody)
    if isinstance(found, Deal):
        return _trades(effects, assets, found)
    if found == "round_trip":
        return _no_trade(effects, found, movements.round_trip(effects, assets))
    burned = burned_assets(effects, assets)
    if burned:
        return _burns(effects, assets, burned)
    if found == "share":
        swap = swap_of_deposit(effects)
        if swap is not None:
            return _trades(effects, assets, swap)
        custody = movements.in_custody(effects, assets, movements.share_place(effects))
        return _no_trade(effects, found, custody)
    return _no_trade(effects, found, movements.transferred(effects, assets))


def action_of(sold: str, bought: str) -> Action:
    """What a trade is called; SOL is more of a quote than a stable coin, that more than others."""
    gave, got = _quote_rank(sold), _quote_rank(bought)
    if gave == got:
        return "swap"
    return "buy" if gave > got else "sell"


def _quote_rank(mint: str) -> int:
    return 2 if mint == SOL else 1 if mint in STABLE_MINTS else 0


def _no_trade(
    effects: Effects, reason: Reason, postings: Sequence[Posting] | Iterator[Posting]
) -> Interpretation:
    costs = movements.costs(effects)
    rents = movements.rents(effects, is_staked=reason == "staking")
    return Interpretation((), reason, (*costs, *rents, *postings))


def _unexplained(effects: Effects, place: str) -> Iterator[Posting]:
    """Balances that a failed transaction changed all the same."""
    for asset in assets_of(effects):
        yield Posting("unexplained", asset.mint, asset.raw, asset.decimals, place=place)


def _trades(effects: Effects, assets: Sequence[Asset], deal: Deal) -> Interpretation:
    beside = list(_beside(effects, _rest(assets, deal), deal))
    postings = [*movements.costs(effects), *movements.rents(effects), *beside]
    for number, part in enumerate(deal.parts):
        postings += [_leg("sold", part.sold, number), _leg("bought", part.bought, number)]
    return Interpretation(_raw_trades(effects, deal, beside), None, tuple(postings))


def _rest(assets: Sequence[Asset], deal: Deal) -> list[Asset]:
    """What the legs leave of each asset, or took more of it than the wallet has less."""
    sums = {asset.mint: asset.raw for asset in assets}
    decimals = {asset.mint: asset.decimals for asset in assets}
    for leg in deal.legs():
        sums[leg.mint] = sums.get(leg.mint, 0) - leg.raw
        decimals[leg.mint] = leg.decimals
    return [Asset(mint, raw, decimals[mint]) for mint, raw in sums.items() if raw]


def _beside(effects: Effects, rest: Sequence[Asset], deal: Deal) -> Iterator[Posting]:
    """Postings beside the legs of a trade. Where SOL is no leg, what little of it went is a fee;
    where it was the middle of the route, what a hop paid out of it never was the wallet's."""
    if deal.is_deposited:
        yield from movements.in_custody(effects, rest, movements.share_place(effects))
        return
    turnover, limit = 0, None
    for leg in deal.legs():
        turnover += abs(leg.raw) if leg.mint == SOL else 0
    if not turnover:
        limit, rest = _netted(effects, rest)
    fees = [payment for payment in effects.payments if payment.target != deal.sent_to]
    yield from movements.paid_fees(fees, turnover, limit)
    for payment in effects.payments:
        if payment.target == deal.sent_to:
            yield sol_posting("sent", -payment.lamports, deal.sent_to)
    for asset in rest:
        if deal.order and asset.raw > 0 and asset.mint == deal.parts[0].sold.mint:
            assert effects.escrow is not None
            place = effects.escrow.name
            yield Posting("custody_in", asset.mint, asset.raw, asset.decimals, deal.order, place)
        elif deal.sent_to and asset.mint == SOL:
            yield sol_posting("sent", asset.raw, deal.sent_to)
        else:
            yield from movements.beside_trade(effects, asset)


def _netted(effects: Effects, rest: Sequence[Asset]) -> tuple[int, list[Asset]]:
    """What the wallet paid at most where some of it came back, and `rest` without that."""
    paid = sum([payment.lamports for payment in effects.payments])
    limit = max(0, paid - effects.sol)
    sol = effects.sol - max(0, paid - limit)
    tokens = [asset for asset in rest if asset.mint != SOL]
    return limit, tokens + ([Asset(SOL, sol, SOL_DECIMALS)] if sol else [])


def _leg(kind: PostingKind, asset: Asset, part: int) -> Posting:
    return Posting(kind, asset.mint, asset.raw, asset.decimals, part=part)


def _raw_trades(effects: Effects, deal: Deal, fees: Sequence[Posting]) -> tuple[RawTrade, ...]:
    program = effects.escrow if deal.order else effects.program
    is_known = program is not None or not deal.parts[0].bought.raw
    is_sure = is_known and effects.exact and deal.is_split
    return tuple(
        [
            _raw_trade(
                effects,
                part,
                fees if number == 0 else None,
                number,
                len(deal.parts),
                dex=program.name if program else "unknown",
                sure=is_sure,
            )
            for number, part in enumerate(deal.parts)
        ]
    )


def _raw_trade(
    effects: Effects,
    part: Part,
    fees: Sequence[Posting] | None,
    number: int,
    parts: int,
    *,
    dex: str,
    sure: bool,
) -> RawTrade:
    sold, bought = part.sold, part.bought
    is_burn = bought.mint == SOL and not bought.raw
    return RawTrade(
        signature=effects.signature,
        slot=effects.slot,
        timestamp=effects.timestamp,
        action="burn" if is_burn else action_of(sold.mint, bought.mint),
        sold=Leg(sold.mint, -sold.raw, sold.decimals),
        bought=Leg(bought.mint, bought.raw, bought.decimals),
        network_fee=0 if fees is None else effects.network_fee,
        dex=dex,
        confidence="high" if sure else "low",
        tip=_sum(fees, "tip"),
        platform_fee=_sum(fees, "platform_fee"),
        part=number,
        parts=parts,
        priority_fee=0 if fees is None else effects.network_fee - effects.base_fee,
    )


def _sum(postings: Sequence[Posting] | None, kind: PostingKind) -> int:
    return -sum([posting.raw for posting in postings or () if posting.kind == kind])


def _burns(effects: Effects, assets: Sequence[Asset], burned: Sequence[Asset]) -> Interpretation:
    """Burns for nothing, which realize the loss of what they cost."""
    nothing = Asset(SOL, 0, SOL_DECIMALS)
    deal = Deal(tuple([Part(asset, nothing) for asset in burned]))
    limit, others = _netted(effects, _rest(assets, deal))
    fees = [
        *movements.paid_fees(effects.payments, 0, limit),
        *movements.each_transferred(effects, others),
    ]
    postings = [*movements.costs(effects), *movements.rents(effects), *fees]
    for number, asset in enumerate(burned):
        postings.append(_leg("burned", asset, number))
    return Interpretation(_raw_trades(effects, deal, fees), None, tuple(postings))
