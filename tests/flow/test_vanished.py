"""A client whose network falls silent: no FIN, no RST, nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from network import Network, another_network
from processes import PATIENCE, ROOT, Simulator, server

# What the contract allows, in seconds.
FOUND_SECONDS = 90

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
def client_of(network: Network, url: str) -> Iterator[Callable[[], None]]:
    """A client over there that follows a stream. Gives what makes its network drop everything it
    sends from then on."""
    command = ["ip", "netns", "exec", network.name, sys.executable, "-c", CLIENT_CODE, url]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "complete\n"
        yield network.links[0].cut
        client.kill()


def test_a_client_that_vanishes_is_found_within_ninety_seconds(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with (
        server(tmp_path, chain.url, host="0.0.0.0", SSE_KEEPALIVE_INTERVAL=1) as started,
        another_network() as network,
    ):
        url = started.stream(wallet, "follow=true").replace("0.0.0.0", network.links[0].near)
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
