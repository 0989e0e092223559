"""Backup and restore of the embedded store, by the very commands of docs/operations.md."""

import os
import re
import subprocess
from pathlib import Path

from eventsource import EventSource
from processes import ROOT, server, simulator

SIZE = 200
SECONDS = 60


def _documented(name: str) -> str:
    page = (ROOT / "docs/operations.md").read_text()
    found = re.search(rf"<!-- shown: {name}, .*? -->\n```console\n(.*?)\n```", page, re.DOTALL)
    assert found is not None
    return found[1]


def _run(script: str, **env: str | Path) -> None:
    done = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in env.items()}},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_restored_store_goes_on_where_the_backup_was(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    with (
        simulator("--only", "--wallets", str(SIZE)) as chain,
        server(data, chain.url, API_KEY_REQUIRED="true") as started,
    ):
        (wallet, _), key = chain.wallets[0], started.key()
        headers = {"Authorization": f"Bearer {key}"}
        with EventSource(started.stream(wallet, "follow=true"), headers) as stream:
            history = stream.until("complete")
            # While it is open, and in use.
            backup.mkdir(mode=0o700)
        _run(_documented("backup"), DATA=data, TO=backup)
        position = str([event.id for event in history if event.id][-1])
        assert {file.name for file in backup.iterdir()} == {"journal.db", "access.db", "secret-key"}
        assert all(file.stat().st_mode & 0o077 == 0 for file in [backup, *backup.iterdir()])
        started.key()  # made after the backup
        started.kill()

        for file in data.iterdir():
            if file.is_file() and not file.name.endswith((".log", ".lock")):
                file.write_bytes(b"lost")
        _run(_documented("restore"), DATA=data, FROM=backup)
        started.start()
        new = chain.append(wallet, 3)
        assert [each["state"] for each in started.keys("list")] == ["live"]
        with EventSource(
            started.stream(wallet, "follow=true"), headers | {"Last-Event-ID": position}
        ) as stream:
            resumed = stream.until("connected")[0]
            assert resumed.data["resumed"] is True
            trades = [event for _ in new for event in stream.until("trade")]
        assert [e.data["signature"] for e in trades if e.name == "trade"] == new
        assert "gap" not in {event.name for event in trades}
