"""Fills that only custody can tell: an order closes and gives another asset back than went in."""

from msgspec.structs import replace

from wd_server.trading.custody import ESCROWS, Order, Place, Places
from wd_server.trading.interpretation import Interpretation, action_of
from wd_server.trading.postings import Posting
from wd_server.trading.trade import Leg, RawTrade


def may_be_fill(interpretation: Interpretation) -> bool:
    """Whether custody may find a trade in it."""
    return not interpretation.trades and any(
        posting.kind == "custody_in" and posting.place in ESCROWS
        for posting in interpretation.postings
    )


def fill_of(
    interpretation: Interpretation, custody: Places, signature: str, slot: int, timestamp: int
) -> Interpretation:
    """The same with a trade, if it closed an order that had been filled. The order gave what was
    put into it and doesn't come back, and it got what comes beyond what the place has of that: all
    of the place's orders, where nothing shows which order it was."""
    postings = interpretation.postings
    for posting in postings:
        if posting.kind != "custody_in" or posting.place not in ESCROWS:
            continue
        place = custody.get(posting.place, Place())
        order = place.order_behind(posting.mint, posting.counterparty)
        if order is None:
            continue
        is_named = order.counterparty == posting.counterparty != ""
        beyond = posting.raw - _kept(place, posting.mint, order.counterparty if is_named else "")
        returned = sum(
            each.raw for each in postings if each.kind == "custody_in" and each.mint == order.mint
        )
        is_closed = returned or any(each.kind == "rent_returned" for each in postings)
        if is_closed and beyond > 0 and order.raw > returned:
            sold = Leg(order.mint, order.raw - returned, order.decimals)
            bought = Leg(posting.mint, beyond, posting.decimals)
            rest = _without(postings, posting, beyond) + _legs(order, sold, bought, posting)
            trade = RawTrade(
                signature,
                slot,
                timestamp,
                action_of(sold.mint, bought.mint),
                sold,
                bought,
                -sum(each.raw for each in postings if each.kind in ("network_fee", "priority_fee")),
                posting.place,
                "high" if is_named else "low",
                tip=-sum(each.raw for each in postings if each.kind == "tip"),
                platform_fee=-sum(each.raw for each in postings if each.kind == "platform_fee"),
                priority_fee=-sum(each.raw for each in postings if each.kind == "priority_fee"),
            )
            return Interpretation((trade,), None, rest)
    return interpretation


def _kept(place: Place, mint: str, counterparty: str) -> int:
    """What was put into orders in this token, or into the one with that address, and hasn't come
    back."""
    return sum(
        order.raw
        for order in place.orders
        if order.mint == mint and counterparty in ("", order.counterparty)
    )


def _without(postings: tuple[Posting, ...], posting: Posting, beyond: int) -> tuple[Posting, ...]:
    rest = replace(posting, raw=posting.raw - beyond)
    return tuple(
        rest if each is posting else each for each in postings if each is not posting or rest.raw
    )


def _legs(order: Order, sold: Leg, bought: Leg, came: Posting) -> tuple[Posting, ...]:
    """The order gives back what it sold, the wallet sells it, and gets what came."""
    back = Posting("custody_in", sold.mint, sold.raw, sold.decimals, order.counterparty, came.place)
    return (
        back,
        Posting("sold", sold.mint, -sold.raw, sold.decimals),
        Posting("bought", bought.mint, bought.raw, bought.decimals, came.counterparty),
    )
