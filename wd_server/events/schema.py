"""What is said of the events to those who read them, as JSON Schema: made from the Structs that are
sent, the table of kinds, and the meaning of each field."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from wd_server.errors import WalletDoctorError
from wd_server.events import event
from wd_server.events.kinds import BY_NAME, EVENTS, EventKind
from wd_server.events.meanings import MEANINGS

Schema = dict[str, Any]

# Names that schemas had been published under before their Structs got other ones.
PUBLISHED: Final = {event.SyncMetrics.__name__: "RunMetrics", "HealthDocument": "Health"}


def components(prefix: str, *others: type[Struct]) -> dict[str, Schema]:
    """Schemas by name: those of all events, of what is in them, and of others. `prefix` is where
    references point, as `#/components/schemas/`."""
    data = [kind.data for kind in EVENTS]
    _, found = msgspec.json.schema_components([*data, *others], ref_template=prefix + "{name}")
    schemas: dict[str, Schema] = {name: _explained(name, schema) for name, schema in found.items()}
    schemas["Error"]["properties"]["code"]["enum"] = codes()
    schemas["Bye"]["properties"]["reason"]["enum"] = sorted(get_args(event.ByeReason))
    inner = _referred(schemas.values(), prefix) | {other.__name__ for other in others}
    events = {kind.component: _of_event(kind, schemas[kind.data.__name__]) for kind in EVENTS}
    return _published(
        events | {name: schema for name, schema in schemas.items() if name in inner}, prefix
    )


def published_name(kind: type[Struct]) -> str:
    """The name of its schema among the components."""
    return PUBLISHED.get(kind.__name__, kind.__name__)


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


def _of_event(kind: EventKind, schema: Schema) -> Schema:
    properties = dict(schema["properties"])
    if kind.scope == "wallet":
        wallet = {"type": "string", "description": MEANINGS["Event"]["wallet"]}
        properties = {"wallet": wallet, **properties}
    return {**schema, "title": kind.name, "description": kind.about, "properties": properties}


def _explained(name: str, schema: Schema) -> Schema:
    """With meanings instead of docstrings, which are for those who read the code."""
    meanings = MEANINGS.get(name, {})
    properties = {
        field: {
            **_as_sent(field, inner),
            **({"description": meanings[field]} if field in meanings else {}),
        }
        for field, inner in schema.get("properties", {}).items()
    }
    kept = {key: value for key, value in schema.items() if key != "description"}
    return {**kept, "properties": properties}


def _as_sent(field: str, schema: Schema) -> Schema:
    """Decimals are sent as numbers, what may be null is one type with null, and values in US
    dollars are null with `skip_pricing`."""
    if schema.get("format") == "decimal":
        return {"type": ["number", "null"] if field.endswith(event.USD_SUFFIX) else "number"}
    if "anyOf" in schema:
        inner = [_as_sent("", each) for each in schema["anyOf"]]
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


def _published(schemas: dict[str, Schema], prefix: str) -> dict[str, Schema]:
    """Under the names that readers know."""
    text = msgspec.json.encode(schemas).decode()
    for name, published in PUBLISHED.items():
        for key, before in (("$ref", prefix), ("title", "")):
            text = text.replace(f'"{key}":"{before}{name}"', f'"{key}":"{before}{published}"')
    found: dict[str, Schema] = msgspec.json.decode(text)
    return {PUBLISHED.get(name, name): schema for name, schema in found.items()}


def validated(name: str) -> Mapping[str, Any]:
    """A schema of its own for the data of an event that allows nothing which isn't described."""
    schemas = components("#/$defs/")
    closed = {key: {**schema, "additionalProperties": False} for key, schema in schemas.items()}
    return {**closed[BY_NAME[name].component], "$defs": closed}
