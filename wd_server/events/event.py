"""The vocabulary of events: their names, their data, and the one encoder of both.

Shapes and meanings are those of section 2 of the public contract.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from wd_server.errors import WalletDoctorError
from wd_server.events import sse
from wd_server.trading.summary import Summary
from wd_server.trading.trade import Trade

TRADE = "trade"
COMPLETE = "complete"
RETRACT = "retract"

Step = Literal[
    "initializing",
    "fetching_signatures",
    "fetching_transactions",
    "processing_trades",
    "calculating_pnl",
    "complete",
]
GapReason = Literal["unknown_id", "expired", "reset"]
ByeReason = Literal["shutdown", "lifetime", "token_expired", "revoked", "slow", "closed_by_owner"]

# Seconds after which an EventSource may ask again when the error itself knows no better. Without
# it a browser comes back every three seconds, however hopeless the request.
DEFAULT_RETRY_SECONDS = 30

_encoder = msgspec.json.Encoder(decimal_format="number")


class Event(Struct):
    """Data of one event; the name on the wire is the class's in snake case."""


class Connected(Event):
    """`wallet` None: there are several, `wallets`."""

    stream_id: str
    wallet: str | None
    timestamp: int
    resumed: bool
    heartbeat_seconds: int
    follow: bool
    server: str
    wallets: Sequence[str] | UnsetType = UNSET


class Preview(Event):
    trades: Sequence[Trade]
    timestamp: int


class Trades(Event):
    """A batch. `View` writes it around stored trades, which are encoded already."""

    trades: Sequence[Trade]
    batch_num: int
    total_yielded: int
    has_more: bool
    timestamp: int


class Progress(Event):
    message: str
    percentage: int
    step: Step
    signatures_found: int
    transactions_done: int
    trades_found: int
    timestamp: int


class RunMetrics(Struct):
    """What the analysis cost: counts, and seconds for the whole of it."""

    signatures_found: int
    transactions: int
    failed_transactions: int
    unpriced_trades: int


class Complete(Event):
    """`duration` is in seconds, of the run that wrote it. `entries` and `digest` are the count and
    the hash chain of the `trade` and `retract` entries before it (analysis/proof.py)."""

    status: Literal["complete"]
    trades_found: int
    duration: float
    summary: Summary
    metrics: RunMetrics
    truncated: bool
    timestamp: int
    entries: int
    digest: str


class Retract(Event):
    """A trade that left the chain, or that comes again with other numbers."""

    signature: str
    number: int


class Heartbeat(Event):
    timestamp: int


class Gap(Event, rename={"from_id": "from", "to_id": "to"}):
    reason: GapReason
    from_id: str
    to_id: str | None


class ErrorDetails(Struct, omit_defaults=True):
    retry_after: float | None = None


class Error(Event):
    error: str
    code: str
    details: ErrorDetails
    timestamp: int


class Bye(Event):
    """`reason` is a `ByeReason`."""

    reason: str
    reconnect_after_ms: int


def encode(data: Any) -> bytes:
    """JSON on one line; Decimals as numbers with all their digits."""
    return _encoder.encode(data)


def frame(event: Event) -> bytes:
    """An event without an id: it never moves a client's position."""
    return sse.frame(type(event).__name__.lower(), encode(event))


def named(frame: bytes, wallet: str) -> bytes:
    """The same event, with the wallet it is about in front of its data."""
    return sse.with_member(frame, b'"wallet":"%b"' % wallet.encode())


def error_frame(error: WalletDoctorError, now: int) -> bytes:
    """The `error` a stream ends with, and how long an EventSource is to wait before it tries
    again. `now` is unix seconds."""
    wait = DEFAULT_RETRY_SECONDS if error.retry_after is None else error.retry_after
    details = ErrorDetails(error.retry_after)
    return sse.retry(int(wait * 1000)) + frame(Error(error.message, error.code, details, now))


def gap_frame(reason: GapReason, from_id: str, to_id: str | None) -> bytes:
    return frame(Gap(reason, from_id, to_id))


def summary_frame(summary: Summary) -> bytes:
    return sse.frame("summary", encode(summary))
