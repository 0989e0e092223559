"""The HTTP interface described in OpenAPI 3.1, from the definitions that the code uses."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from handlers import parameters
from handlers.parameters import Parameter
from handlers.token import TokenRequest
from wd_server import __version__
from wd_server.errors import WalletDoctorError
from wd_server.events import schema as reference
from wd_server.sync.report import WalletReport

PREFIX: Final = "#/components/schemas/"
ABOUT: Final = (
    "A Solana wallet's trades, oldest first, each with its realized profit or loss, as server-sent "
    "events or as JSON."
)
# What any request may be refused with, and what those under /v4 may be beyond.
_ALWAYS: Final = (400, 405, 413, 414, 431, 500)
_REFUSALS: Final = (401, 403, 429, 503)
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}

Document = dict[str, Any]


@cache
def document(keys_required: bool) -> Document:
    """`keys_required`: whether /v4 is closed to those without a key."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wd-server",
            "version": __version__,
            "summary": ABOUT,
            "description": "What comes on a stream is described in /asyncapi.json, too.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(([] if keys_required else [{}]) + _SECURITY),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": _SECURITY_SCHEMES,
            "responses": {str(status): _refusal(status) for status in _STATUSES},
        },
    }


_SECURITY: Final[list[Mapping[str, list[str]]]] = [
    {"bearer": []},
    {"header": []},
    {"api_key": []},
    {"access_token": []},
]
_SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a token."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "api_key": {
        "type": "apiKey",
        "in": "query",
        "name": "api_key",
        "description": "For clients that can't set headers. Prefer a token, which soon ends.",
    },
    "access_token": {
        "type": "apiKey",
        "in": "query",
        "name": "access_token",
        "description": "A token, for clients that can't set headers.",
    },
}

# Statuses of refusals, and what to do about each.
_STATUSES: Final = {
    400: "The request is wrong; `detail` says where.",
    401: "No key or token, or one that isn't valid.",
    403: "Not for this key, token or address.",
    404: "There is no such thing here.",
    405: "Not with this method.",
    410: "This position is no longer stored. Start again without `after`.",
    413: "The body is too large.",
    414: "The target is too long.",
    429: "Too many requests or streams. Come back after `Retry-After` seconds.",
    431: "The headers are too large.",
    500: "Something went wrong on the server.",
    502: "The chain's RPC refused.",
    503: "Full, draining, or something it needs is away. Come back after `Retry-After` seconds.",
}


def _paths(security: list[Mapping[str, list[str]]]) -> Document:
    guarded = {
        path: {method: _guarded(operation, security) for method, operation in methods.items()}
        for path, methods in (_stream_paths() | _json_paths()).items()
    }
    return guarded | _open_paths()


def _stream_paths() -> Document:
    asked = (*parameters.STREAM, parameters.POSITION)
    one, several = (parameters.ADDRESS, *asked), (parameters.WALLETS, *asked)
    return {
        "/v4/wallet/{address}/stream": {"get": _operation("A wallet's events", _stream(), one)},
        "/v4/stream": {
            "get": _operation("Events of several wallets on one connection", _stream(), several),
        },
        "/v4/streams": {
            "get": _operation(
                "The key's own open streams on this server", _json(_ref("OwnStreams"))
            ),
        },
        "/v4/streams/{stream_id}": {
            "delete": _operation(
                "Close one of them",
                {"204": {"description": "It is closed, with a `bye`."}},
                (parameters.STREAM_ID,),
                refusals=(404,),
            ),
        },
    }


def _json_paths() -> Document:
    address = parameters.ADDRESS
    report = _json(_ref("WalletReport"))
    return {
        "/v4/wallet/{address}": {
            "get": _operation(
                "Summary and open positions",
                {**report, "202": {**report["200"], "description": "The analysis is under way."}},
                (address,),
                refusals=(404,),
            ),
        },
        "/v4/wallet/{address}/trades": {
            "get": _operation(
                "Trades as pages, oldest first",
                _json(_ref("TradePage")),
                (address, *parameters.PAGE),
                refusals=(404, 410),
            ),
        },
        "/v4/auth/token": {
            "post": _operation(
                "A short-lived token for a key", _json(_ref("Token")), body=_ref("TokenRequest")
            ),
        },
    }


def _open_paths() -> Document:
    health = _json(_ref("Health"))
    home = _json(_ref("Home"))
    home["200"]["content"]["text/html"] = {"schema": _TEXT}
    alive = {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]}
    html = {"200": {"description": "For people.", "content": {"text/html": {"schema": _TEXT}}}}
    metrics = {"description": "Prometheus text.", "content": {"text/plain": {"schema": _TEXT}}}
    return {
        "/": {"get": _operation("The page for browsers; name, version and links for others", home)},
        "/health": {
            "get": _operation("How the server is", {**health, "503": health["200"]}),
        },
        "/health/live": {"get": _operation("Whether the process is alive", _json(alive))},
        "/health/ready": {
            "get": _operation(
                "Whether a new stream would be accepted now", _json(alive), refusals=(503,)
            ),
        },
        "/metrics": {
            "get": _operation("Metrics", {"200": metrics}, refusals=(403,)),
        },
        "/v4/webhooks/helius": {
            "post": _operation(
                "What Helius delivers, with its secret in `Authorization`",
                _json(_ref("Delivered")),
                refusals=(403, 503),
                body={"type": "array", "items": {"type": "object"}},
            ),
        },
        "/docs": {"get": _operation("This interface, for people", html)},
        "/openapi.json": {"get": _operation("This document", _json({"type": "object"}))},
        "/asyncapi.json": {"get": _operation("The events", _json({"type": "object"}))},
    }


