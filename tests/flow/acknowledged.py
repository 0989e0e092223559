"""A server of event streams that sends nothing before the client has said what came before it.

`python acknowledged.py` prints its port, and then a line for everything that happens. What is sent
is compressed before anybody asks and shared by all streams; a stream begins at the piece `first`.
`POST /told` with an event's data is how a client says that it has that event.
"""

import asyncio
import sys
from random import Random
from urllib.parse import parse_qs, urlsplit

import uvloop

from handlers.negotiation import accepted_encoding
from wd_server.events import sse
from wd_server.streaming.compression import HEADER, Frames, Gzip
from wd_server.streaming.framing import LAST_CHUNK, chunk

# Each stream begins elsewhere, so that one piece stands behind different ones.
FIRST_PIECES = (0, 7)

# Tells each event, one after the other, and then reads the next stream.
PAGE = b"""<!doctype html><script>
let last = Promise.resolve();
function tell(event) {
  last = last.then(() => fetch("/told", {method: "POST", body: event.data}));
}
function read(firsts) {
  if (!firsts.length) return;
  const source = new EventSource("/stream?first=" + firsts[0]);
  for (const name of ["trade", "heartbeat", "gap"]) source.addEventListener(name, tell);
  source.addEventListener("bye", event => {
    source.close();
    tell(event);
    last = last.then(() => read(firsts.slice(1)));
  });
}
read(%b);
</script>""" % str(list(FIRST_PIECES)).encode()


def trade(number: int) -> bytes:
    """Of the usual size, with a signature that can't be compressed."""
    signature = Random(number).randbytes(48).hex()
    data = b'{"signature":"%b","slot":%d,"action":"buy","pnl_usd":null,"note":"%b"}' % (
        signature.encode(),
        number,
        b'{"token_in":{"symbol":"SOL","decimals":9}}'.hex().encode() * 6,
    )
    return sse.frame("trade", data, f"1-{number}")


def heartbeat(number: int) -> bytes:
    return sse.frame("heartbeat", b'{"timestamp":%d}' % number)


GAP = sse.frame("gap", b'{"reason":"reset","from":"0-1","to":null}')
BYE = sse.frame("bye", b'{"reason":"shutdown","reconnect_after_ms":1000}')
# A single trade, a heartbeat, a page beyond deflate's window of 32 KB, what only one client gets.
PIECES: tuple[Frames | bytes, ...] = (
    *(Frames(trade(number)) for number in range(1, 5)),
    GAP,
    *(Frames(heartbeat(number)) for number in range(5, 8)),
    Frames(b"".join(map(trade, range(8, 72)))),
    Frames(trade(72)),
    GAP,
    Frames(heartbeat(73)),
    BYE,
)


def data_of(piece: Frames | bytes) -> list[bytes]:
    plain = piece.plain if isinstance(piece, Frames) else piece
    return [line[6:] for line in plain.split(b"\n") if line.startswith(b"data: ")]


class Acknowledged:
    def __init__(self) -> None:
        self._expected: list[bytes] = []
        self._all_told = asyncio.Event()
        self._streams = len(FIRST_PIECES)
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        method, target, _ = request.split(" ")
        parts = urlsplit(target)
        if (method, parts.path) == ("POST", "/told"):
            self._told(await reader.readexactly(int(headers["content-length"])))
            _answer(writer, "204 No Content", "text/plain")
        elif parts.path == "/stream":
            first = int(parse_qs(parts.query)["first"][0])
            await self._stream(writer, headers.get("accept-encoding", ""), first)
        elif parts.path == "/":
            _answer(writer, "200 OK", "text/html")
            writer.write(PAGE)
        else:
            _answer(writer, "404 Not Found", "text/plain")
        writer.close()

    def _told(self, data: bytes) -> None:
        if self._expected[:1] != [data]:
            say(f"told {data!r} instead of {self._expected[:1]}")
        del self._expected[:1]
        if not self._expected:
            self._all_told.set()

    async def _stream(self, writer: asyncio.StreamWriter, accepts: str, first: int) -> None:
        coding = accepted_encoding(accepts)
        say(f"stream from {first}: {coding}")
        assert coding == "gzip"
        coded = ("Content-Encoding: gzip", "Transfer-Encoding: chunked")
        _answer(writer, "200 OK", "text/event-stream", *coded)
        writer.write(chunk(HEADER))
        gzip = Gzip()
        for piece in PIECES[first:]:
            self._expected = data_of(piece)
            self._all_told.clear()
            writer.write(gzip.shared(piece) if isinstance(piece, Frames) else gzip.private(piece))
            await self._all_told.wait()
        writer.write(gzip.end() + LAST_CHUNK)
        say(f"all of {len(PIECES) - first} pieces told")
        self._streams -= 1
        if not self._streams:
            self.done.set()


def _answer(writer: asyncio.StreamWriter, status: str, kind: str, *more: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *more]
    writer.write("\r\n".join([*lines, "", ""]).encode())


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    for piece in PIECES:
        if isinstance(piece, Frames):
            assert piece.deflated
    acknowledged = Acknowledged()
    server = await asyncio.start_server(acknowledged.serve, "127.0.0.1", 0)
    say(str(server.sockets[0].getsockname()[1]))
    await acknowledged.done.wait()
    server.close()
    await server.wait_closed()
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*pending)


if __name__ == "__main__":
    uvloop.run(main())
