"""Both ways into the server: streams on the loop's own connections, everything else by Tornado."""

from pathlib import Path

import pytest
from processes import Server, server
from wire import Answer, Connection

# Pieces of a head, with what a client may send before them on the same connection.
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def head(wallet: str, *fields: str, query: str = "") -> bytes:
    lines = [f"GET /v4/wallet/{wallet}/stream{query} HTTP/1.1", "Host: x", *fields, "", ""]
    return "\r\n".join(lines).encode()


def body(answer: Answer) -> list[bytes]:
    """The stored events of a stream: what doesn't change from one request to the next."""
    assert answer.status == 200, answer
    return [block for block in answer.body.split(b"\n\n") if b"event: trade\n" in block]


def test_a_stream_is_the_same_whichever_way_its_request_came(served: Server, wallet: str) -> None:
    requests = {
        "at once": [head(wallet)],
        "in two pieces": [head(wallet)[:20], head(wallet)[20:]],
        "by an older client": [head(wallet).replace(b"HTTP/1.1", b"HTTP/1.0")],
    }
    bodies = {}
    for way, pieces in requests.items():
        with Connection(served.url) as connection:
            for piece in pieces:
                connection.send(piece)
            bodies[way] = body(connection.answer())
    assert bodies["at once"]
    assert bodies["in two pieces"] == bodies["at once"]
    assert bodies["by an older client"] == bodies["at once"]


def test_a_connection_that_asked_for_something_else_may_become_a_stream(
    served: Server, wallet: str
) -> None:
    with Connection(served.url) as connection:
        connection.send(HEALTH)
        assert connection.answer().status == 200
        connection.send(head(wallet))
        assert body(connection.answer())


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("0OIl", "Accept: application/json"), 400),
        (head("x" * 44, "Accept: application/json"), 400),
        (b"GET /v4/wallet/a/stream HTTP/1.1\r\nX: no host\r\n\r\n", 400),
        (b"GET /v4/wallet/a/stream HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ],
)
def test_a_refused_stream_gets_a_whole_answer_and_the_connection_ends(
    served: Server, request_head: bytes, status: int
) -> None:
    with Connection(served.url) as connection:
        connection.send(request_head)
        answer = connection.ended()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if b"no host" not in request_head and b"Host: a" not in request_head:
        assert b"Connection: close\r\n" in answer
        assert b"application/problem+json" in answer


def test_who_leaves_right_after_asking_leaves_nothing_behind(tmp_path: Path, wallet: str) -> None:
    with server(tmp_path, None) as started:
        for _ in range(200):
            with Connection(started.url) as connection:
                connection.send(head(wallet, query="?follow=true"))
        started.wait_for("active_streams", 0)
        assert started.get("/health")["status"] in ("healthy", "degraded")
        assert not [line for line in started.log.read_text().splitlines() if "Traceback" in line]
