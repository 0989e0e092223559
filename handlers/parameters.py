"""What a request may carry, for those who read the API's description; `query.py` reads it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from handlers.query import (
    ALIASES,
    BATCH_MAX,
    HEARTBEAT_MAX,
    HEARTBEAT_MIN,
    PAGE_DEFAULT,
    PAGE_MAX,
    SINCE_MAX,
)
from wd_server.streaming.bundle_id import WALLETS_MAX


class Parameter(NamedTuple):
    """`schema` is JSON Schema of the value as text is read."""

    name: str
    schema: Mapping[str, Any]
    about: str
    place: str = "query"
    required: bool = False


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_ADDRESS: Final = {"type": "string", "pattern": "^[1-9A-HJ-NP-Za-km-z]{32,44}$"}
_SWITCH: Final = {"type": "boolean", "default": False}
_ID: Final = {"type": "string", "examples": ["1882685741609896-1"]}

ADDRESS: Final = Parameter(
    "address", _ADDRESS, "The wallet: base58 of exactly 32 bytes.", "path", True
)
STREAM_ID: Final = Parameter(
    "stream_id", {"type": "string"}, "As `connected` and `GET /v4/streams` say it.", "path", True
)
WALLETS: Final = Parameter(
    "wallet",
    {"type": "array", "items": _ADDRESS, "minItems": 1, "maxItems": WALLETS_MAX},
    f"A wallet; repeat it for each, up to {WALLETS_MAX}.",
    required=True,
)
POSITION: Final = Parameter(
    "Last-Event-ID", _ID, "The last id you saw: what follows it is sent.", "header"
)
STREAM: Final = (
    Parameter("follow", _SWITCH, "Stay open after the history for new trades."),
    Parameter(
        "batch",
        {"type": "integer", "minimum": 1, "maximum": BATCH_MAX},
        "`trades` events of up to so many instead of one `trade` each.",
    ),
    Parameter("mint", _ADDRESS, "Only trades of this token."),
    Parameter(
        "side", {"type": "string", "enum": ["buy", "sell", "swap"]}, "Only trades of this kind."
    ),
    Parameter(
        "min_usd",
        {"type": "number", "minimum": 0},
        "Only trades worth so many US dollars or more.",
    ),
    Parameter(
        "since",
        {"type": "integer", "minimum": 0, "maximum": SINCE_MAX},
        "Only trades from this time on, in unix seconds.",
    ),
    Parameter("skip_pricing", _SWITCH, "Leave values in US dollars out: they are null."),
    Parameter(
        "heartbeat",
        {"type": "integer", "minimum": HEARTBEAT_MIN, "maximum": HEARTBEAT_MAX},
        "The longest silence in seconds, where the server's own doesn't suit.",
    ),
    Parameter(
        "last_event_id",
        _ID,
        "The header `Last-Event-ID`, for clients that can't set it. An id that can't be read is "
        f"refused here, and a `gap` in the header and in the aliases {_named(ALIASES)}.",
    ),
    Parameter(
        "errors",
        {"type": "string", "enum": ["event", "status"], "default": "status"},
        "`event`: refusals come as a stream of one `error` event, because a browser's EventSource "
        "gives up for good on any other status.",
    ),
)
PAGE: Final = (
    Parameter("after", _ID, "The `next` of the page before."),
    Parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
        "Trades in a page.",
    ),
)
