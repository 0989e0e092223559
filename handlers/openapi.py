"""The HTTP interface described in OpenAPI 3.1, from the tables and Structs that the code uses."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from handlers import parameters
from handlers.answers import OpenApi, Problem
from handlers.endpoints import (
    ENDPOINTS,
    JSON,
    PROBLEM,
    REFUSALS,
    Answer,
    Endpoint,
    StreamEvent,
    structs,
)
from handlers.parameters import Parameter
from wd_server import __version__
from wd_server.events import schema as reference
from wd_server.events.kinds import EVENTS, EventKind

PREFIX: Final = "#/components/schemas/"
ABOUT: Final = (
    "A Solana wallet's trades, oldest first, each with its realized profit or loss, as server-sent "
    "events or as JSON."
)

Document = dict[str, Any]


@cache
def document(keys_required: bool) -> OpenApi:
    """`keys_required`: whether /v4 is closed to those without a key."""
    return OpenApi(
        openapi="3.1.0",
        info={
            "title": "wd-server",
            "version": __version__,
            "summary": ABOUT,
            "description": "What comes on a stream is described in /asyncapi.json, too.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        servers=[{"url": "/"}],
        paths=_paths(([] if keys_required else [{}]) + [{name: []} for name in _security()]),
        components={
            "schemas": _schemas(),
            "securitySchemes": _security(),
            "responses": {str(status): _refusal(status) for status in REFUSALS},
        },
    )


def _security() -> Document:
    """Where a key or token may stand, by the name of each way."""
    bearer = parameters.AUTHORIZATION
    others = {
        "header": parameters.X_API_KEY,
        "api_key": parameters.API_KEY,
        "access_token": parameters.ACCESS_TOKEN,
    }
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": bearer.about},
        **{
            name: {
                "type": "apiKey",
                "in": each.place,
                "name": each.name,
                "description": each.about,
            }
            for name, each in others.items()
        },
    }


def _paths(security: list[Document]) -> dict[str, Document]:
    paths: dict[str, Document] = {}
    for each in ENDPOINTS:
        operation = _operation(each) | ({"security": security} if each.guarded else {})
        paths.setdefault(each.path, {})[each.method] = operation
    return paths


def _operation(each: Endpoint) -> Document:
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in each.statuses}
    answered = {status: _response(answer) for status, answer in each.answers.items()}
    responses = sorted({**refused, **answered}.items())
    made: Document = {
        "summary": each.summary,
        "responses": {str(status): response for status, response in responses},
    }
    if each.parameters:
        made["parameters"] = [_parameter(row) for row in each.parameters]
    if each.body is not None:
        made["requestBody"] = {"content": _content({JSON: each.body})}
    return made


def _parameter(row: Parameter[object]) -> Document:
    return {
        "name": row.name,
        "in": row.place,
        "required": row.required,
        "description": row.about,
        "schema": row.schema(),
    }


def _response(answer: Answer) -> Document:
    made: Document = {"description": answer.about}
    if answer.headers:
        made["headers"] = {
            name: {"description": said, "schema": _schema(str)}
            for name, said in answer.headers.items()
        }
    if answer.contents:
        made["content"] = _content(answer.contents)
    return made


def _content(contents: Mapping[str, Any]) -> Document:
    return {media_type: {"schema": _schema(kind)} for media_type, kind in contents.items()}


def _schema(kind: Any) -> Document:
    """Of a Struct the name of its schema, which stands among the components."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return {"$ref": PREFIX + reference.published_name(kind)}
    return msgspec.json.schema(kind)


def _refusal(status: int) -> Document:
    codes = sorted({kind.code for kind in reference.errors() if kind.status == status})
    said = f" Codes: {', '.join(f'`{code}`' for code in codes)}." if codes else ""
    return _response(Answer(REFUSALS[status] + said, {PROBLEM: Problem}))


def _schemas() -> Document:
    found = reference.components(PREFIX, StreamEvent, *structs())
    lines = found.pop(StreamEvent.__name__)
    return {
        StreamEvent.__name__: {"oneOf": [_lines(each, lines) for each in EVENTS]},
        **found,
    }


def _lines(each: EventKind, lines: Mapping[str, Any]) -> Document:
    """The schema of `StreamEvent`, for one event."""
    inner = lines["properties"]
    data = {**inner["data"], "contentSchema": {"$ref": PREFIX + each.component}}
    return {
        **{name: value for name, value in lines.items() if name != "title"},
        "properties": {**inner, "event": {"const": each.name}, "data": data},
        "required": [*lines["required"], "id"] if each.has_id else lines["required"],
    }
