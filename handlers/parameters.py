"""What a request may carry: each parameter is one row, which reads it and describes it.

A new parameter of streams is a row in `STREAM`, and a line in `stream_query`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from handlers.values import (
    Amount,
    Choice,
    Mint,
    Signature,
    Switch,
    T_co,
    Text,
    Values,
    Wallet,
    WalletEventId,
    WholeNumber,
)
from wd_server.access.tokens import STREAMS_MAX
from wd_server.access.tokens import WALLETS_MAX as TOKEN_WALLETS_MAX
from wd_server.errors import InvalidParameter
from wd_server.events.ids import EventId
from wd_server.streaming.bundle_id import WALLETS_MAX
from wd_server.streaming.channel import UnreadableId
from wd_server.streaming.view import NO_FILTER, Filter, View
from wd_server.trading.trade import Action

# The contract's range of `batch`.
BATCH_MAX: Final = 500
# The contract's range of a page of trades, and the page of one who doesn't say.
PAGE_MAX: Final = 1000
PAGE_DEFAULT: Final = 100
# The contract's range of `heartbeat`, in seconds. Beyond it a client that vanished would stay for
# more than 90 s (connection.USER_TIMEOUT_MS).
HEARTBEAT_MIN, HEARTBEAT_MAX = 5, 20
# Seconds since 1970 that four-digit years reach: beyond it is a typing error (milliseconds).
SINCE_MAX: Final = 253_402_300_799
# More dollars than there are; beyond it is a typing error.
USD_MAX: Final = 10**15

Place = Literal["path", "query", "header"]
T = TypeVar("T")

_MINT_OF_SOL: Final = "So11111111111111111111111111111111111111112"
_AN_ADDRESS: Final = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
_A_SIGNATURE: Final = (
    "2nBhEBYYvfaAe16UMNqRHre4YNSskvuYgx3M6E4JP1oDYvZEJHvoPzyUidNgNX5r9sTyN1J9UxtbCXy2rqYcuyuv"
)
_AN_ID: Final = "1882685741609896-1"


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """One row.

    name: as clients write it
    about: what it does, in one sentence for those who read the description
    values: which values it takes
    example: one of them, as JSON has it
    place: where in a request it stands
    required: whether a request without it is refused
    """

    name: str
    about: str
    values: Values[T_co]
    example: Any
    place: ClassVar[Place]
    required: ClassVar[bool] = False

    @property
    def refusal(self) -> str:
        """What a client is told whose value isn't taken."""
        return f"{self.name} {self.values.rule}."

    def schema(self) -> dict[str, Any]:
        return {**msgspec.json.schema(self.values.type), "examples": [self.example]}

    def parse(self, text: str) -> T_co:
        """Raises InvalidParameter, and for a wallet InvalidWallet."""
        try:
            return self.values.parse(text)
        except ValueError as error:
            raise InvalidParameter(self.refusal) from error


@dataclass(frozen=True, slots=True)
class InPath(Parameter[T_co]):
    """A part of the path."""

    place = "path"
    required = True


