"""The reference of requests as Markdown: `docs/requests.md`, written by `make docs`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from handlers import openapi
from handlers.docs_page import limits, type_of
from handlers.endpoints import ENDPOINTS, Answer, Endpoint
from handlers.openapi import PREFIX
from wd_server.events.schema import published_name

_HEAD: Final = """\
# Requests

Every request: what it takes, and what the server answers. Unknown parameters are ignored. A value
that isn't allowed is refused with 400 and the parameter's name. All paths below `/v4` but the
webhook's take [a key or a token](access.md). Every refusal is a `Problem`, sent as
`application/problem+json`. A running server has the same at `/docs`, with the fields of each
answer, and as OpenAPI at `/openapi.json`.

Written from `handlers/parameters.py` and `handlers/endpoints.py` by `make docs`.
"""


def page() -> str:
    document = openapi.document(keys_required=True)
    return "\n".join(_lines(document.paths, document.components["schemas"])) + "\n"


def _lines(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    for endpoint in ENDPOINTS:
        operation = paths[endpoint.path][endpoint.method]
        yield f"## {endpoint.method.upper()} {endpoint.path}\n"
        yield f"{endpoint.summary}.\n"
        rows = operation.get("parameters", ())
        if rows:
            yield "| parameter | value | meaning |\n|---|---|---|"
            yield from (
                f"| `{row['name']}` | {limits(row)} | {row['description']} |" for row in rows
            )
            yield ""
        yield from _body(endpoint, operation, schemas)
        yield _answers(endpoint)


def _body(
    endpoint: Endpoint, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    if endpoint.body is None:
        return
    ((_, content),) = operation["requestBody"]["content"].items()
    yield f"The body is JSON: {type_of(content['schema'])}.\n"
    name = content["schema"].get("$ref", "").removeprefix(PREFIX)
    if name:
        yield "| field | type | meaning |\n|---|---|---|"
        for field, schema in schemas[name]["properties"].items():
            yield f"| `{field}` | {type_of(schema)} | {schema.get('description', '')} |"
        yield ""


def _answers(endpoint: Endpoint) -> str:
    told = ", ".join(f"{status}{_with(answer)}" for status, answer in endpoint.answers.items())
    refused = sorted(set(endpoint.statuses) - endpoint.answers.keys())
    return f"Answers: {told}. Refusals: {', '.join(map(str, refused))}.\n"


def _with(answer: Answer) -> str:
    """What comes with it: a Struct by its name, and anything else by its media type."""
    kinds = [
        published_name(kind) if isinstance(kind, type) and issubclass(kind, Struct) else media_type
        for media_type, kind in answer.contents.items()
    ]
    return f" with {' or '.join(f'`{kind}`' for kind in kinds)}" if kinds else ""
