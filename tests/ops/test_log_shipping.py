"""The log on its way to another machine: a real rsyslog with the file of conf/."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventsource import EventSource
from processes import PATIENCE, ROOT, free_port, server, simulator
from program import Program, running, substitute

# What Debian's own rsyslog.conf has around it, as far as the file needs that.
AROUND = """
global(workDirectory="{folder}/spool" maxMessageSize="64k")
module(load="imuxsock" sysSock.name="{folder}/log" sysSock.usePIDFromSystem="off")
include(file="{folder}/wd-server.conf")
*.* action(type="omfile" file="{folder}/rest")
"""


class Shipper(Program):
    """Reads `log`. `port` is where it sends to; `socket` where programs and journald write to."""

    def __init__(self, folder: Path, log: Path) -> None:
        folder.mkdir()
        super().__init__(folder / "said")
        self.port = free_port()
        self.socket = folder / "log"
        (folder / "spool").mkdir()
        ours = folder / "wd-server.conf"
        shutil.copy(ROOT / "conf/rsyslog/wd-server.conf", ours)
        place = {
            "/opt/wd-server/log/wd-server.log": str(log),
            'logs.example" port="5140': f'127.0.0.1" port="{self.port}',
            'resumeInterval="5"': 'resumeInterval="1"',
        }
        substitute(ours, place)
        around = folder / "rsyslog.conf"
        around.write_text(AROUND.format(folder=folder))
        self.command = ["rsyslogd", "-n", "-f", str(around), "-i", str(folder / "pid")]

    def is_ready(self) -> bool:
        return self.socket.exists()

    def log(self, tag: str, text: str) -> None:
        """As a program does, or journald for it."""
        command = [
            "logger",
            "--socket",
            str(self.socket),
            "--tag",
            tag,
            "--size",
            "60K",
            "--",
            text,
        ]
        subprocess.run(command, check=True, timeout=PATIENCE)


@contextmanager
def receiver(port: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The other machine, and the lines that come there, on however many connections."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.settimeout(PATIENCE)
        yield _lines(listening)


def _lines(listening: socket.socket) -> Iterator[dict[str, Any]]:
    while True:
        connection, _ = listening.accept()
        connection.settimeout(PATIENCE)
        with connection, connection.makefile() as lines:
            yield from map(json.loads, lines)


def test_the_servers_log_arrives_whole_and_in_order_after_the_receiver_was_away(
    tmp_path: Path,
) -> None:
    with (
        simulator("--only", "--wallets=30") as chain,
        server(tmp_path / "served", chain.url) as srv,
        running(Shipper(tmp_path / "shipper", srv.log)) as shipper,
    ):
        with EventSource(srv.stream(chain.wallet(30))) as stream:
            stream.until("complete")
        shipper.wait_until(lambda: "Connection refused" in shipper.said())
        srv.stop()
        logged = srv.logged_lines()
        with receiver(shipper.port) as lines:
            arrived = [next(lines) for _ in logged]
    assert {each.pop("hostname") for each in arrived} == {socket.gethostname().partition(".")[0]}
    assert {each.pop("program") for each in arrived} == {"wd-server"}
    assert arrived == logged
    assert {"listening", "wallet read", "stream closed", "stopped"} <= {
        each["event"] for each in arrived
    }


def test_what_the_journal_hands_on_arrives_too_and_other_programs_logs_stay_where_they_are(
    tmp_path: Path,
) -> None:
    line = {"timestamp": "2026-01-01T00:00:00Z", "level": "info", "event": "x" * 30_000, "n": 1}
    with running(Shipper(tmp_path / "shipper", tmp_path / "none.log")) as shipper:
        with receiver(shipper.port) as lines:
            shipper.log("other", "not ours")
            shipper.log("wd-server", json.dumps(line))
            shipper.log("wd-server", "Traceback (most recent call last):")
            whole, text = next(lines), next(lines)
        assert {**line, **whole} == whole
        assert (text["level"], text["event"]) == ("error", "Traceback (most recent call last):")
        shipper.wait_until((tmp_path / "shipper/rest").exists)
    rest = (tmp_path / "shipper/rest").read_text()
    assert "not ours" in rest
    assert "Traceback" not in rest
