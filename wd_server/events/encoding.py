"""Events as JSON and as bytes of a stream: the one encoder of what goes out."""

from typing import Any

import msgspec
from msgspec import Struct

from wd_server.errors import WalletDoctorError
from wd_server.events import sse
from wd_server.events.event import Error, ErrorDetails, Gap, GapReason
from wd_server.events.kinds import BY_DATA

# Seconds after which an EventSource may ask again when the error itself knows no better. Without
# it a browser comes back every three seconds, however hopeless the request.
DEFAULT_RETRY_SECONDS = 30

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(data: Any) -> bytes:
    """JSON on one line; Decimals as numbers with all their digits."""
    return _encoder.encode(data)


def frame(data: Struct) -> bytes:
    """An event with this data and without an id: it never moves a client's position."""
    return sse.frame(BY_DATA[type(data)].name, encode(data))


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
