"""Every endpoint of the interface: what it takes and what it answers, in one table."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from handlers.answers import (
    AsyncApi,
    Delivered,
    Home,
    Liveness,
    MovementPage,
    OpenApi,
    OwnStreams,
    Problem,
    Readiness,
    Token,
    TradePage,
)
from handlers.parameters import (
    ADDRESS,
    INCLUDE,
    PAGE,
    SIGNATURE,
    STREAM,
    STREAM_ID,
    WALLETS,
    Parameter,
    TokenRequest,
)
from wd_server.events.kinds import EVENTS
from wd_server.health_document import HealthDocument
from wd_server.sync.explanation import ExplainedTransaction
from wd_server.sync.report import WalletReport

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

# Statuses of refusals, and what to do about each.
REFUSALS: Final[Mapping[int, str]] = {
    400: "The request is wrong; `detail` says where.",
    401: "No key or token, or one that isn't valid.",
    403: "Not for this key, token or address.",
    404: "There is no such thing here.",
    405: "Not with this method.",
    410: "This position is no longer stored. Start again without `after`.",
    413: "The body is too large.",
    414: "The target is too long.",
    429: "Too many requests or streams. Come back after `Retry-After` seconds.",
    431: "The headers are too large.",
    500: "Something went wrong on the server.",
    502: "The chain's RPC refused.",
    503: "Full, draining, or something it needs is away. Come back after `Retry-After` seconds.",
}
# What any request may be refused with, and what those that need a key or token may be beyond.
ALWAYS: Final = (400, 405, 413, 414, 431, 500)
GUARDED: Final = (401, 403, 429, 503)


class StreamEvent(Struct, forbid_unknown_fields=True):
    """The lines of an event, the way OpenAPI 3.2 has them. An id stays until the next one, so those
    who read it know one for events without."""

    event: str
    data: Annotated[str, Meta(extra_json_schema={"contentMediaType": JSON})]
    id: str | UnsetType = UNSET
    retry: Annotated[int, Meta(description="Milliseconds.")] | UnsetType = UNSET


class Answer(NamedTuple):
    """What comes with one status.

    about: what it means, in one sentence
    contents: the type of the body, by its media type
    headers: what each header says that belongs to it
    """

    about: str
    contents: Mapping[str, Any]
    headers: Mapping[str, str] = MappingProxyType({})


def _json(data: Any) -> Mapping[int, Answer]:
    return {200: Answer("Done.", {JSON: data})}


class Endpoint(NamedTuple):
    """A method of a path.

    summary: what it is for, in one sentence without its end
    answers: by status, without refusals
    parameters: what it takes in path, query and headers
    body: the type of its body, None if it has none
    refusals: statuses of refusals, besides those that all have and those that a guard has
    guarded: whether it takes a key or a token
    """

    method: Literal["get", "post", "delete"]
    path: str
    summary: str
    answers: Mapping[int, Answer]
    parameters: Sequence[Parameter[object]] = ()
    body: Any = None
    refusals: Sequence[int] = ()
    guarded: bool = False

    @property
    def statuses(self) -> Sequence[int]:
        """Those of all refusals."""
        return (*ALWAYS, *self.refusals, *(GUARDED if self.guarded else ()))


_STREAM: Final = {
    200: Answer(
        f"Server-sent events: {', '.join(f'`{each.name}`' for each in EVENTS)}. The data "
        "of each is a line of JSON.",
        {"text/event-stream": StreamEvent},
        {"X-Stream-ID": "Names the stream."},
    ),
    204: Answer("There is nothing after `Last-Event-ID`: don't ask again.", {}),
}
_REPORT: Final = {
    **_json(WalletReport),
    202: Answer("The wallet is being read.", {JSON: WalletReport}),
}
_HEALTH: Final = {**_json(HealthDocument), 503: Answer("Done.", {JSON: HealthDocument})}

ENDPOINTS: Final[Sequence[Endpoint]] = (
    Endpoint(
        "get",
        "/v4/wallet/{address}/stream",
        "A wallet's events",
        _STREAM,
        (ADDRESS, *STREAM),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/stream",
        "Events of several wallets on one connection",
        _STREAM,
        (WALLETS, *STREAM),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/streams",
        "The key's own open streams on this server",
        _json(OwnStreams),
        guarded=True,
    ),
    Endpoint(
        "delete",
        "/v4/streams/{stream_id}",
        "Close one of them",
        {204: Answer("It is closed, with a `bye`.", {})},
        (STREAM_ID,),
        refusals=(404,),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/wallet/{address}",
        "Summary and open positions",
        _REPORT,
        (ADDRESS,),
        refusals=(404,),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/wallet/{address}/trades",
        "Trades as pages, oldest first",
        _json(TradePage),
        (ADDRESS, *PAGE, INCLUDE),
        refusals=(404, 410),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/wallet/{address}/movements",
        "What transactions without a trade moved, as pages in the order of storage",
        _json(MovementPage),
        (ADDRESS, *PAGE),
        refusals=(404, 410),
        guarded=True,
    ),
    Endpoint(
        "get",
        "/v4/wallet/{address}/explain/{signature}",
        "How a transaction became figures: its postings, the lots each sale consumed, the prices",
        _json(ExplainedTransaction),
        (ADDRESS, SIGNATURE),
        refusals=(404,),
        guarded=True,
    ),
    Endpoint(
        "post",
        "/v4/auth/token",
        "A short-lived token for a key",
        _json(Token),
        body=TokenRequest,
        guarded=True,
    ),
    Endpoint(
        "get",
        "/",
        "The page for browsers; name, version and links for others",
        {200: Answer("Done.", {JSON: Home, "text/html": str})},
    ),
    Endpoint("get", "/health", "How the server is", _HEALTH),
    Endpoint("get", "/health/live", "Whether the process is alive", _json(Liveness)),
    Endpoint(
        "get",
        "/health/ready",
        "Whether a new stream would be accepted now",
        _json(Readiness),
        refusals=(503,),
    ),
    Endpoint(
        "get",
        "/metrics",
        "Metrics",
        {200: Answer("Prometheus text.", {"text/plain": str})},
        refusals=(403,),
    ),
    Endpoint(
        "post",
        "/v4/webhooks/helius",
        "What Helius delivers, with its secret in `Authorization`",
        _json(Delivered),
        body=list[dict[str, Any]],
        refusals=(403, 503),
    ),
    Endpoint(
        "get",
        "/docs",
        "This interface, for people",
        {200: Answer("For people.", {"text/html": str})},
    ),
    Endpoint("get", "/openapi.json", "This document", _json(OpenApi)),
    Endpoint("get", "/asyncapi.json", "The events", _json(AsyncApi)),
)


def structs() -> list[type[Struct]]:
    """Those that answers and bodies in JSON are made of, each once."""
    found = [Problem, *(each.body for each in ENDPOINTS)]
    found += [answer.contents.get(JSON) for each in ENDPOINTS for answer in each.answers.values()]
    return [
        each for each in dict.fromkeys(found) if isinstance(each, type) and issubclass(each, Struct)
    ]
