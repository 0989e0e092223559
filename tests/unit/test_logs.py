"""Logs: one line each, for ours and the libraries', without secrets or forgeries."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from wd_server import logs
from wd_server.secret import Secret

Lines = Callable[[], list[dict[str, Any]]]
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3YWxsZXQifQ.c2lnbmF0dXJl"
KEY = "wd_0123456789abcdefghijklmnopqrstuv"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines() -> Lines:
    """Configured for JSON at `info`; gives what was written, decoded."""
    stream = io.StringIO()
    logs.configure("info", "json", stream, [Secret("correct-horse"), Secret("a")])
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def written(value: object, name: str = "value") -> str:
    stream = io.StringIO()
    logs.configure("info", "json", stream, [Secret("correct-horse"), Secret("a")])
    structlog.get_logger("test").info("event", **{name: value})
    return stream.getvalue()


def test_a_line_says_when_how_bad_who_and_what_first(lines: Lines) -> None:
    structlog.get_logger("stream").info("stream opened", wallet="So1", events=2, age=1.5, last=None)
    (line,) = lines()
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {
        "level": "info",
        "logger": "stream",
        "event": "stream opened",
        "wallet": "So1",
        "events": 2,
        "age": 1.5,
        "last": None,
    }


def test_the_libraries_lines_take_the_same_way(lines: Lines) -> None:
    logging.getLogger("tornado.general").warning("Malformed HTTP message from %s", "192.0.2.1")
    logging.getLogger("asyncio").error("Task was destroyed")
    first, second = lines()
    assert (first["level"], first["logger"]) == ("warning", "tornado.general")
    assert first["event"] == "Malformed HTTP message from 192.0.2.1"
    assert (second["level"], second["logger"]) == ("error", "asyncio")


def test_what_asyncio_reports_becomes_one_line(lines: Lines) -> None:
    async def report() -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "Task exception was never retrieved", "exception": ValueError("late")}
        )

    asyncio.run(report())
    (line,) = lines()
    assert line["logger"] == "asyncio"
    assert "ValueError: late" in line["exception"]


def test_below_the_level_nothing_is_written(lines: Lines) -> None:
    structlog.get_logger("stream").debug("no")
    logging.getLogger("library").debug("no")
    assert lines() == []


def test_nothing_is_configured_by_the_import() -> None:
    code = (
        "import logging, structlog, wd_server.logs;"
        "assert not structlog.is_configured() and not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_configuring_again_replaces_instead_of_doubling() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", "json", first)
    logs.configure("error", "text", second)
    log = structlog.get_logger("test")
    log.info("no")
    log.error("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_loggers_made_before_follow_what_is_configured_later() -> None:
    log = structlog.get_logger("early")
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    log.info("seen")
    assert json.loads(stream.getvalue())["logger"] == "early"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("https://rpc.example.org/?api-key=abc-123&x=1", "abc-123"),
        ("GET /v4/stream?api_key=abc123 HTTP/1.1", "abc123"),
        ("/v4/stream?since=1&access_token=abc123", "abc123"),
        ("/v4/stream?API_KEY%3Dabc123", "abc123"),
        ('{"api_key": "abc123"}', "abc123"),
        ("Authorization: Basic abc123", "abc123"),
        ("{'Authorization': 'whsec abc123'}", "abc123"),
        ("got Bearer abc123, refused", "abc123"),
        (f"unknown key {KEY}", KEY[3:]),
        (f"token {TOKEN} ended", TOKEN.split(".")[1]),
        ("redis://user:abc123@localhost:6379", "abc123"),
        ("redis://:abc123@localhost:6379", "abc123"),
        ("wss://h/path/correct-horse", "correct-horse"),
        (Secret("abc123"), "abc123"),
        ({"headers": {"X-API-Key": "abc123", "Cookie": "abc123"}}, "abc123"),
        ([("Authorization: abc123",)], "abc123"),
        (b"api_key=abc123", "abc123"),
        (ValueError("api_key=abc123"), "abc123"),
        ([[[[[["api_key=abc123"]]]]]], "abc123"),
        ({"api_key=abc123": 1}, "abc123"),
    ],
)
def test_no_secret_is_written_wherever_it_stands(text: object, hidden: str) -> None:
    line = written(text)
    assert hidden not in line
    assert "***" in line


@pytest.mark.parametrize("name", ["api_key", "secret_key", "authorization", "password", "token"])
def test_a_value_with_a_secret_s_name_is_masked(name: str) -> None:
    assert json.loads(written("abc123", name))[name] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "/v4/wallet/So11111111111111111111111111111111111111112/trades?after=1-2",
        "wd_server/streaming/stream.py",
        "tokens bought: 5",
        "http://localhost:8080/a@b",
        "a basic thing",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert json.loads(written(text))["value"] in (text, text.replace("basic thing", "basic ***"))


def test_a_secret_in_the_event_itself_is_masked(lines: Lines) -> None:
    logging.getLogger("urllib").warning("retrying https://h/?api-key=%s", "abc123")
    assert lines()[0]["event"] == "retrying https://h/?api-key=***"


def test_tornado_s_own_lines_lose_the_query(lines: Lines) -> None:
    logging.getLogger("tornado.application").error(
        "Uncaught exception GET %s (::1)\n%r", "/v4/stream?key=abc", {"uri": "/v4/stream?key=abc"}
    )
    assert "abc" not in lines()[0]["event"]


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "mark", ["\n", "\r\n", "\x1b[2J", "\0", "\x85", "\u2028", "\u202e", "\x7f", "\ud800"]
)
def test_a_value_can_not_forge_a_line(form: Any, mark: str) -> None:
    stream = io.StringIO()
    logs.configure("info", form, stream)
    structlog.get_logger("test").info(f"a{mark}b", value=f"a{mark}b", more={f"c{mark}d": [mark]})
    text = stream.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert mark not in text[:-1]
    text.encode()


def test_a_traceback_has_no_locals_and_no_secrets(lines: Lines) -> None:
    def fail() -> None:
        local = "a-local-value"
        raise ValueError(f"api_key=abc123 {len(local)}")

    try:
        fail()
    except ValueError:
        structlog.get_logger("test").exception("failed")
        logging.getLogger("library").exception("failed")
    for line in lines():
        assert "in fail" in line["exception"]
        assert "ValueError: api_key=***" in line["exception"]
        assert "'a-local-value'" not in line["exception"]
        assert "abc123" not in line["exception"]


def test_a_traceback_in_text_can_not_pass_for_a_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    try:
        raise ValueError("late\n2026-01-01T00:00:00Z info    access: forged\x1b[2J")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("error   test: failed")
    assert all(line.startswith("    | ") for line in rest)
    assert "\x1b" not in stream.getvalue()


def test_text_quotes_what_has_spaces() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    structlog.get_logger("stream").info("closed", reason="slow", why="two words", bytes=7, x="a=b")
    line = stream.getvalue()
    assert line.endswith('info    stream: closed reason=slow why="two words" bytes=7 x="a=b"\n')


def test_a_huge_value_is_cut() -> None:
    value = json.loads(written("x" * 1_000_000))["value"]
    assert value == "x" * logs.VALUE_MAX_CHARS + "… (1000000 characters)"


@pytest.mark.parametrize("shrunk", ["", "api_key=" + "z" * 3000 + " "])
@pytest.mark.parametrize("limit", [logs.VALUE_MAX_CHARS, logs.SEARCH_MAX_CHARS])
def test_a_secret_that_lies_across_a_cut_is_not_shown_in_part(shrunk: str, limit: int) -> None:
    for inside in (1, 4, len("correct-horse") - 1):
        text = shrunk + "x" * (limit - len(shrunk) - inside) + "correct-horse" + "y" * 100_000
        assert "xc" not in written(text)


@pytest.mark.parametrize("piece", ["eyJ", "eyJ.", "wd_", "api_key", "://", "bearer ", "?", "basic"])
def test_a_hostile_value_takes_linear_time(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SEARCH_MAX_CHARS", 1_000_000)
    scrub = logs.Scrubber()

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        best = 60.0
        for _ in range(3):
            begun = time.process_time()
            scrub.text(text)
            best = min(best, time.process_time() - begun)
        return best

    # Sixteen times the text: linear is 16, quadratic 256.
    assert seconds(128 * 1024) < 64 * max(seconds(8 * 1024), 0.0005)


def test_a_stream_that_knows_only_ascii_loses_no_line() -> None:
    raw = io.BytesIO()
    logs.configure("info", "text", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    structlog.get_logger("test").info("caf\u00e9")
    assert b"caf\\xe9" in raw.getvalue()


@dataclass
class Request:
    path: str
    method: str = "GET"
    uri: str = "/v4/stream?api_key=abc123"
    remote_ip: str = "192.0.2.1"

    def request_time(self) -> float:
        return 0.00123


@dataclass
class Caller:
    who: str = "key:wd_AbCdEfGh"


@dataclass
class Handler:
    request: Request
    status: int
    principal: Caller | None = None

    def get_status(self) -> int:
        return self.status


@pytest.mark.parametrize(("status", "level"), [(200, "info"), (404, "info"), (500, "warning")])
def test_a_request_is_logged_without_its_query(lines: Lines, status: int, level: str) -> None:
    logs.log_request(Handler(Request("/v4/stream"), status, Caller()))
    (line,) = lines()
    del line["timestamp"]
    assert line == {
        "level": level,
        "logger": "access",
        "event": "request",
        "method": "GET",
        "path": "/v4/stream",
        "status": status,
        "milliseconds": 1.2,
        "remote": "192.0.2.1",
        "who": "key:wd_AbCdEfGh",
    }


@pytest.mark.parametrize("path", ["/health/ready", "/metrics", "/web/1f0c/main.js"])
def test_what_comes_often_is_logged_only_when_it_fails(lines: Lines, path: str) -> None:
    for status in (200, 503):
        logs.log_request(Handler(Request(path), status))
    assert [line["status"] for line in lines()] == [503]
