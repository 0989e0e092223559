"""What a client learns from how a stream ends: the server ended it, or something cut it off."""

import signal
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from eventsource import EventSource, Torn
from processes import PATIENCE, Server, Simulator, server
from wire import Connection

# curl's exit code for a body that ended before its time.
PARTIAL_FILE = 18
# What the kernel keeps for a client that reads nothing, in bytes: hardly anything.
RECEIVE_BUFFER = 2048
READS, READ_BYTES = 20, 1024
QUERIES = ("", "follow=true", "batch=100", "follow=true&batch=7")


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("endings"), chain.url) as started:
        yield started


def several(srv: Server, wallets: list[str], *more: str) -> str:
    return f"{srv.url}/v4/stream?" + "&".join([*(f"wallet={each}" for each in wallets), *more])


def curl(url: str, *arguments: str) -> "subprocess.Popen[str]":
    command = ["curl", "--silent", "--no-buffer", *arguments, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read_until(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdout is not None
    assert line in iter(process.stdout.readline, ""), f"no {line!r}"


def test_a_stream_that_is_complete_was_ended(
    served: Server, wallet: str, wallets: list[str]
) -> None:
    urls = [served.stream(wallet), served.stream(wallet, "batch=7"), several(served, wallets)]
    for url in urls:
        with EventSource(url) as stream:
            assert [event.name for event in stream][-1] == "complete"
            assert stream.ended


def test_one_that_was_refused_or_had_nothing_new_was_ended(served: Server, wallet: str) -> None:
    with Connection(served.url) as connection:
        connection.request("GET", "/v4/wallet/x/stream")
        refused = connection.answer()
    assert refused.headers["content-length"] == str(len(refused.body))
    with EventSource(served.stream(wallet)) as stream:
        last = [str(event.id) for event in stream if event.id][-1]
    with EventSource(served.stream(wallet), {"Last-Event-ID": last}) as stream:
        assert stream.status == 204


def test_one_that_ends_with_an_error_was_ended(tmp_path: Path, wallet: str) -> None:
    with server(tmp_path, None) as started, EventSource(started.stream(wallet)) as stream:
        assert [event.name for event in stream][-1] == "error"
        assert stream.ended


@pytest.mark.parametrize("query", QUERIES)
def test_a_drain_ends_every_stream(
    chain: Simulator, wallets: list[str], tmp_path: Path, query: str
) -> None:
    with server(tmp_path, chain.url) as started:
        follow = f"{query}&follow=true"
        with (
            EventSource(started.stream(wallets[0], follow)) as one,
            EventSource(several(started, wallets, follow)) as many,
        ):
            for stream in (one, many):
                stream.until("complete")
            started.signal(signal.SIGTERM)
            for stream in (one, many):
                assert [event.name for event in stream][-1] == "bye"
                assert stream.ended


@pytest.mark.parametrize("query", QUERIES)
def test_a_server_that_is_killed_ends_no_stream(
    chain: Simulator, wallets: list[str], tmp_path: Path, query: str
) -> None:
    with server(tmp_path, chain.url) as started:
        follow = f"{query}&follow=true"
        with (
            EventSource(started.stream(wallets[0], follow)) as one,
            EventSource(several(started, wallets, follow)) as many,
        ):
            for stream in (one, many):
                stream.until("complete")
            started.kill()
            for stream in (one, many):
                assert "bye" not in [event.name for event in stream]
                assert not stream.ended


def test_a_history_that_is_cut_off_is_told_from_a_short_one_by_curl_and_httpx(
    chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        url = started.stream(large_wallet, "follow=true")
        with (
            curl(url) as plain,
            curl(url, "--compressed") as compressed,
            httpx.Client(timeout=PATIENCE) as client,
            client.stream("GET", url) as response,
        ):
            for process in (plain, compressed):
                read_until(process, "event: complete\n")
            lines = response.iter_lines()
            assert "event: complete" in lines
            started.kill()
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
            assert plain.wait(PATIENCE) == compressed.wait(PATIENCE) == PARTIAL_FILE
    # An HTTP/1.0 client can't know.
    with (
        server(analysed, chain.url) as started,
        curl(started.stream(large_wallet, "follow=true"), "--http1.0") as old,
    ):
        read_until(old, "event: complete\n")
        started.kill()
        assert old.wait(PATIENCE) == 0


def test_what_the_server_ended_is_a_success_to_curl(served: Server, wallet: str) -> None:
    for arguments in ([], ["--compressed"], ["--http1.0"]):
        with curl(served.stream(wallet), *arguments) as process:
            read_until(process, "event: complete\n")
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 0


def test_a_compressed_stream_that_is_cut_off_has_every_event_before(
    chain: Simulator, tmp_path: Path, wallet: str
) -> None:
    with server(tmp_path, chain.url) as started:
        url = started.stream(wallet, "follow=true")
        with (
            httpx.Client(timeout=PATIENCE) as client,
            client.stream("GET", url) as response,
        ):
            assert response.headers["content-encoding"] == "gzip"
            decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            text = b""
            raw = response.iter_raw()
            while b"event: complete\n" not in text:
                text += decoder.decompress(next(raw))
            started.kill()
            with pytest.raises(httpx.RemoteProtocolError):
                list(raw)
            assert not decoder.eof


def test_a_slow_client_has_a_cut_within_a_page_and_no_end(
    chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with (
        server(analysed, chain.url) as started,
        EventSource(started.stream(large_wallet), receive_buffer=RECEIVE_BUFFER) as stream,
    ):
        for _ in range(READS):
            assert stream.fill(READ_BYTES)
        started.kill()
        names: list[str] = []
        with suppress(Torn, ConnectionError):
            names.extend(event.name for event in stream)
        assert "trade" in names
        assert "complete" not in names
        assert not stream.ended
