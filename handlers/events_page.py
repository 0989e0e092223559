"""The reference of events as Markdown: `docs/events.md`, written by `make docs`."""

from collections.abc import Iterator, Mapping
from typing import Any

from handlers.docs_page import type_of
from wd_server.events import schema as reference
from wd_server.events.kinds import EVENTS

_HEAD = """\
# Events

Every event of a [stream](streams.md), field by field. New fields and new events may come: ignore
what you don't know. A running server has the same as JSON Schema at `/asyncapi.json`.

An event with an id is [stored](resuming.md) before it is sent, and moves your position. One that is
counted has a `number`, and the digest of a `complete` proves that you have it.

Written from `wd_server/events` by `make docs`.
"""


def page() -> str:
    schemas = reference.components("")
    return "\n".join(_lines(schemas)) + "\n"


def _lines(schemas: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    yield "| event | id | counted | shown | meaning |\n|---|---|---|---|---|"
    for each in EVENTS:
        marks = ("yes" if mark else "" for mark in (each.has_id, each.counted))
        cells = (f"[`{each.name}`](#{each.name})", *marks, each.shown.value, each.about)
        yield f"| {' | '.join(cells)} |"
    yield ""
    for each in EVENTS:
        yield f"## {each.name}\n"
        yield each.about + (" It has an id.\n" if each.has_id else "\n")
        yield from _fields(schemas[each.component])
    yield "## What is in them\n"
    events = {each.component for each in EVENTS}
    for name, schema in schemas.items():
        if name not in events:
            yield f"### {name}\n"
            yield from _fields(schema)
    yield "## Codes of errors\n"
    yield ", ".join(f"`{code}`" for code in reference.codes()) + ". [Streams](streams.md#errors)"
    yield "says what to do about each."


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| field | type | meaning |\n|---|---|---|"
    for name, inner in schema["properties"].items():
        yield f"| `{name}` | {type_of(inner)} | {inner.get('description', '')} |"
    yield ""
