"""What a new user does: start the demo, open a wallet it prints, stop it, and again."""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from demo import demo
from eventsource import EventSource
from processes import PATIENCE, ROOT


def simulators_of(process: subprocess.Popen[str]) -> list[Path]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path(f"/proc/{child}") for child in children]


def test_the_printed_command_shows_trades_in_dollars_and_ctrl_c_ends_everything() -> None:
    with demo() as (process, printed):
        (address,) = set(re.findall(r"curl -N '?(http://\S+/stream)", printed))
        with EventSource(address) as source:
            events = source.until("complete")
        trades = [event.data for event in events if event.name == "trade"]
        assert len(trades) > 100
        assert any(trade["priced"] and trade["pnl_usd"] for trade in trades)
        children = simulators_of(process)
        assert len(children) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert not children[0].exists()


def test_it_greets_with_its_page_three_wallets_and_a_line_for_each_tool() -> None:
    with demo() as (_, printed):
        (page,) = set(re.findall(r"Open (\S+) ", printed))
        wallets = re.findall(r"(?m)^  (\w{32,44})  [\d,]+ transactions$", printed)
        lines = re.findall(r"(?m)^  ((?:curl|bin/wd-\w+) .*)$", printed)
        with urlopen(page, timeout=PATIENCE) as answer:
            assert answer.status == 200
        assert len(set(wallets)) == 3
        assert [line.split()[0] for line in lines] == ["curl", "bin/wd-watch", "bin/wd-load"]
        for line in (lines[1].replace("--follow", ""), lines[2]):
            done = subprocess.run(
                [sys.executable, *shlex.split(line)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=2 * PATIENCE,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout


def test_a_demo_that_is_killed_takes_its_simulator_with_it() -> None:
    with demo() as (process, _):
        (child,) = simulators_of(process)
        simulator = os.pidfd_open(int(child.name))
        process.kill()
        ended, _, _ = select.select([simulator], [], [], PATIENCE)
        os.close(simulator)
        assert ended


def test_a_folder_that_is_named_keeps_the_demos_journal(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        with demo("--data-dir", str(tmp_path)) as (process, printed):
            (address,) = set(re.findall(r"curl -N '?(http://\S+/stream)", printed))
            with EventSource(address) as source:
                first = next(event for event in source if event.name == "trade")
            ids.append(first.id)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
    assert ids[0] == ids[1]


def test_keys_that_are_made_for_the_folder_it_is_given_are_the_demos(tmp_path: Path) -> None:
    """By bin/wd-keys with the same environment."""
    environ = {"DATA_DIR": str(tmp_path / "data"), "API_KEY_REQUIRED": "true"}
    with demo(**environ) as (_, printed):
        assert f"Journals and keys stay in {environ['DATA_DIR']}" in printed
        make = [sys.executable, ROOT / "bin/wd-keys", "create", "--name", "test", "--json"]
        made = subprocess.run(make, env=environ, capture_output=True, check=True, timeout=PATIENCE)
        (page,) = set(re.findall(r"Open (\S+) ", printed))
        headers = {"X-API-Key": json.loads(made.stdout)["key"]}
        with urlopen(Request(f"{page}v4/streams", headers=headers), timeout=PATIENCE) as answer:
            assert answer.status == 200
    kept = list((tmp_path / "data").rglob("*"))
    assert {"journal.db", "access.db", "secret-key"} <= {path.name for path in kept}
    assert not [path for path in (tmp_path / "data", *kept) if path.stat().st_mode & 0o077]


def test_without_a_folder_it_says_that_nothing_stays() -> None:
    with demo(DATA_DIR=" ") as (_, printed):
        assert "Journals and keys are gone at the end" in printed
