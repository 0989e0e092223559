"""bin/wd-sim: what it prints, how it ends, what it refuses."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wd_tools.simulator.cli import main

ROOT = Path(__file__).parents[4]


@contextmanager
def simulator(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, ROOT / "bin" / "wd-sim", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(url: str) -> dict[str, object]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getHealth"}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as reply:
        result: dict[str, object] = json.load(reply)
        return result


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_ends_cleanly(number: signal.Signals) -> None:
    with simulator("--wallets", "3x2") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        sizes = [line.split()[0] for line in lines[:7]]
        assert sizes == ["0", "1", "200", "5,000", "20,000", "3", "3"]
        ready, url = lines[7].split()
        assert ready == "ready"
        assert answer(url)["result"] == "ok"
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_json_is_one_line_with_url_and_wallets() -> None:
    with simulator("--json", "--only", "--wallets", "5", "--warm") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert [wallet["size"] for wallet in told["wallets"]] == [5]
        assert answer(told["url"])["result"] == "ok"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--wallets", "many"],
        ["--fault", "{"],
        ["--fault", '{"kind":"flood"}'],
        ["--plan", "gold"],
        ["--end-time", "soon"],
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
