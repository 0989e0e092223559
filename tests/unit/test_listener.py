"""Connections from their arrival to their end, with an application of the tests' own."""

import asyncio
import gc
import re
import socket
import weakref
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager

import pytest
import uvloop
from tornado.web import Application, RequestHandler, stream_request_body

from handlers.base import refusal
from wd_server.http1 import PIPELINED_BYTES, Http1
from wd_server.http_exchange import BODY_BYTES
from wd_server.listener import Listener

# Seconds to wait for what should come at once: only a broken program takes them.
PATIENCE = 30
# Files that leave room for all connections here.
FILES = 1000
# Bytes of an answer that no socket takes at once.
LARGE = 8_000_000
# Seconds of waits that end with the next look.
NO_TIME = {"request_seconds": 0, "taking_seconds": 0, "linger_seconds": 0}

HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Echo(RequestHandler):
    """Answers with what was asked."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "BREW")  # type: ignore[assignment]

    def get(self) -> None:
        body = self.request.body.decode("latin-1")
        self.finish(f"{self.request.method} {self.request.uri} {body}.")

    head = post = brew = get


class Parts(RequestHandler):
    """Says nothing of the answer's length."""

    async def get(self) -> None:
        for part in ("one", "", "two"):
            self.write(part)
            await self.flush()

    head = get


class Nothing(RequestHandler):
    def get(self) -> None:
        self.set_status(204)


class Slow(RequestHandler):
    """Answers when the test says so."""

    def initialize(self, asked: asyncio.Event, may_answer: asyncio.Event) -> None:
        self._asked, self._may_answer = asked, may_answer

    async def get(self) -> None:
        self._asked.set()
        await self._may_answer.wait()
        self.finish("late.")


class Large(RequestHandler):
    """`finished` is set when the client has taken the answer."""

    def initialize(self, finished: asyncio.Event) -> None:
        self._finished_event = finished

    async def get(self) -> None:
        self.set_header("Content-Length", LARGE)
        self.write(b"a" * LARGE)
        await self.flush()
        self._finished_event.set()


class Short(RequestHandler):
    """Says less than it announced."""

    def get(self) -> None:
        self.set_header("Content-Length", 10)
        self.finish("a")


@stream_request_body
class Upload(RequestHandler):
    """Takes each part of a body when it is ready for it. `/refused` wants none."""

    def initialize(self) -> None:
        self._size = 0
        self.request.connection.set_max_body_size(2 * BODY_BYTES)  # type: ignore[union-attr]

    async def prepare(self) -> None:
        await asyncio.sleep(0)
        if self.request.path.endswith("/refused"):
            self.set_status(403)
            self.finish("not you.")

    async def data_received(self, chunk: bytes) -> None:
        await asyncio.sleep(0)
        self._size += len(chunk)

    def post(self) -> None:
        self.finish(f"{self._size} bytes.")


