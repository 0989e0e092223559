"""What of a connection's first bytes is read without Tornado."""

import asyncio
import socket
from collections.abc import Coroutine

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from wd_server.listener import HEAD_BYTES, Listener, is_plain

# Seconds to wait for what should come at once: only a broken program takes them.
PATIENCE = 30
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
HEAD = f"GET /v4/wallet/{WALLET}/stream?follow=true HTTP/1.1\r\nHost: x\r\n".encode()


def test_a_request_for_a_stream_is_plain() -> None:
    assert is_plain(HEAD + b"\r\n")
    assert is_plain(HEAD + b"Last-Event-ID: 17-3\r\nAuthorization: Bearer wd_1\r\n\r\n")
    assert is_plain(b"GET /v4/stream?wallet=a&wallet=b HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST " + HEAD.removeprefix(b"GET ") + b"\r\n",
        b"HEAD " + HEAD.removeprefix(b"GET ") + b"\r\n",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        HEAD.replace(b"/v4/", b"http://x/v4/") + b"\r\n",
        HEAD.replace(b"/stream", b"/%73tream") + b"\r\n",
        HEAD.replace(b"/v4/wallet", b"/v4/../v4/wallet") + b"\r\n",
    ],
)
def test_another_method_path_or_version_is_not(head: bytes) -> None:
    assert not is_plain(head)


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 0",
        b"content-length: 5",
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: identity",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X: a\r\n folded",
        b"X : a",
        b"X: a\0",
        b"X: a\nY: b",
        b"X: \xe9",
        b"no colon",
        b"X: " + b"a" * HEAD_BYTES,
    ],
)
def test_a_head_that_announces_a_body_or_can_be_read_in_two_ways_is_not(field: bytes) -> None:
    assert not is_plain(HEAD + field + b"\r\n\r\n")


def test_a_head_without_fields_or_with_something_behind_it_is_not() -> None:
    assert not is_plain(HEAD.partition(b"\r\n")[0] + b"\r\n\r\n")
    assert not is_plain(HEAD + b"\r\n" + b"GET ")
    assert not is_plain(HEAD + b"\r\n" + HEAD + b"\r\n")


@given(st.integers(0, len(HEAD) + 1))
def test_a_part_of_a_head_is_not(size: int) -> None:
    assert not is_plain((HEAD + b"\r\n")[:size])


@given(st.binary(max_size=200))
def test_whatever_is_put_into_a_head_it_stays_one_head_without_a_body(text: bytes) -> None:
    head = HEAD + b"X: " + text + b"\r\n\r\n"
    if is_plain(head):
        assert head.count(b"\r\n\r\n") == 1
        assert b"\0" not in head
        assert head.count(b"\n") == head.count(b"\r\n")
        assert b"content-length:" not in head.lower()


class _Slow(RequestHandler):
    """Answers when the test says so."""

    def initialize(self, asked: asyncio.Event, may_answer: asyncio.Event) -> None:
        self._asked, self._may_answer = asked, may_answer

    async def get(self) -> None:
        self._asked.set()
        await self._may_answer.wait()
        self.finish("late")


def test_who_has_connected_is_heard_and_answered_before_the_listener_is_settled() -> None:
    async def life() -> None:
        asked, may_answer = asyncio.Event(), asyncio.Event()
        given = {"asked": asked, "may_answer": may_answer}
        application = Application([("/slow", _Slow, given)], log_function=lambda _: None)
        listener = Listener(application, HTTPServer(application), 60, 1000, lambda: 0, lambda: b"")
        sock = socket.create_server(("127.0.0.1", 0))
        await listener.listen([sock])
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        await _accepted(listener)

        listener.stop_accepting()
        settled = asyncio.create_task(listener.settle(PATIENCE))
        await asyncio.sleep(0)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asked.wait()
        assert not settled.done()
        may_answer.set()
        assert (await reader.read()).endswith(b"late")
        await settled
        writer.close()
        listener.close()

    _run(life())


def test_a_silent_connection_holds_nobody_up_for_long() -> None:
    async def life() -> None:
        application = Application()
        listener = Listener(application, HTTPServer(application), 60, 1000, lambda: 0, lambda: b"")
        sock = socket.create_server(("127.0.0.1", 0))
        await listener.listen([sock])
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        await _accepted(listener)
        await listener.settle(0.01)
        listener.close()
        assert await reader.read() == b""
        writer.close()

    _run(life())


async def _accepted(listener: Listener) -> None:
    """Returns when somebody has connected, which nothing tells."""
    while not listener.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)


def _run(life: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(life, PATIENCE))
