"""What a request asks for, read from its query and headers. Pure: strings in, values out."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple, TypeVar

from wd_server.errors import InvalidParameter, InvalidWallet
from wd_server.events.ids import EventId
from wd_server.streaming.channel import UnreadableId
from wd_server.streaming.view import NO_FILTER, Filter, View
from wd_server.trading.trade import Action
from wd_server.trading.wallet import WalletAddress

# The contract's range of `batch`.
BATCH_MAX = 500
# The contract's range of a page of trades, and the page of one who doesn't say.
PAGE_MAX = 1000
PAGE_DEFAULT = 100
# The contract's range of `heartbeat`, in seconds. Beyond it a client that vanished would stay for
# more than 90 s (client.USER_TIMEOUT_MS).
HEARTBEAT_MIN, HEARTBEAT_MAX = 5, 20
# Names by which clients that can't set headers send the last id when they come back, in this order:
# event-source-polyfill and reconnecting-eventsource; Mercure, today and before; amvtek's polyfill.
ALIASES = ("lastEventId", "lastEventID", "Last-Event-ID", "evs_last_event_id")
# Seconds since 1970 that four-digit years reach: beyond it is a typing error (milliseconds).
SINCE_MAX = 253_402_300_799

# More dollars than there are; beyond it is a typing error.
USD_MAX = 10**15

# RFC 9110, section 12.4.2.
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


T = TypeVar("T")


class StreamQuery(NamedTuple):
    """`heartbeat_seconds` None: as the settings have it."""

    view: View
    heartbeat_seconds: int | None


def last_id(
    query: Mapping[str, str], header: str | None, parse: Callable[[str], T]
) -> T | UnreadableId | None:
    """The id of the last event that a client saw; None if it saw none. Of several the newest
    counts: the header and then the ALIASES are written at each reconnect, `last_event_id` once, by
    whoever made the URL. Only there an id that `parse` refuses is an error, since a client can't
    take back what its EventSource sends. Raises InvalidParameter."""
    reconnected = header or next((query[name] for name in ALIASES if query.get(name)), "")
    text = reconnected or query.get("last_event_id")
    try:
        return parse(text) if text else None
    except InvalidParameter:
        if reconnected:
            return UnreadableId()
        raise


def stream_query(query: Mapping[str, str], batch: int) -> StreamQuery:
    """`batch` is what one who doesn't say gets. Raises InvalidParameter."""
    trade_filter = Filter(
        mint=_mint(query),
        side=_side(query),
        min_usd=_min_usd(query),
        since=_integer(query, "since", 0, SINCE_MAX),
    )
    asked = _integer(query, "batch", 1, BATCH_MAX)
    view = View(
        follow=_switch(query, "follow"),
        batch=batch if asked is None else asked,
        skip_pricing=_switch(query, "skip_pricing"),
        filter=NO_FILTER if trade_filter == NO_FILTER else trade_filter,
    )
    return StreamQuery(view, _integer(query, "heartbeat", HEARTBEAT_MIN, HEARTBEAT_MAX))


def page_query(query: Mapping[str, str]) -> tuple[EventId | None, int]:
    """The position after which a page of trades begins, and its length."""
    limit = _integer(query, "limit", 1, PAGE_MAX)
    return _after(query.get("after")), PAGE_DEFAULT if limit is None else limit


def errors_as_events(query: Mapping[str, str]) -> bool:
    """Whether admission errors are wanted inside a stream, as a native EventSource needs them."""
    wish = query.get("errors")
    if wish not in (None, "event", "status"):
        raise InvalidParameter("errors must be event or status.")
    return wish == "event"


def takes_html(accept: str) -> bool:
    """Whether a browser asks for a page; what doesn't mind (`*/*`) is a program."""
    return "text/html" in _kinds(accept)


def takes_event_stream(accept: str) -> bool:
    """Whether the client reads an event stream: it says so, or doesn't mind and doesn't ask for
    JSON."""
    kinds = _kinds(accept)
    if "text/event-stream" in kinds:
        return True
    return not any(kind.endswith("json") for kind in kinds)


def accepted_encoding(accept_encoding: str) -> Literal["gzip"] | None:
    """The content coding for who sends this Accept-Encoding (RFC 9110, section 12.5.3); None: send
    it as it is. So is what refuses that too, as the section on 406 allows."""
    weights = dict(map(_weighted, accept_encoding.lower().split(",")))
    rest = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", rest))
    return "gzip" if gzip > 0 and gzip >= weights.get("identity", rest) else None


def _kinds(accept: str) -> set[str]:
    return {part.partition(";")[0].strip().lower() for part in accept.split(",")}


def _weighted(item: str) -> tuple[str, float]:
    """A name and its weight, 1 if it has none, 0 if that can't be read."""
    name, _, parameter = (part.strip() for part in item.partition(";"))
    if not parameter:
        return name, 1.0
    weight = _WEIGHT.fullmatch(parameter)
    return name, float(weight[1]) if weight else 0.0


def _after(text: str | None) -> EventId | None:
    try:
        return EventId.parse(text) if text else None
    except InvalidParameter as error:
        message = "after is not an id this server sent: <run>-<seq>."
        raise InvalidParameter(message) from error


def _switch(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name)
    if text is None:
        return False
    if text.lower() not in _SWITCH:
        raise InvalidParameter(f"{name} must be true or false.")
    return _SWITCH[text.lower()]


def _integer(query: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 12 and least <= int(text) <= most:
        return int(text)
    raise InvalidParameter(f"{name} must be a whole number from {least} to {most}.")


def _mint(query: Mapping[str, str]) -> str | None:
    text = query.get("mint")
    if text is None:
        return None
    try:
        return str(WalletAddress.parse(text))
    except InvalidWallet as error:
        raise InvalidParameter("mint must be the address of a token, in base58.") from error


def _side(query: Mapping[str, str]) -> Action | None:
    match query.get("side"):
        case None:
            return None
        case ("buy" | "sell" | "swap") as side:
            return side
    raise InvalidParameter("side must be buy, sell or swap.")


def _min_usd(query: Mapping[str, str]) -> Decimal | None:
    text = query.get("min_usd")
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if "_" in text or not value.is_finite() or not 0 <= value < USD_MAX or len(text) > 40:
        raise InvalidParameter("min_usd must be a number of US dollars, 0 or more.")
    return value
