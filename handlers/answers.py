"""What requests are answered with: each answer in JSON is one of these, and is described by it.

The report of a wallet is `wd_server.sync.report.WalletReport`, and the health document is
`wd_server.health_document.HealthDocument`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from wd_server.events.event import Movement
from wd_server.trading.trade import Trade

Count = Annotated[int, Meta(ge=0)]

# Streams in one answer, 200 bytes each; `total` tells of the others.
SHOWN_MAX: Final = 1000


class Problem(Struct):
    """An error: RFC 9457, with `error` from the older format."""

    type: Annotated[str, Meta(description="Always `about:blank`.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="The answer's status.")]
    detail: Annotated[str, Meta(description="A sentence for people.")]
    code: Annotated[str, Meta(description="For programs.", examples=["INTERNAL_ERROR"])]
    error: Annotated[str, Meta(description="`detail`, for readers of the older format.")]


class Links(Struct):
    """Paths of this server."""

    stream: str
    wallet: str
    trades: str
    movements: str
    explain: str
    several: str
    streams: str
    token: str
    health: str
    metrics: str
    docs: str
    openapi: str
    asyncapi: str


class ExampleWallet(Struct):
    address: Annotated[str, Meta(description="The wallet's address.")]
    transactions: Annotated[Count, Meta(description="How many it has.")]


class Home(Struct):
    name: Annotated[str, Meta(description="Always `wd-server`.")]
    version: Annotated[str, Meta(description="The server's version.")]
    links: Annotated[Links, Meta(description="Where to go on.")]
    wallets: Annotated[list[ExampleWallet], Meta(description="Some to try.")]


class Liveness(Struct):
    status: Literal["alive"]


class Readiness(Struct):
    status: Literal["ready"]


class TradePage(Struct):
    """`trades` holds `msgspec.Raw`: they are sent as they are stored."""

    wallet: Annotated[str, Meta(description="The address.")]
    trades: Annotated[Sequence[Trade], Meta(description="Oldest first.")]
    retracted: Annotated[
        list[str],
        Meta(
            description="Signatures of transactions that were taken back: remove every trade of "
            "theirs that earlier pages had, then add these `trades`."
        ),
    ]
    next: Annotated[str | None, Meta(description="`after` of the next page; null at the end.")]
    movements: Annotated[
        Sequence[Movement] | UnsetType,
        Meta(description="As in a page of movements; missing without `include=movements`."),
    ] = UNSET


class MovementPage(Struct):
    """`movements` holds `msgspec.Raw`: they are sent as they are stored."""

    wallet: Annotated[str, Meta(description="The address.")]
    movements: Annotated[
        Sequence[Movement],
        Meta(
            description="In the order in which they were stored. One stands in the place of those "
            "before it that have its `signature`, also on earlier pages; with the reason "
            "`retracted` it only takes them back."
        ),
    ]
    next: Annotated[str | None, Meta(description="`after` of the next page; null at the end.")]


class Delivered(Struct):
    stored: Annotated[Count, Meta(description="How many transactions of the delivery are stored.")]


class OwnStream(Struct):
    stream_id: Annotated[str, Meta(description="As its `connected` says.")]
    wallet: Annotated[str | None, Meta(description="Null for a stream of several.")]
    wallets: Annotated[list[str], Meta(description="All of them.")]
    state: Annotated[str, Meta(description="Where in its life it is.")]
    age: Annotated[float, Meta(description="Seconds.")]
    events: Annotated[Count, Meta(description="Events sent.")]
    bytes: Annotated[Count, Meta(description="Bytes sent.")]
    lag: Annotated[Count, Meta(description="Stored events not sent yet.")]


class OwnStreams(Struct):
    streams: Annotated[list[OwnStream], Meta(description=f"At most {SHOWN_MAX} of them.")]
    total: Annotated[Count, Meta(description="How many there are.")]


class Token(Struct):
    """Names of RFC 6749, section 5.1, and what the token says of itself."""

    access_token: Annotated[str, Meta(description="The token.")]
    token_type: Annotated[Literal["Bearer"], Meta(description="How to send it.")]
    expires_in: Annotated[int, Meta(description="Seconds.")]
    expires_at: Annotated[int, Meta(description="Unix seconds.")]
    jti: Annotated[str, Meta(description="Names the token, to revoke it.")]


class OpenApi(Struct):
    """A document in OpenAPI 3.1."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, str]]
    paths: dict[str, dict[str, Any]]
    components: dict[str, dict[str, Any]]


class AsyncApi(Struct, rename="camel"):
    """A document in AsyncAPI 3.0."""

    asyncapi: str
    info: dict[str, Any]
    default_content_type: str
    channels: dict[str, dict[str, Any]]
    operations: dict[str, dict[str, Any]]
    components: dict[str, dict[str, Any]]
