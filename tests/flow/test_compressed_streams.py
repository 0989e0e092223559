"""The server's streams as gzip: the same events, live as well, and an end that decoders accept."""

import gzip
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server

# Transactions, so many that trades are among them.
APPENDED = 20


@contextmanager
def response(
    srv: Server, url: str, method: str = "GET", coding: str = "gzip"
) -> Iterator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", srv.port, timeout=PATIENCE)
    connection.request(method, url.removeprefix(srv.url), headers={"Accept-Encoding": coding})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def entries(body: bytes) -> list[bytes]:
    """What is kept: the events with an id."""
    return [block for block in body.split(b"\n\n") if b"\nid: " in block]


def read_until(answer: HTTPResponse, decoder: "zlib._Decompress", mark: bytes) -> bytes:
    text = b""
    while mark not in text:
        received = answer.read1()
        assert received, f"the stream ended before {mark!r}: {text[-200:]!r}"
        text += decoder.decompress(received)
    return text


def test_a_compressed_history_is_the_plain_one_in_a_third_of_the_bytes(
    analysed: Path, chain: Simulator, large_wallet: str
) -> None:
    with server(analysed, chain.url) as srv:
        url = srv.stream(large_wallet)
        with response(srv, url, coding="identity") as answer:
            assert answer.headers["Content-Encoding"] is None
            plain = answer.read()
        with response(srv, url) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            compressed = answer.read()
    assert len(entries(plain)) > 5000
    assert entries(gzip.decompress(compressed)) == entries(plain)
    assert len(compressed) < len(plain) / 3


def test_a_compressed_stream_is_live_beside_a_plain_one_and_ends_as_gzip_does(
    tmp_path: Path, chain: Simulator, wallet: str
) -> None:
    with server(tmp_path, chain.url, POLL_SECONDS=1) as srv:
        url = srv.stream(wallet, "follow=true")
        with EventSource(url) as plain, response(srv, url) as answer:
            decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            read_until(answer, decoder, b"event: complete\n")
            plain.until("complete")
            for _ in range(2):
                signature = chain.append(wallet, APPENDED)[-1]
                read_until(answer, decoder, signature.encode())
                assert plain.take("trade", 1)
            srv.signal(signal.SIGTERM)
            read_until(answer, decoder, b"event: bye\n")
            decoder.decompress(answer.read())
            assert decoder.eof


def test_the_headers_of_a_stream_are_those_of_head(tmp_path: Path, wallet: str) -> None:
    with server(tmp_path, None, ALLOWED_ORIGINS="https://a.example") as srv:
        url = srv.stream(wallet)
        with response(srv, url, "HEAD") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers.get_all("Vary") == ["Origin, Accept-Encoding"]
        with response(srv, url, "HEAD", "br") as answer:
            assert answer.headers["Content-Encoding"] is None
            assert answer.headers.get_all("Vary") == ["Origin, Accept-Encoding"]
