"""The events of a stream as types: JSON in, dataclasses out.

The fields are those of the public contract; `data` has the JSON as it came, with what a newer
server may have added. Amounts are Decimals with all their digits.

Older servers leave fields out, and that ends no stream. What is missing is None where the type
says so, else an empty text, False, or an object without anything. A missing number is None whatever
its type says, because no number stands for "unknown".
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from wd_client.chain import Bookmark
from wd_client.errors import BadAnswer, StreamError

T = TypeVar("T")


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
class Token:
    mint: str
    symbol: str
    decimals: int
    amount: Decimal
    amount_raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade(Event):
    """Final when it comes. One within a batch or a preview has no `id` of its own. `number` counts
    trades and retracts, from 1 without a hole; older servers send none."""

    signature: str
    number: int | None = None
    slot: int
    timestamp: int
    action: str
    token_in: Token
    token_out: Token
    price_usd: Decimal | None
    value_usd: Decimal | None
    value_sol: Decimal | None
    fee_sol: Decimal
    pnl_usd: Decimal | None
    pnl_sol: Decimal | None
    cost_basis: str
    unmatched_amount: Decimal
    position_amount: Decimal
    priced: bool
    dex: str
    confidence: str
    commitment: str
    emitted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades(Event):
    """A batch, where `batch` was asked for."""

    trades: tuple[Trade, ...]
    batch_num: int
    total_yielded: int
    has_more: bool
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Event):
    stream_id: str
    timestamp: int
    resumed: bool
    heartbeat_seconds: int
    follow: bool
    server: str
    wallets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Event):
    """The newest trades, without P&L, while a long history is still being listed."""

    trades: tuple[Trade, ...]
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    message: str
    percentage: int
    step: str
    signatures_found: int
    transactions_done: int
    trades_found: int
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Event):
    """Of what is in USD, None with `skip_pricing`."""

    cost_basis: str
    trades: int
    buys: int
    sells: int
    swaps: int
    priced_trades: int
    unpriced_trades: int
    volume_sol: Decimal
    volume_usd: Decimal | None
    realized_pnl_sol: Decimal
    realized_pnl_usd: Decimal | None
    fees_sol: Decimal
    net_pnl_sol: Decimal
    unmatched_sol: Decimal
    unmatched_usd: Decimal | None
    transferred_cost_sol: Decimal
    tokens_traded: int
    tokens_sold: int
    tokens_won: int
    win_rate: Decimal | None
    open_positions: int
    first_trade_at: int | None
    last_trade_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    signatures_found: int
    transactions: int
    failed_transactions: int
    unpriced_trades: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Event):
    """`duration` is in seconds. `entries` and `digest`: how many trades and retracts came before,
    and the hash chain over them; older servers send none. `verified`: the client has compared both
    with what came, from the beginning of the history."""

    status: str
    trades_found: int
    duration: float
    summary: Summary
    metrics: RunMetrics
    truncated: bool
    timestamp: int
    entries: int | None = None
    digest: str | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retract(Event):
    """The trade of this signature left the chain with a fork. `number` as of a trade."""

    signature: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """Discard what you hold (of `wallet`, where it is named): the whole history follows. With the
    reason `mismatch` it was made here: what came was not what the server proves."""

    reason: str
    from_id: str = field(metadata={"name": "from"})
    to_id: str | None = field(metadata={"name": "to"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """What the server says before it ends the stream. `stream` raises it or waits and comes back,
    and doesn't yield it."""

    error: str
    code: str
    details: ErrorDetails
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye(Event):
    reason: str
    reconnect_after_ms: int


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


EVENTS: Final[Mapping[str, type[Event]]] = {
    kind.__name__.lower(): kind
    for kind in (
        Connected,
        Preview,
        Progress,
        Trade,
        Trades,
        Summary,
        Complete,
        Retract,
        Heartbeat,
        Gap,
        Error,
        Bye,
    )
}


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
    if hint in (str, bool) or get_origin(hint) is tuple:
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
    kind = hint

    def checked(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
        return value

    return checked
