"""A stream's life as a table: which states there are and what leads from one to another."""

from enum import Enum


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


BYE_REASONS = frozenset(
    {
        CloseReason.SHUTDOWN,
        CloseReason.LIFETIME,
        CloseReason.TOKEN_EXPIRED,
        CloseReason.REVOKED,
        CloseReason.SLOW,
        CloseReason.CLOSED_BY_OWNER,
    }
)

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