class World:
    """A listener and its address."""

    def __init__(self, files: int, waits: Mapping[str, float]) -> None:
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.taken = asyncio.Event()
        slow = {"asked": self.asked, "may_answer": self.may_answer}
        application = Application(
            [
                ("/slow", Slow, slow),
                ("/large", Large, {"finished": self.taken}),
                ("/parts", Parts),
                ("/nothing", Nothing),
                ("/short", Short),
                ("/upload.*", Upload),
                ("/.*", Echo),
            ],
            log_function=lambda _: None,
        )
        self.listener = Listener(
            application, files, lambda: 0, lambda status: refusal(status, 0), **waits
        )
        self.socket = socket.create_server(("127.0.0.1", 0))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.socket.getsockname(), limit=2**24)

    async def answer(self, *pieces: bytes, end: bool = False) -> bytes:
        """All that comes back until the connection ends. `end`: this side ends first."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            for _ in range(3):  # the listener shares the loop, and reads meanwhile
                await asyncio.sleep(0)
        if end:
            writer.write_eof()
        try:
            return re.sub(rb"\r\nDate: [^\r]*", b"", await reader.read())
        finally:
            writer.close()

    async def accepted(self, count: int = 1) -> None:
        """Returns when so many have connected, which nothing tells."""
        while self.listener.waiting < count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def gone(self) -> None:
        while self.listener.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)


@asynccontextmanager
async def world(files: int = FILES, **waits: float) -> AsyncIterator[World]:
    made = World(files, waits)
    await made.listener.listen([made.socket])
    try:
        yield made
    finally:
        made.listener.close()
        await made.gone()


def run(life: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(life, PATIENCE))


def bodies(answers: bytes) -> list[bytes]:
    """Of answers whose bodies end in a point."""
    return re.findall(rb"\r\n\r\n([^\r]*?\.)(?=HTTP/|$)", answers)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


SHAPES = {
    "a GET": b"GET /a?b=c HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "a HEAD": b"HEAD /a HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "HTTP/1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "another method": b"BREW /a HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "a body": b"POST /a HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 5\r\n\r\nhello",
    "chunks": b"POST /a HTTP/1.1\r\n"
    + HOST
    + CLOSE
    + CHUNKED
    + b"\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "a body that is streamed": (
        b"POST /upload HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 5\r\n\r\nhello"
    ),
    "an answer in parts": b"GET /parts HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "an answer in parts, HTTP/1.0": b"GET /parts HTTP/1.0\r\n\r\n",
    "the head of an answer in parts": b"HEAD /parts HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "no content": b"GET /nothing HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n",
    "three at once": (
        b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n"
        b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nab"
        b"GET /3 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
    ),
    "one that goes on in HTTP/1.0": (
        b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"
    ),
    "an upgrade": (
        b"POST /a HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    ),
    "no Host": b"GET /a HTTP/1.1\r\n\r\n",
    "no Host, a HEAD": b"HEAD /a HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host with a space": b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a port of many digits": b"GET /a HTTP/1.1\r\nHost: x:" + b"9" * 5000 + b"\r\n\r\n",
    "a length and chunks": (
        b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n"
    ),
    "LF alone": b"GET /a HTTP/1.1\n" + HOST + b"\r\n",
    "a good one and a bad one": (
        b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /b HTTP/1.1\r\nX : y\r\n\r\n"
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_request_gets_the_same_answer_wherever_it_is_cut(shape: bytes) -> None:
    async def life() -> None:
        async with world() as w:
            whole = await w.answer(shape)
            assert whole.startswith(b"HTTP/1.1 ")
            assert await w.answer(*(shape[at : at + 1] for at in range(len(shape)))) == whole
            for at in range(1, len(shape), max(1, len(shape) // 300)):
                assert await w.answer(shape[:at], shape[at:]) == whole

    run(life())


@pytest.mark.parametrize(
    ("shape", "status", "headers", "body"),
    [
        ("a GET", 200, {b"Connection: close", b"Content-Length: 12"}, b"GET /a?b=c ."),
        ("a HEAD", 200, {b"Content-Length: 9"}, b""),
        ("HTTP/1.0", 200, {b"Connection: close"}, b"GET /a ."),
        ("a body", 200, set(), b"POST /a hello."),
        ("chunks", 200, set(), b"POST /a hello."),
        ("a body that is streamed", 200, set(), b"5 bytes."),
        (
            "an answer in parts",
            200,
            {b"Transfer-Encoding: chunked"},
            b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
        ),
        ("an answer in parts, HTTP/1.0", 200, {b"Connection: close"}, b"onetwo"),
        ("no content", 204, set(), b""),
        ("an upgrade", 200, set(), b"POST /a hello."),
        ("no Host, a HEAD", 400, {b"Connection: close"}, b""),
    ],
)
def test_an_answer_is_framed_as_its_request_can_read_it(
    shape: str, status: int, headers: set[bytes], body: bytes
) -> None:
    async def life() -> None:
        async with world() as w:
            head, _, found = (await w.answer(SHAPES[shape])).partition(b"\r\n\r\n")
            assert statuses(head) == [status]
            assert {*head.split(b"\r\n")} >= headers
            assert found == body
            assert (b"Transfer-Encoding" in head) == (b"Transfer-Encoding: chunked" in headers)

    run(life())


def test_answers_come_in_the_order_of_the_requests_however_long_one_takes() -> None:
    async def life() -> None:
        async with world() as w:
            slow = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
            answers = asyncio.create_task(w.answer(slow + SHAPES["three at once"]))
            await w.asked.wait()
            w.may_answer.set()
            assert bodies(await answers) == [b"late.", b"GET /1 .", b"POST /2 ab.", b"GET /3 ."]

    run(life())


@pytest.mark.parametrize(
    ("request_bytes", "found"),
    [
        (b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n", [200]),
        (b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n", [200]),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"\r\nGET /b HTTP/1.1\r\n" + HOST + b"\r\n", [200, 200]),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nab", [200]),
        (b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nab", [400]),
        (b"POST /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nab", [400]),
        (b"GET /a HTTP/1.1\r\n" + HOST + b"\r\nGET /b", [200, 400]),
        (b"GET /a HTTP", [400]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["at once", "byte by byte"])
def test_a_client_that_has_ended_its_side_gets_its_answers(
    request_bytes: bytes, found: list[int], cut: bool
) -> None:
    async def life() -> None:
        async with world() as w:
            w.may_answer.set()
            size = 1 if cut else 1000
            pieces = [request_bytes[at : at + size] for at in range(0, len(request_bytes), size)]
            assert statuses(await w.answer(*pieces, end=True)) == found

    run(life())


def test_who_expects_it_is_told_once_to_go_on_and_only_where_a_body_is_wanted() -> None:
    async def life() -> None:
        async with world() as w:
            head = b"POST /a HTTP/1.1\r\n" + HOST + CLOSE + b"Expect: 100-continue\r\n"
            sized = head + b"Content-Length: 2\r\n\r\n"
            assert statuses(await w.answer(sized, b"a", b"b")) == [100, 200]
            chunked = head + CHUNKED + b"\r\n"
            assert statuses(await w.answer(chunked, b"2", b"\r\n", b"ab\r\n0\r\n\r\n")) == [
                100,
                200,
            ]
            assert statuses(await w.answer(sized + b"ab")) == [200]
            too_much = head + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1)
            assert statuses(await w.answer(too_much)) == [413]
            older = sized.replace(b"HTTP/1.1", b"HTTP/1.0")
            assert statuses(await w.answer(older, b"ab")) == [200]

    run(life())


@pytest.mark.parametrize("path", [b"/a", b"/upload/refused"])
def test_who_is_refused_in_the_middle_of_a_body_can_read_why(path: bytes) -> None:
    """A connection that is closed with something unread is reset, and its answer lost."""

    async def life() -> None:
        async with world() as w:
            head = b"POST %b HTTP/1.1\r\n" % path + HOST + b"Content-Length: 4000000\r\n\r\n"
            answer = await w.answer(head, b"a" * 4_000_000)
            assert statuses(answer) == [403 if path == b"/upload/refused" else 413]
            assert answer.endswith((b"}", b"not you."))
            assert b"\r\nConnection: close\r\n" in answer

    run(life())


def test_a_handler_may_take_a_larger_body_and_no_larger_one_than_it_says() -> None:
    async def life() -> None:
        async with world() as w:
            for size, status in ((2 * BODY_BYTES, 200), (2 * BODY_BYTES + 1, 413)):
                head = b"POST /upload HTTP/1.1\r\n" + HOST + CLOSE
                sized = head + b"Content-Length: %d\r\n\r\n" % size + b"a" * size
                chunked = head + CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, b"a" * size)
                assert statuses(await w.answer(sized)) == [status]
                assert statuses(await w.answer(chunked)) == [status]

    run(life())


def test_who_sends_more_than_is_kept_behind_a_request_gets_that_one_answered() -> None:
    async def life() -> None:
        async with world() as w:
            slow = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
            reader, writer = await w.connect()
            writer.write(slow)
            await w.asked.wait()
            writer.write((b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n") * (PIPELINED_BYTES // 20))
            for _ in range(20):
                await asyncio.sleep(0)
            w.may_answer.set()
            answers = await reader.read()
            assert bodies(answers) == [b"late."]
            assert b"\r\nConnection: close\r\n" in answers
            writer.close()

    run(life())


def test_an_answer_waits_for_its_client_and_so_does_the_next_request() -> None:
    async def life() -> None:
        async with world() as w:
            reader, writer = await w.connect()
            writer.write(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
            writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert not w.taken.is_set()
            assert not w.asked.is_set()
            assert await reader.readexactly(LARGE) == b"a" * LARGE
            await w.asked.wait()
            assert w.taken.is_set()
            writer.close()

    run(life())


def test_an_answer_that_is_shorter_than_it_said_is_cut_and_not_filled_up_by_the_next() -> None:
    async def life() -> None:
        async with world() as w:
            short = b"GET /short HTTP/1.1\r\n" + HOST + b"\r\n"
            answer = await w.answer(short + SHAPES["a GET"])
            assert statuses(answer) == [200]
            assert b"Content-Length: 10" in answer
            assert bodies(answer) == []

    run(life())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /a HTT",
        b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\na",
        b"POST /upload HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\na",
        b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /a HTTP/1.0\r\n\r\n",
    ],
    ids=["a word", "a head", "a body", "a streamed body", "taking", "the next", "the end"],
)
def test_whatever_a_client_is_waited_for_it_is_so_for_a_bounded_time(said: bytes) -> None:
    async def life() -> None:
        async with world(**NO_TIME) as w:
            _, writer = await w.connect()
            await w.accepted()
            writer.write(said)
            await w.gone()
            writer.close()

    run(life())


def test_a_handler_that_takes_long_isnt_cut() -> None:
    async def life() -> None:
        async with world(**NO_TIME) as w:
            answer = asyncio.create_task(
                w.answer(b"GET /slow HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
            )
            await w.asked.wait()
            w.listener._drop_overdue()
            w.may_answer.set()
            assert bodies(await answer) == [b"late."]

    run(life())


def test_the_longest_silent_make_room_and_who_waits_for_an_answer_stays() -> None:
    async def life() -> None:
        files = 40  # 30 of them for connections
        async with world(files) as w:
            reader, writer = await w.connect()
            writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
            await w.asked.wait()
            silent = [await w.connect() for _ in range(3 * files)]
            assert bodies(await w.answer(SHAPES["a GET"])) == [b"GET /a?b=c ."]
            assert w.listener.waiting <= 30
            w.may_answer.set()
            assert bodies(await reader.read()) == [b"late."]
            for _, each in [*silent, (reader, writer)]:
                each.close()

    run(life())


@pytest.mark.parametrize(
    "shape", ["a GET", "a body", "an answer in parts", "no Host", "an upgrade"]
)
def test_a_connection_leaves_nothing_for_the_garbage_collector(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = weakref.WeakSet[Http1]()

    class Remembered(Http1):
        __slots__ = ("__weakref__",)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.add(self)
            super().connection_made(transport)

    async def life() -> None:
        async with world() as w:
            await w.answer(SHAPES[shape])
            await w.gone()
            for _ in range(3):
                await asyncio.sleep(0)

    monkeypatch.setattr("wd_server.listener.Http1", Remembered)
    gc.collect()
    gc.disable()
    try:
        run(life())
        assert not made
    finally:
        gc.enable()


def test_who_has_connected_is_heard_and_answered_before_the_listener_is_settled() -> None:
    async def life() -> None:
        async with world() as w:
            reader, writer = await w.connect()
            await w.accepted()
            w.listener.stop_accepting()
            settled = asyncio.create_task(w.listener.settle(PATIENCE))
            await asyncio.sleep(0)
            writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
            await w.asked.wait()
            assert not settled.done()
            w.may_answer.set()
            answer = await reader.read()
            assert b"\r\nConnection: close\r\n" in answer
            assert answer.endswith(b"late.")
            writer.close()
            await settled

    run(life())


def test_a_silent_connection_holds_nobody_up_for_long() -> None:
    async def life() -> None:
        async with world() as w:
            reader, writer = await w.connect()
            await w.accepted()
            await w.listener.settle(0.01)
            w.listener.close()
            assert await reader.read() == b""
            writer.close()

    run(life())
