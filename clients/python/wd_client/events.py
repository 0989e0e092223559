"""The events of a stream as types: JSON in, dataclasses out.

The fields are those of the public contract; `data` has the JSON as it came, with what a newer
server may have added. Amounts are Decimals with all their digits.

Older servers leave fields out, and that ends no stream. What is missing is None where the type
says so, else an empty text, False, or an object without anything. A missing number is None whatever
its type says, because no number stands for "unknown".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from wd_client.base import Away, Event, Other
from wd_client.errors import BadAnswer
from wd_client.kinds import (
    EVENTS,
    Bye,
    Complete,
    Connected,
    Error,
    ErrorDetails,
    Gap,
    Heartbeat,
    Movement,
    PostedAmount,
    Preview,
    Progress,
    Retract,
    Summary,
    SyncMetrics,
    Token,
    Trade,
    Trades,
)

__all__ = [
    "EVENTS",
    "Away",
    "Bye",
    "Complete",
    "Connected",
    "Error",
    "ErrorDetails",
    "Event",
    "Gap",
    "Heartbeat",
    "Movement",
    "Other",
    "PostedAmount",
    "Preview",
    "Progress",
    "Retract",
    "RunMetrics",
    "Summary",
    "SyncMetrics",
    "Token",
    "Trade",
    "Trades",
    "made",
    "parsed",
]

T = TypeVar("T")

# Its name until 0.2, for one release more.
RunMetrics = SyncMetrics

# Fields that this client fills, and no server.
_OURS = frozenset({"data", "id", "bookmark", "verified"})


def parsed(name: str, text: bytes) -> Mapping[str, Any]:
    """Data of an event. Raises BadAnswer."""
    try:
        data = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _unreadable(name, error) from error
    if not isinstance(data, dict):
        raise _unreadable(name, "it is no object")
    return data


def made(name: str, data: Mapping[str, Any], **ours: Any) -> Event:
    """The event of this name; `ours` are fields that no server fills. Raises BadAnswer for data
    that isn't what the contract says."""
    kind = EVENTS.get(name)
    if kind is None:
        return Other(name=name, wallet=data.get("wallet"), data=data, **ours)
    try:
        return _made(kind, data, data=data, **ours)
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, reason: object) -> BadAnswer:
    return BadAnswer(f"An event {name!r} can't be read ({reason}).")


class _Part(NamedTuple):
    """How one field of a dataclass is made, and what stands for it when it is missing."""

    name: str
    wire: str
    make: Callable[[Any], Any]
    missing: Any


def _made(kind: type[T], values: Mapping[str, Any], **ours: Any) -> T:
    for name, wire, make, missing in _parts(kind):  # type: ignore[arg-type]  # mypy: types aren't hashable
        value = values.get(wire)
        ours[name] = missing if value is None else make(value)
    return kind(**ours)


@cache
def _parts(kind: Any) -> tuple[_Part, ...]:
    hints = get_type_hints(kind)
    parts = []
    for each in fields(kind):
        if each.name in _OURS:
            continue
        hint = hints[each.name]
        missing = _missing(hint)
        if isinstance(hint, UnionType):
            hint = next(part for part in get_args(hint) if part is not type(None))
        wire = each.metadata.get("name", each.name)
        parts.append(_Part(each.name, wire, _maker(hint), missing))
    return tuple(parts)


def _missing(hint: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _made(hint, {})
    if hint in (str, bool) or get_origin(hint) in (tuple, dict):
        return (get_origin(hint) or hint)()
    return None


def _maker(hint: Any) -> Callable[[Any], Any]:
    if hint in (Decimal, float):
        return hint  # type: ignore[no-any-return]
    if is_dataclass(hint) and isinstance(hint, type):
        return lambda value: _made(hint, value)
    if get_origin(hint) is tuple:
        make = _maker(get_args(hint)[0])
        return lambda value: tuple(map(make, value))
    if get_origin(hint) is dict:
        make = _maker(get_args(hint)[1])
        return lambda value: {key: make(each) for key, each in value.items()}
    kind = hint

    def checked(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
        return value

    return checked
