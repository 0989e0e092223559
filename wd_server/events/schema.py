"""What is said of the events to those who read them: each one's purpose, each field's meaning, and
all of it as JSON Schema, made from the Structs that are sent."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args

import msgspec
from msgspec import Struct

from wd_server.errors import WalletDoctorError
from wd_server.events import event
from wd_server.events.meanings import MEANINGS
from wd_server.trading.summary import Summary
from wd_server.trading.trade import Trade

Schema = dict[str, Any]

# Events that are entries of the journal, and those that are about the connection.
WITH_ID: Final = frozenset({"trade", "trades", "complete", "retract"})
OF_CONNECTION: Final = frozenset({"connected", "heartbeat", "bye"})


class Described(NamedTuple):
    name: str
    data: type[Struct]
    about: str

    @property
    def has_id(self) -> bool:
        return self.name in WITH_ID

    @property
    def names_wallet(self) -> bool:
        """Where there are several."""
        return self.name not in OF_CONNECTION

    @property
    def component(self) -> str:
        """The name of its schema."""
        return f"{self.name.capitalize()}Event"


EVENTS: Final = (
    Described(
        "connected",
        event.Connected,
        "The stream is open: who it is and how it was taken up.",
    ),
    Described(
        "preview",
        event.Preview,
        "Up to 25 of the newest trades, without P&L, while a long history is still being listed. "
        "It may come twice, the second time with names and prices.",
    ),
    Described(
        "progress",
        event.Progress,
        "How far the analysis is; at most four a second.",
    ),
    Described(
        "trade",
        Trade,
        "One trade, in the order of the chain and final: its P&L is known.",
    ),
    Described(
        "trades",
        event.Trades,
        "A batch of trades, where `batch` was asked for. Its id is the last one's.",
    ),
    Described(
        "summary",
        Summary,
        "The wallet's totals after new trades, for who follows; at most one a second.",
    ),
    Described(
        "complete",
        event.Complete,
        "The whole history was sent. A stream that doesn't follow ends here.",
    ),
    Described(
        "retract",
        event.Retract,
        "A trade left the chain with a fork, or comes again with other numbers: take it back.",
    ),
    Described(
        "heartbeat",
        event.Heartbeat,
        "Nothing else was sent for `heartbeat_seconds`.",
    ),
    Described(
        "gap",
        event.Gap,
        "What you hold can't be continued: discard it, the whole history follows.",
    ),
    Described(
        "error",
        event.Error,
        "Something went wrong; the stream ends. With `retry_after` it is worth coming back.",
    ),
    Described(
        "bye",
        event.Bye,
        "You are sent away; the stream ends. A `retry:` line says when to come back.",
    ),
)


def components(prefix: str, *others: type[Struct]) -> dict[str, Schema]:
    """Schemas by name: those of all events, of what is in them, and of others. `prefix` is where
    references point, as `#/components/schemas/`."""
    kinds = [each.data for each in EVENTS]
    _, found = msgspec.json.schema_components([*kinds, *others], ref_template=prefix + "{name}")
    schemas: dict[str, Schema] = {name: _explained(name, schema) for name, schema in found.items()}
    schemas["Error"]["properties"]["code"]["enum"] = codes()
    schemas["Bye"]["properties"]["reason"]["enum"] = sorted(get_args(event.ByeReason))
    for name in ("volume_usd", "realized_pnl_usd", "unmatched_usd"):  # null with `skip_pricing`
        schemas["Summary"]["properties"][name]["type"] = ["number", "null"]
    inner = _referred(schemas.values(), prefix) | {other.__name__ for other in others}
    events = {each.component: _of_event(each, schemas[each.data.__name__]) for each in EVENTS}
    return events | {name: schema for name, schema in schemas.items() if name in inner}


def codes() -> list[str]:
    """All that an `error` may say."""
    return sorted({kind.code for kind in errors()})


def errors() -> Iterator[type[WalletDoctorError]]:
    """Every kind of error that a client may see."""
    kinds = [WalletDoctorError]
    while kinds:
        kind = kinds.pop()
        yield kind
        kinds += kind.__subclasses__()


def _of_event(each: Described, schema: Schema) -> Schema:
    properties = dict(schema["properties"])
    if each.names_wallet:
        wallet = {"type": "string", "description": MEANINGS["Event"]["wallet"]}
        properties = {"wallet": wallet, **properties}
    return {**schema, "title": each.name, "description": each.about, "properties": properties}


def _explained(name: str, schema: Schema) -> Schema:
    """With meanings instead of docstrings, which are for those who read the code."""
    meanings = MEANINGS.get(name, {})
    properties = {
        field: {
            **_as_sent(inner),
            **({"description": meanings[field]} if field in meanings else {}),
        }
        for field, inner in schema.get("properties", {}).items()
    }
    kept = {key: value for key, value in schema.items() if key != "description"}
    return {**kept, "properties": properties}


def _as_sent(schema: Schema) -> Schema:
    """Decimals are sent as numbers, and what may be null is one type with null."""
    if schema.get("format") == "decimal":
        return {"type": "number"}
    if "anyOf" in schema:
        inner = [_as_sent(each) for each in schema["anyOf"]]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if all(each.keys() == {"type"} for each in inner):
            return {"type": [each["type"] for each in inner], **rest}
        return {"anyOf": inner, **rest}
    return schema


def _referred(schemas: Any, prefix: str) -> set[str]:
    """Names that these refer to."""
    text = msgspec.json.encode(list(schemas)).decode()
    parts = text.split(f'"$ref":"{prefix}')[1:]
    return {part.partition('"')[0] for part in parts}


def validated(name: str) -> Mapping[str, Any]:
    """A schema of its own for the data of an event that allows nothing which isn't described."""
    each = next(each for each in EVENTS if each.name == name)
    schemas = components("#/$defs/")
    closed = {key: {**schema, "additionalProperties": False} for key, schema in schemas.items()}
    return {**closed[each.component], "$defs": closed}
