"""The events described in AsyncAPI 3.0, from the definitions that the code uses."""

from functools import cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from handlers import parameters
from handlers.answers import AsyncApi
from handlers.endpoints import JSON
from handlers.openapi import ABOUT
from wd_server import __version__
from wd_server.events import schema as reference
from wd_server.events.kinds import EVENTS, EventKind

PREFIX: Final = "#/components/schemas/"


class IdLine(Struct):
    """The line of an event that carries its id. AsyncAPI has it among the headers."""

    id: Annotated[
        str,
        Meta(description="The `id:` line: send it as `Last-Event-ID` to go on after this event."),
    ]


@cache
def document() -> AsyncApi:
    names = [each.name for each in EVENTS]
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return AsyncApi(
        asyncapi="3.0.0",
        info={
            "title": "wd-server",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        default_content_type=JSON,
        channels={
            "wallet": {
                "address": "/v4/wallet/{address}/stream",
                "description": "One wallet's events.",
                "parameters": {"address": {"description": parameters.ADDRESS.about}},
                "messages": messages,
            },
            "several": {
                "address": "/v4/stream",
                "description": "Events of several wallets on one connection.",
                "messages": messages,
            },
        },
        operations={
            channel: {
                "action": "send",
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
            }
            for channel in ("wallet", "several")
        },
        components={
            "messages": {each.name: _message(each) for each in EVENTS},
            "schemas": reference.components(PREFIX),
        },
    )


def _message(each: EventKind) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": each.name,
        "title": each.name,
        "summary": each.about,
        "contentType": JSON,
        "payload": {"$ref": PREFIX + each.component},
    }
    if each.has_id:
        _, found = msgspec.json.schema_components([IdLine])
        message["headers"] = found[IdLine.__name__]
    return message
