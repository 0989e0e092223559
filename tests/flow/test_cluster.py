"""What a developer does who wants several servers: start them, follow a wallet, stop them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster import NotStarted, cluster
from tests.eventsource import EventSource
from tests.processes import PATIENCE, ROOT, Simulator
from tests.redis_server import redis_server


@contextmanager
def recipe(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, when it has said all, and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(("arguments", "redises"), [((), 1), (("--redis-cluster",), 6)])
def test_it_serves_the_wallets_it_names_and_a_ctrl_c_leaves_nothing(
    arguments: tuple[str, ...], redises: int
) -> None:
    with recipe(*arguments) as (process, said):
        addresses = re.findall(r"curl -N '(http\S+)'", said)
        assert len(addresses) == 3
        for address in addresses[:2]:
            with EventSource(address) as stream:
                assert stream.until("complete")[-1].data["trades_found"] > 0
        started = psutil.Process(process.pid).children(recursive=True)
        folders = {str(Path(found).parents[1]) for found in re.findall(r"log: (\S+)", said)}
        # A chain, three nodes, nginx.
        assert len(started) == redises + 5
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert not [each for each in started if each.is_running()]
        assert not [folder for folder in folders if os.path.exists(folder)]


def test_it_says_when_a_node_has_ended_and_goes_on() -> None:
    with recipe() as (process, said):
        nodes = [
            each
            for each in psutil.Process(process.pid).children()
            if any("wd-server" in word for word in each.cmdline())
        ]
        nodes[1].kill()
        assert process.stdout is not None
        assert process.stdout.readline().startswith("node 2 has ended; its log: ")
        with EventSource(re.findall(r"curl -N '(http\S+)'", said)[0]) as stream:
            stream.until("complete")


def test_what_does_not_start_is_named_with_the_end_of_its_log(
    chain: Simulator, tmp_path: Path
) -> None:
    with (
        redis_server() as redis,
        pytest.raises(NotStarted, match=r"^node 1 did not start\.[^$]*POLL_SECONDS"),
        cluster(tmp_path, redis.url.reveal(), chain.url, POLL_SECONDS=0),
    ):
        pass


def test_a_program_that_is_missing_is_named() -> None:
    environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Redis did not start: ")
    assert "redis-server" in done.stderr
