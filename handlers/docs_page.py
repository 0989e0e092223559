"""The interface's description as a page for people, without scripts and without anything from
elsewhere."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from typing import Any, Final

from handlers import openapi
from handlers.answers import OpenApi
from wd_server.events.kinds import EVENTS

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --faint: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 2rem; }
code { font: 0.9em ui-monospace, monospace; background: var(--faint); padding: 0 0.2em; }
h3 code { background: none; padding: 0; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; }
tr + tr td { border-top: 1px solid var(--line); }
nav a { margin-right: 1rem; }
"""
STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()

_CODE = re.compile(r"`([^`]+)`")


@cache
def page(keys_required: bool) -> str:
    document = openapi.document(keys_required)
    body = "\n".join(_body(document))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>wd-server</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def type_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_of(schema['items'])}"
    return " or ".join([kind] if isinstance(kind, str) else kind)


def _body(document: OpenApi) -> Iterator[str]:
    info, schemas = document.info, document.components["schemas"]
    yield f"<header><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
    yield f"<p>{_text(openapi.ABOUT)}</p>"
    yield '<nav aria-label="Sections"><a href="#requests">Requests</a><a href="#events">Events</a>'
    yield '<a href="#data">Data</a><a href="#errors">Errors</a>'
    yield '<a href="/openapi.json">OpenAPI</a><a href="/asyncapi.json">AsyncAPI</a></nav></header>'
    yield '<main><h2 id="requests">Requests</h2>'
    for path, methods in document.paths.items():
        for method, operation in methods.items():
            yield from _request(method, path, operation)
    yield '<h2 id="events">Events</h2>'
    for each in EVENTS:
        told = " It has an id." if each.has_id else ""
        yield f"<h3><code>{each.name}</code></h3><p>{_text(each.about)}{told}</p>"
        yield from _fields(schemas[each.component])
    yield '<h2 id="data">Data</h2>'
    events = {"StreamEvent", *(each.component for each in EVENTS)}
    for name, schema in schemas.items():
        if name not in events:
            yield f"<h3><code>{escape(name)}</code></h3>"
            yield from _fields(schema)
    yield '<h2 id="errors">Errors</h2>'
    answers = document.components["responses"].items()
    yield from _table(
        ("status", "meaning"), ((code, each["description"]) for code, each in answers)
    )
    yield "</main>"


def _request(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3><code>{method.upper()} {escape(path)}</code></h3>"
    yield f"<p>{_text(operation['summary'])}.</p>"
    given = operation.get("parameters", ())
    if given:
        rows = ((f"`{each['name']}`", limits(each), each["description"]) for each in given)
        yield from _table(("parameter", "value", "meaning"), rows)
    answers = ", ".join(operation["responses"])
    yield f"<p>Answers: {answers}.</p>"


def limits(each: Mapping[str, Any]) -> str:
    """Which values a parameter takes, and where it stands, in a few words."""
    schema = each["schema"]
    words = type_of(schema)
    if "minimum" in schema:
        words += f" from {schema['minimum']}"
    if "maximum" in schema:
        words += f" to {schema['maximum']}"
    if "default" in schema:
        words += f", `{str(schema['default']).lower()}` if missing"
    where = {"header": ", a header", "path": ", in the path"}.get(each["in"], "")
    return words + where + (", required" if each["required"] else "")


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    rows = (
        (f"`{name}`", type_of(inner), inner.get("description", ""))
        for name, inner in schema.get("properties", {}).items()
    )
    yield from _table(("field", "type", "meaning"), rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield "<div><table><thead><tr>"
    yield from (f'<th scope="col">{escape(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


def _text(text: str) -> str:
    """Escaped, with what stands in backquotes as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
