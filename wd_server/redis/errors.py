"""What goes wrong with Redis, in our words: the border at which redis-py's errors become ours."""

from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
    OutOfMemoryError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from wd_server.errors import StoreAway, StoreFull, StoreUnavailable

# Seconds after which one that met a store that is away may try again.
AWAY_RETRY_SECONDS = 5

_LOST: Final = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError, StoreAway)
_FORBIDDEN: Final = (AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError)


def is_lost(error: Exception | None) -> bool:
    """Whether it says that a server can't be reached, which passes; else it refuses."""
    return isinstance(error, _LOST) and not isinstance(error, AuthenticationError)


def ours(error: Exception) -> StoreUnavailable:
    """What to raise from this one."""
    if is_lost(error):
        return away()
    if isinstance(error, _FORBIDDEN):
        return StoreUnavailable(
            "The server's Redis refuses its user or password. Its operator has to look at it."
        )
    if isinstance(error, OutOfMemoryError):
        return StoreFull(
            "The server's Redis has no memory left to store this. Its operator has to look at it.",
            retry_after=AWAY_RETRY_SECONDS,
        )
    return StoreUnavailable(
        "The server's Redis doesn't answer as it should. Its operator has to look at it."
    )


def away() -> StoreAway:
    return StoreAway(
        "The server's Redis can't be reached now. Try again.", retry_after=AWAY_RETRY_SECONDS
    )
