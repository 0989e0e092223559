"""What health says while a dependency is away, and when it is back."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError

import pytest
from eventsource import EventSource
from processes import PATIENCE, Server, server, simulator

from wd_server.disk import PROBE_SECONDS


@pytest.mark.parametrize("kind", ["quota", "bad_key"])
def test_an_upstream_that_refuses_degrades_health_until_it_answers_again(
    kind: str, tmp_path: Path
) -> None:
    with (
        simulator("--only", "--wallets", "5") as chain,
        server(tmp_path, chain.url) as srv,
    ):
        assert srv.get("/health")["dependencies"]["helius"] == "configured"
        chain.call("simFault", {"kind": kind})
        with EventSource(f"{srv.url}/v4/wallet/{chain.wallet(5)}/stream") as source:
            source.until("error")
        health = srv.get("/health")
        assert (health["status"], health["dependencies"]["helius"]) == ("degraded", "unavailable")
        if kind == "bad_key":
            chain.call("simReset")
            with EventSource(f"{srv.url}/v4/wallet/{chain.wallet(5)}/stream") as source:
                source.until("complete")
            assert srv.get("/health")["status"] == "healthy"


def test_a_wallet_larger_than_allowed_is_read_from_its_newest_and_says_so(tmp_path: Path) -> None:
    with (
        simulator("--only", "--wallets", "300") as chain,
        server(tmp_path / "whole", chain.url) as whole,
        server(tmp_path / "cut", chain.url, MAX_WALLET_SIZE=100) as cut,
    ):
        path = f"/v4/wallet/{chain.wallet(300)}/stream"
        with EventSource(whole.url + path) as source:
            everything = source.until("complete")
        with EventSource(cut.url + path) as source:
            newest = source.until("complete")
        assert everything[-1].data["truncated"] is False
        assert newest[-1].data["truncated"] is True
        assert newest[-1].data["metrics"]["transactions"] == 100
        signatures = [
            [event.data["signature"] for event in events if event.name == "trade"]
            for events in (everything, newest)
        ]
        assert 0 < len(signatures[1]) < len(signatures[0])
        assert signatures[0][-len(signatures[1]) :] == signatures[1]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def take_all(disk: Path, room: int = 0) -> None:
    """Leave so many bytes free. The server writes there at the same time."""
    facts = os.statvfs(disk)
    with (disk / "filler").open("ab", buffering=0) as file, suppress(OSError):
        file.write(bytes(max(facts.f_bavail * facts.f_frsize - room, 0)))


def wait_for_status(srv: Server, *expected: str) -> dict[str, Any]:
    """The health document once it says so. Nothing tells of that, so this asks again."""
    deadline = monotonic() + 3 * PROBE_SECONDS + PATIENCE
    while (health := document(srv))["status"] not in expected:
        assert monotonic() < deadline, health
        sleep(0.05)
    return health


def document(srv: Server) -> dict[str, Any]:
    try:
        found: dict[str, Any] = srv.get("/health")
    except HTTPError as error:
        found = json.load(error)
    return found


@pytest.mark.parametrize("room", [0, 300_000], ids=["full", "nearly full"])
def test_health_follows_what_the_disk_really_takes(tmp_path: Path, room: int) -> None:
    """With the first wallet's append it is known; a smaller write that succeeds says nothing."""
    with (
        simulator("--only", "--wallets", "2000", "--wallets", "5") as chain,
        small_disk(tmp_path) as disk,
        server(disk, chain.url) as srv,
    ):
        take_all(disk, room)
        with EventSource(srv.stream(chain.wallet(2000))) as source:
            source.until("error")
        health = wait_for_status(srv, "unhealthy")
        assert health["stores"]["failing"]
        for _ in range(100):  # it stays so, whatever else is written
            assert document(srv)["status"] == "unhealthy"
            sleep(PROBE_SECONDS / 50)
        (disk / "filler").unlink()
        assert wait_for_status(srv, "healthy")["stores"]["failing"] == []
        with EventSource(srv.stream(chain.wallet(5))) as source:
            source.until("complete")


def test_a_full_disk_is_found_while_nothing_else_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk, server(disk, None) as srv:
        assert document(srv)["stores"]["failing"] == []
        deadline = monotonic() + 3 * PROBE_SECONDS + PATIENCE
        while document(srv)["status"] != "unhealthy":
            take_all(disk)  # again, since what a probe wrote is free after it
            assert monotonic() < deadline
        assert document(srv)["stores"]["failing"] == ["disk"]
        (disk / "filler").unlink()
        wait_for_status(srv, "degraded")  # it has no upstream
