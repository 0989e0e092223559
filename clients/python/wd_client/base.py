"""What every event has, and the events that no server sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wd_client.chain import Bookmark
from wd_client.errors import StreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`id`: the position after this event, for `last_event_id`; most events have none. `bookmark`:
    the same position with the state of the digest, where the event has an id. `wallet`: which of
    several it is about."""

    id: str | None = None
    bookmark: Bookmark | None = None
    wallet: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Event):
    """An event that this client doesn't know yet."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Away(Event):
    """Made here, not by the server: the stream ended because of `cause` and is asked for again
    after `seconds`."""

    seconds: float
    cause: StreamError
