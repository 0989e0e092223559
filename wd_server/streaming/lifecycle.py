"""A stream's life as a table: which states there are and what leads from one to another."""

from collections.abc import Mapping
from enum import Enum
from typing import get_args

from wd_server.events import event


class StreamState(Enum):
    OPENING = "opening"
    REPLAYING = "replaying"
    LIVE = "live"
    CLOSING = "closing"
    CLOSED = "closed"


class CloseReason(Enum):
    """Why a stream ended: at once the log field, the metric label and the `reason` of a `bye`."""

    COMPLETE = "complete"
    CLIENT_GONE = "client_gone"
    ERROR = "error"
    SHUTDOWN = "shutdown"
    LIFETIME = "lifetime"
    TOKEN_EXPIRED = "token_expired"
    REVOKED = "revoked"
    SLOW = "slow"
    CLOSED_BY_OWNER = "closed_by_owner"


BYE_REASONS = frozenset(CloseReason(reason) for reason in get_args(event.ByeReason))

# When a client that is sent away may be back, in milliseconds: soon, with a new token where that
# is what it needs; late where coming back is of no use.
_SOON, _LATE = (1000, 3000), (1_800_000, 3_600_000)
RECONNECT_MS: Mapping[CloseReason, tuple[int, int]] = {
    CloseReason.LIFETIME: _SOON,
    CloseReason.SLOW: _SOON,
    CloseReason.TOKEN_EXPIRED: _SOON,
    CloseReason.REVOKED: _LATE,
    CloseReason.CLOSED_BY_OWNER: _LATE,
}

TRANSITIONS: dict[StreamState, frozenset[StreamState]] = {
    # Head and `connected` written; or the client left while its socket was handed over.
    StreamState.OPENING: frozenset(
        {StreamState.REPLAYING, StreamState.CLOSING, StreamState.CLOSED}
    ),
    # Position reached the channel's head.
    StreamState.REPLAYING: frozenset({StreamState.LIVE, StreamState.CLOSING, StreamState.CLOSED}),
    # Transport paused, or events came faster than it drains.
    StreamState.LIVE: frozenset({StreamState.REPLAYING, StreamState.CLOSING, StreamState.CLOSED}),
    # Last bytes flushed, or the deadline passed.
    StreamState.CLOSING: frozenset({StreamState.CLOSED}),
    StreamState.CLOSED: frozenset(),
}
