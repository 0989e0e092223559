"""What Helius says of webhooks is shown in a terminal, and an id of its becomes part of a URL."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from wd_server.errors import UpstreamUnavailable
from wd_server.secret import Secret
from wd_tools.webhook.registrations import Registrations

GOOD = {"webhookID": "a-1", "webhookURL": "https://x.example/y", "webhookType": "raw"}


class Api(HTTPServer):
    body = b""


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def registrations(api: Api) -> Registrations:
    return Registrations(Secret(f"http://127.0.0.1:{api.server_port}/?api-key=k"))


def test_webhooks_are_listed(api: Api) -> None:
    api.body = json.dumps([GOOD]).encode()
    (found,) = registrations(api).all()
    assert (found.id, found.url, found.kind) == ("a-1", "https://x.example/y", "raw")


@pytest.mark.parametrize(
    "odd",
    [
        *({"webhookID": each} for each in ("../../v1", "a?b=c", "a/b", "\x1b[2J", "a\n", "x" * 65)),
        *({"webhookURL": each} for each in ("", "https://x/\x1b]0;x\x07", "\u202e", "x" * 2049)),
        *({"webhookType": each} for each in ("raw\x1b[2J", "raw\n", "")),
    ],
)
def test_one_that_would_steer_the_terminal_or_another_url_is_no_answer(
    api: Api, odd: dict[str, str]
) -> None:
    api.body = json.dumps([GOOD | odd]).encode()
    with pytest.raises(UpstreamUnavailable):
        registrations(api).all()


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'[{"webhookID":"\xff"}]'])
def test_what_cannot_be_read_is_no_answer(api: Api, body: bytes) -> None:
    api.body = body
    with pytest.raises(UpstreamUnavailable):
        registrations(api).all()
