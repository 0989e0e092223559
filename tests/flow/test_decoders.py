"""Decoders that people really use have each event of a compressed stream before the next is sent.

`acknowledged.py` doesn't go on before a client has told it what it got, so a client that holds an
event back never comes to the end. Which programs are needed stands in the Makefile's TEST_PACKAGES.
"""

import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from acknowledged import FIRST_PIECES, PIECES

# Seconds for all events, with the start of a browser: only one who waits forever takes them.
PATIENCE = 60

# What a client that had everything makes the server say.
ALL_TOLD = [
    line
    for first in FIRST_PIECES
    for line in (f"stream from {first}: gzip", f"all of {len(PIECES) - first} pieces told")
]

CHROMIUM = (
    "chromium",
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

# `fetch` is what most EventSource packages read with. `gunzip` is as strict as node gets: a stream
# that is cut off is an error. With both a wrong checksum is one.
NODE = """
import http from "node:http";
import zlib from "node:zlib";
const [url, firsts, way] = process.argv.slice(1);
const ways = {
  fetch: async address => (await fetch(address)).body,
  gunzip: async address => {
    const options = {headers: {"Accept-Encoding": "gzip"}, agent: false};
    const response = await new Promise(take => http.get(address, options, take));
    return response.pipe(zlib.createGunzip());
  },
};
for (const first of JSON.parse(firsts)) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of await ways[way](`${url}/stream?first=${first}`)) {
    const blocks = (text + decoder.decode(chunk, {stream: true})).split("\\n\\n");
    text = blocks.pop();
    for (const block of blocks) {
      const body = block.split("\\n").find(line => line.startsWith("data: ")).slice(6);
      await fetch(`${url}/told`, {method: "POST", body});
    }
  }
}
"""


class Told:
    """The server, and how a client tells it what it got."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("acknowledged.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def tell(self, data: bytes) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/told", data)
        assert connection.getresponse().status == 204
        connection.close()

    def tell_each(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if line.startswith(b"data: "):
                self.tell(line[6:].rstrip(b"\n"))

    def said(self) -> list[str]:
        """Everything, when it has come to its end."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, out
        return out.splitlines()


@pytest.fixture
def told() -> Iterator[Told]:
    server = Told()
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def test_curl_has_each_event_before_the_next_is_sent(told: Told) -> None:
    for first in FIRST_PIECES:
        url = f"{told.url}/stream?first={first}"
        command = ["curl", "-sSN", "--compressed", "--max-time", str(PATIENCE), url]
        curl = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert curl.stdout is not None
        with curl.stdout:
            told.tell_each(curl.stdout)
        assert curl.wait(PATIENCE) == 0
    assert told.said() == ALL_TOLD


def test_python_has_each_event_before_the_next_is_sent_and_finds_the_end_right(told: Told) -> None:
    for first in FIRST_PIECES:
        connection = HTTPConnection("127.0.0.1", told.port, timeout=PATIENCE)
        connection.request("GET", f"/stream?first={first}", headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        rest = b""
        while received := response.read1():
            *lines, rest = (rest + decoder.decompress(received)).split(b"\n")
            told.tell_each(lines)
        connection.close()
        assert decoder.eof
        assert not decoder.unused_data
    assert told.said() == ALL_TOLD


@pytest.mark.parametrize("way", ["fetch", "gunzip"])
def test_node_has_each_event_before_the_next_is_sent_and_finds_the_end_right(
    told: Told, way: str
) -> None:
    script = ["--input-type=module", "--eval", NODE]
    command = ["node", *script, told.url, str(list(FIRST_PIECES)), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert told.said() == ALL_TOLD


def test_a_browser_has_each_event_before_the_next_is_sent(told: Told, tmp_path: Path) -> None:
    browser = subprocess.Popen([*CHROMIUM, f"--user-data-dir={tmp_path}", told.url])
    try:
        assert told.said() == ALL_TOLD
    finally:
        browser.terminate()
        browser.wait(PATIENCE)