@dataclass(frozen=True, slots=True)
class InHeader(Parameter[T_co]):
    """A header."""

    place = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class InQuery(Parameter[T_co]):
    """A parameter of the query.

    default: the value where the query has none; None stands for what the server does then
    aliases: other names for it, of which none is described as a parameter of its own
    """

    default: T_co
    aliases: Sequence[str] = ()
    place = "query"

    def schema(self) -> dict[str, Any]:
        default = {} if self.default is None else {"default": self.default}
        return {**Parameter.schema(self), **default}

    def read(self, query: Mapping[str, str]) -> T_co:
        """The query's value. Raises InvalidParameter."""
        text = query.get(self.name)
        return self.default if text is None else self.parse(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(Parameter[T_co]):
    """A parameter of the query that stands there once for each value.

    most: how many values it may have
    count_refusal: what a client is told that sends none, or more
    """

    most: int
    count_refusal: str
    place = "query"
    required = True

    def schema(self) -> dict[str, Any]:
        values = Annotated[list[self.values.type], Meta(min_length=1, max_length=self.most)]  # type: ignore[name-defined]
        return {**msgspec.json.schema(values), "examples": [[self.example]]}

    def read(self, texts: Iterable[str]) -> list[T_co]:
        """Each value once, in the order in which they are asked for. Raises InvalidParameter,
        InvalidWallet."""
        asked = dict.fromkeys(texts)
        if not 1 <= len(asked) <= self.most:
            raise InvalidParameter(self.count_refusal)
        return [self.parse(text) for text in asked]


ADDRESS: Final = InPath("address", "The wallet: base58 of exactly 32 bytes.", Wallet(), _AN_ADDRESS)
SIGNATURE: Final = InPath("signature", "The transaction's signature.", Signature(), _A_SIGNATURE)
STREAM_ID: Final = InPath(
    "stream_id",
    "As `connected` and `GET /v4/streams` say it.",
    Text(),
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
)
WALLETS: Final = Repeated(
    "wallet",
    f"A wallet; repeat it for each, up to {WALLETS_MAX}.",
    Wallet(),
    _AN_ADDRESS,
    most=WALLETS_MAX,
    count_refusal=f"Ask for 1 to {WALLETS_MAX} wallets: /v4/stream?wallet=…&wallet=…",
)
POSITION: Final = InHeader(
    "Last-Event-ID", "The last id you saw: what follows it is sent.", Text(), _AN_ID
)
# Names by which clients that can't set headers send the last id when they come back, in this order:
# event-source-polyfill and reconnecting-eventsource; Mercure, today and before; amvtek's polyfill.
ALIASES: Final = ("lastEventId", "lastEventID", "Last-Event-ID", "evs_last_event_id")
LAST_EVENT_ID: Final[InQuery[str | None]] = InQuery(
    "last_event_id",
    "The header `Last-Event-ID`, for clients that can't set it. An id that can't be read is "
    "refused here, and a `gap` in the header and in the aliases "
    f"{', '.join(f'`{name}`' for name in ALIASES)}.",
    Text(),
    _AN_ID,
    default=None,
    aliases=ALIASES,
)
FOLLOW: Final = InQuery(
    "follow", "Stay open after the history for new trades.", Switch(), True, default=False
)
INCLUDE: Final[InQuery[Literal["movements"] | None]] = InQuery(
    "include",
    "`movement` events, too: what transactions without a trade moved. Of the filters, those of "
    "tokens and times apply to them.",
    Choice(Literal["movements"]),
    "movements",
    default=None,
)
BATCH: Final[InQuery[int | None]] = InQuery(
    "batch",
    "`trades` events of up to so many instead of one `trade` each.",
    WholeNumber(1, BATCH_MAX),
    100,
    default=None,
)
MINT: Final[InQuery[str | None]] = InQuery(
    "mint", "Only trades and movements of this token.", Mint(), _MINT_OF_SOL, default=None
)
SIDE: Final[InQuery[Action | None]] = InQuery(
    "side", "Only trades of this kind.", Choice(Action), "sell", default=None
)
MIN_USD: Final[InQuery[Decimal | None]] = InQuery(
    "min_usd",
    "Only trades worth so many US dollars or more; a trade without a price passes 0 only.",
    Amount("US dollars", USD_MAX),
    12.5,
    default=None,
)
SINCE: Final[InQuery[int | None]] = InQuery(
    "since",
    "Only trades and movements from this time on, in unix seconds.",
    WholeNumber(0, SINCE_MAX),
    1_735_689_600,
    default=None,
)
SKIP_PRICING: Final = InQuery(
    "skip_pricing",
    "Leave values in US dollars out: they are null.",
    Switch(),
    True,
    default=False,
)
HEARTBEAT: Final[InQuery[int | None]] = InQuery(
    "heartbeat",
    "The longest silence in seconds, where the server's own doesn't suit.",
    WholeNumber(HEARTBEAT_MIN, HEARTBEAT_MAX),
    HEARTBEAT_MIN,
    default=None,
)
ErrorsAs = Literal["event", "status"]
ERRORS: Final[InQuery[ErrorsAs]] = InQuery(
    "errors",
    "`event`: refusals come as a stream of one `error` event, because a browser's EventSource "
    "gives up for good on any other status.",
    Choice(ErrorsAs),
    "event",
    default="status",
)
AFTER: Final = InQuery(
    "after", "The `next` of the page before.", WalletEventId(), _AN_ID, default=None
)
LIMIT: Final = InQuery(
    "limit", "Entries in a page, at most.", WholeNumber(1, PAGE_MAX), 500, default=PAGE_DEFAULT
)
# What every stream takes, and what pages of trades take.
STREAM: Final[Sequence[Parameter[object]]] = (
    *(FOLLOW, INCLUDE, BATCH, MINT, SIDE, MIN_USD, SINCE, SKIP_PRICING, HEARTBEAT),
    *(LAST_EVENT_ID, ERRORS, POSITION),
)
PAGE: Final[Sequence[Parameter[object]]] = (AFTER, LIMIT)

# Where a key or token may stand. All requests below /v4 take one.
AUTHORIZATION: Final = InHeader("Authorization", "An API key or a token.", Text(), "Bearer wd_…")
X_API_KEY: Final = InHeader("X-API-Key", "An API key or a token.", Text(), "wd_…")
API_KEY: Final[InQuery[str | None]] = InQuery(
    "api_key",
    "For clients that can't set headers. Prefer a token, which soon ends.",
    Text(),
    "wd_…",
    default=None,
)
ACCESS_TOKEN: Final[InQuery[str | None]] = InQuery(
    "access_token", "A token, for clients that can't set headers.", Text(), "eyJ…", default=None
)


class TokenRequest(Struct, forbid_unknown_fields=True):
    """The body that asks for a token. `Authenticator.issue` keeps it to its bounds, since the upper
    one of `seconds` is a setting."""

    wallets: Annotated[
        list[str] | None,
        Meta(
            description=f"What it may read: 1 to {TOKEN_WALLETS_MAX} addresses that the key may, "
            'or `["*"]`. All of the key\'s if this is missing.',
            examples=[[_AN_ADDRESS]],
        ),
    ] = None
    seconds: Annotated[
        int | None,
        Meta(
            description="How long it lasts, from 1 to the server's TOKEN_MAX_SECONDS; so long if "
            "this is missing.",
            examples=[300],
            extra_json_schema={"minimum": 1},
        ),
    ] = None
    max_streams: Annotated[
        int | None,
        Meta(
            description="How many streams it may have open at a time. As many as the key if this "
            "is missing.",
            examples=[2],
            extra_json_schema={"minimum": 1, "maximum": STREAMS_MAX},
        ),
    ] = None


class StreamQuery(NamedTuple):
    """`heartbeat_seconds` None: as the settings have it."""

    view: View
    heartbeat_seconds: int | None


def stream_query(query: Mapping[str, str], batch: int) -> StreamQuery:
    """What a stream shows. `batch` is for a query that has none. Raises InvalidParameter."""
    trade_filter = Filter(
        mint=MINT.read(query),
        side=SIDE.read(query),
        min_usd=MIN_USD.read(query),
        since=SINCE.read(query),
    )
    asked = BATCH.read(query)
    view = View(
        follow=FOLLOW.read(query),
        batch=batch if asked is None else asked,
        skip_pricing=SKIP_PRICING.read(query),
        filter=NO_FILTER if trade_filter == NO_FILTER else trade_filter,
        movements=INCLUDE.read(query) is not None,
    )
    return StreamQuery(view, HEARTBEAT.read(query))


def page_query(query: Mapping[str, str]) -> tuple[EventId | None, int]:
    """The position after which a page of trades begins, and its length. Raises
    InvalidParameter, for `limit` where both are wrong."""
    limit = LIMIT.read(query)
    return AFTER.read(query), limit


def last_id(
    query: Mapping[str, str], header: str | None, parse: Callable[[str], T]
) -> T | UnreadableId | None:
    """The id of the last event that a client saw; None if it saw none. Of several the newest
    counts: the header and then the aliases are written at each reconnect, `last_event_id` once, by
    whoever made the URL. Only there an id that `parse` refuses is an error, since a client can't
    take back what its EventSource sends. Raises InvalidParameter."""
    aliased = (query[name] for name in LAST_EVENT_ID.aliases if query.get(name))
    reconnected = header or next(aliased, "")
    text = reconnected or LAST_EVENT_ID.read(query)
    try:
        return parse(text) if text else None
    except InvalidParameter:
        if reconnected:
            return UnreadableId()
        raise
