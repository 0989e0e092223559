"""What happens when a process has as many files open as it may."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server
from wire import Connection, exchange

from wd_server.app import RESERVED_FILES

# Files the server may have, and the streams that leaves it.
FILES = 600
STREAMS = FILES - RESERVED_FILES


def connect(srv: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", srv.port), PATIENCE)


@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_streams_stay_and_health_answers_while_others_take_every_file(
    chain: Simulator, wallet: str, tmp_path: Path, said: bytes
) -> None:
    """The others are silent, or never finish what they say; they come twice as many as there are
    files."""
    with server(tmp_path, chain.url, files=FILES) as srv, ExitStack() as stack:
        streams = [
            stack.enter_context(EventSource(srv.stream(wallet, "follow=true")))
            for _ in range(STREAMS)
        ]
        for stream in streams:
            stream.until("complete")
        refused = exchange(srv.url, f"/v4/wallet/{wallet}/stream")
        assert (refused.status, refused.problem()["code"]) == (503, "AT_CAPACITY")
        assert srv.get("/health")["streaming"]["active_streams"] == STREAMS
        for _ in range(2 * FILES):
            sock = stack.enter_context(connect(srv))
            if said:
                sock.sendall(said)
        srv.wait_until_healthy()
        assert srv.get("/health")["streaming"]["active_streams"] == STREAMS
        signatures = chain.append(wallet, 10)
        for stream in streams:
            found = [event.data["signature"] for event in stream.take("trade", len(signatures))]
            assert found == signatures
        stack.close()
        srv.wait_for("active_streams", 0)
        with EventSource(srv.stream(wallet)) as stream:
            assert stream.until("complete")
        assert not [line for line in srv.logged_lines() if line["level"] == "error"]


def test_a_server_that_can_accept_nothing_more_recovers(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """The crowd comes while the process is stopped, so that all of it is accepted at once."""
    with server(tmp_path, chain.url, files=FILES) as srv, ExitStack() as stack:
        stream = stack.enter_context(EventSource(srv.stream(wallet, "follow=true")))
        stream.until("complete")
        with srv.stopped():
            crowd = [connect(srv) for _ in range(2 * FILES)]
        with ExitStack() as rude:
            for sock in crowd:
                rude.enter_context(sock)
            srv.wait_until_healthy()
            signatures = chain.append(wallet, 10)
            found = [event.data["signature"] for event in stream.take("trade", len(signatures))]
            assert found == signatures
        with Connection(srv.url) as connection:
            connection.request("GET", "/health")
            assert connection.answer().status == 200
        assert not [line for line in srv.logged_lines() if line["level"] == "error"]
