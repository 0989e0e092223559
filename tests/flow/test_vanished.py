"""A client whose network falls silent: no FIN, no RST, nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from processes import PATIENCE, ROOT, Simulator, server

# What the contract allows, in seconds.
FOUND_SECONDS = 90
# Of the range for measurements within a closed network (RFC 2544).
SERVER, CLIENT = "198.18.77.1", "198.18.77.2"

# Reads a stream to its first `complete`, says so, and keeps the socket open.
CLIENT_CODE = """
import sys
sys.path.insert(0, "tests")
from eventsource import EventSource
stream = EventSource(sys.argv[1])
stream.until("complete")
print("complete", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_network() -> Iterator[str]:
    """The name of a network namespace that is linked with this one."""
    name = f"wd{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", name)
        _ip("address", "add", f"{SERVER}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "address", "add", f"{CLIENT}/30", "dev", "uplink")
        _ip("-n", name, "link", "set", "uplink", "up")
        yield name
    finally:
        _ip("netns", "delete", name)


@contextmanager
def client_of(network: str, url: str) -> Iterator[Callable[[], None]]:
    """A client over there that follows a stream. Gives what makes its network drop everything it
    sends from then on."""
    command = ["ip", "netns", "exec", network, sys.executable, "-c", CLIENT_CODE, url]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "complete\n"
        yield lambda: _ip("-n", network, "route", "add", "blackhole", f"{SERVER}/32")
        client.kill()


def test_a_client_that_vanishes_is_found_within_ninety_seconds(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network to fall silent takes root and iproute2")
    with (
        server(tmp_path, chain.url, HOST="0.0.0.0", SSE_KEEPALIVE_INTERVAL=1) as started,
        another_network() as network,
    ):
        url = started.stream(wallet, "follow=true").replace("127.0.0.1", SERVER)
        with client_of(network, url) as vanish:
            assert started.metrics()["active_streams"] == 1
            vanish()
            vanished = monotonic()
            started.wait_for("active_streams", 0, FOUND_SECONDS + PATIENCE)
            found = monotonic() - vanished
        print(f"found after {found:.0f} s")
        assert found < FOUND_SECONDS
        (line,) = started.logged("stream closed")
        assert line["reason"] == "client_gone"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=PATIENCE)