def _guarded(operation: Document, security: list[Mapping[str, list[str]]]) -> Document:
    """Only for who may."""
    responses = {**operation["responses"], **_refused(_REFUSALS)}
    return {**operation, "responses": dict(sorted(responses.items())), "security": security}


def _operation(
    summary: str,
    answers: Mapping[str, Any],
    given: Iterable[Parameter] = (),
    *,
    refusals: Iterable[int] = (),
    body: Mapping[str, Any] | None = None,
) -> Document:
    responses = {**_refused((*_ALWAYS, *refusals)), **answers}
    made: Document = {"summary": summary, "responses": dict(sorted(responses.items()))}
    listed = [_parameter(each) for each in given]
    if listed:
        made["parameters"] = listed
    if body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return made


def _refused(statuses: Iterable[int]) -> Document:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _parameter(each: Parameter) -> Document:
    return {
        "name": each.name,
        "in": each.place,
        "required": each.required,
        "description": each.about,
        "schema": each.schema,
    }


def _stream() -> Document:
    names = ", ".join(f"`{each.name}`" for each in reference.EVENTS)
    return {
        "200": {
            "description": f"Server-sent events: {names}. The data of each is a line of JSON.",
            "headers": {"X-Stream-ID": {"description": "Names the stream.", "schema": _TEXT}},
            "content": {"text/event-stream": {"schema": _ref("StreamEvent")}},
        },
        "204": {"description": "There is nothing after `Last-Event-ID`: don't ask again."},
    }


def _json(schema: Mapping[str, Any]) -> Document:
    return {"200": {"description": "Done.", "content": {"application/json": {"schema": schema}}}}


def _refusal(status: int) -> Document:
    codes = sorted({kind.code for kind in reference.errors() if kind.status == status})
    said = f" Codes: {', '.join(f'`{code}`' for code in codes)}." if codes else ""
    return {
        "description": _STATUSES[status] + said,
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }


def _ref(name: str) -> Document:
    return {"$ref": PREFIX + name}


def _schemas() -> Document:
    return {
        "StreamEvent": {"oneOf": [_event(each) for each in reference.EVENTS]},
        **reference.components(PREFIX, WalletReport, TokenRequest),
        **_OWN_SCHEMAS,
    }


def _event(each: reference.Described) -> Document:
    """Its lines as an object, the way OpenAPI 3.2 has them. An id stays until the next one, so
    those who read it know one for events without."""
    lines: Document = {
        "event": {"const": each.name},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": _ref(each.component),
        },
        "id": _TEXT,
        "retry": {"type": "integer", "description": "Milliseconds."},
    }
    return {
        "type": "object",
        "properties": lines,
        "required": ["event", "data", "id"] if each.has_id else ["event", "data"],
        "additionalProperties": False,
    }


def _object(**properties: Any) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}


_OWN_SCHEMAS: Final = {
    "Problem": _object(
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail={"type": "string", "description": "A sentence for people."},
        code={"type": "string", "examples": [WalletDoctorError.code]},
        error={"type": "string", "description": "`detail`, for readers of the older format."},
    ),
    "Home": _object(
        name=_TEXT,
        version=_TEXT,
        links={"type": "object"},
        wallets={"type": "array", "items": {"type": "object"}, "description": "Some to try."},
    ),
    "TradePage": _object(
        wallet=_TEXT,
        trades={"type": "array", "items": _ref("Trade")},
        retracted={
            "type": "array",
            "items": _TEXT,
            "description": "Signatures of trades that count no more: take those of earlier pages "
            "back, then add these `trades`.",
        },
        next={"type": ["string", "null"], "description": "`after` of the next page."},
    ),
    "Delivered": _object(stored=_COUNT),
    "OwnStreams": _object(
        streams={"type": "array", "items": _ref("OwnStream")},
        total=_COUNT,
    ),
    "OwnStream": _object(
        stream_id=_TEXT,
        wallet={"type": ["string", "null"]},
        wallets={"type": "array", "items": _TEXT},
        state=_TEXT,
        age={"type": "number", "description": "Seconds."},
        events=_COUNT,
        bytes=_COUNT,
        lag={"type": "integer", "description": "Stored events not sent yet."},
    ),
    "Token": _object(
        access_token=_TEXT,
        token_type=_TEXT,
        expires_in={"type": "integer", "description": "Seconds."},
        expires_at={"type": "integer", "description": "Unix seconds."},
        jti={"type": "string", "description": "Names the token, to revoke it."},
    ),
    "Health": _object(
        status={"enum": ["healthy", "degraded", "unhealthy", "draining"]},
        version=_TEXT,
        timestamp={"type": "integer"},
        uptime={"type": "number"},
        streaming=_object(
            active_streams=_COUNT, total_streams=_COUNT, error_rate={"type": "number"}
        ),
        dependencies=_object(
            helius={"enum": ["configured", "simulated", "missing", "unavailable"]},
            redis={"enum": ["configured", "embedded", "unavailable"]},
        ),
        **dict.fromkeys(("stores", "tasks"), _object(failing={"type": "array", "items": _TEXT})),
    ),
}
