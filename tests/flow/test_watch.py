"""`bin/wd-watch` against the real server: for people, for pipes, and how it ends."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource
from processes import PATIENCE, ROOT, Server, Simulator, server
from scripted_server import ScriptedServer
from slow_link import SlowLink

COMMAND = [sys.executable, str(ROOT / "bin/wd-watch")]
KEY = "wd_0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("watch"), chain.url) as started:
        yield started


def watch(url: str, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """What it writes to standard output and error; it has to end with this exit code."""
    done = subprocess.run(
        [*COMMAND, "--url", url, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def started(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "--url", url, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sent(served: Server, wallet: str) -> list[Any]:
    with EventSource(served.stream(wallet)) as source:
        return list(source)


def test_json_is_every_event_with_the_data_that_was_sent(served: Server, wallet: str) -> None:
    out, error = watch(served.url, wallet, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    events = [event for event in sent(served, wallet) if event.id]
    assert [line for line in lines if "id" in line] == [
        {
            "event": event.name,
            "id": event.id,
            **({"verified": True} if event.name == "complete" else {}),
            "data": event.data,
        }
        for event in events
    ]
    assert lines[0]["event"] == "connected"
    assert not error


def test_csv_has_a_row_for_every_trade(served: Server, wallet: str) -> None:
    out, _ = watch(served.url, wallet, "--csv")
    rows = list(csv.DictReader(io.StringIO(out), strict=True))
    trades = [event.data for event in sent(served, wallet) if event.name == "trade"]
    assert [row["signature"] for row in rows] == [trade["signature"] for trade in trades]
    assert [float(row["pnl_sol"] or "nan") for row in rows] == pytest.approx(
        [float("nan") if trade["pnl_sol"] is None else trade["pnl_sol"] for trade in trades],
        nan_ok=True,
    )


def test_a_history_that_a_proxy_alters_is_an_error_that_says_what_to_do(
    served: Server, wallet: str
) -> None:
    (complete,) = [event for event in sent(served, wallet) if event.name == "complete"]
    forged = json.dumps({**complete.data, "digest": "00" * 32}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    answer = head + b"event: complete\ndata: %b\nid: 7-1\n\n" % forged
    with ScriptedServer([answer, answer], stays=False) as scripted:
        out, error = watch(scripted.url, wallet, code=1)
    assert "What came was not what the server proves" in out
    assert re.search(r"wd-watch: The history .* not the one that the server proves: .*anew", error)


def test_a_later_pass_goes_on_after_the_id_of_an_earlier_one(served: Server, wallet: str) -> None:
    ids = [event.id for event in sent(served, wallet) if event.id]
    out, _ = watch(served.url, wallet, "--json", "--last-event-id", ids[4])
    found = [json.loads(line).get("id") for line in out.splitlines()]
    assert [each for each in found if each] == ids[5:]


def test_in_a_pipe_it_is_lines_without_colour(served: Server, wallet: str) -> None:
    out, _ = watch(served.url, wallet)
    assert "\x1b" not in out
    assert "realized P&L" in out
    trades = [event for event in sent(served, wallet) if event.name == "trade"]
    assert sum(" -> " in line for line in out.splitlines()) == len(trades)


class Terminal:
    """`bin/wd-watch` in a terminal. `sent` is what that was sent so far."""

    def __init__(
        self, url: str, wallet: str, kind: str, *, columns: int = 100, **environment: str
    ) -> None:
        self._ours, theirs = pty.openpty()
        size = {"TERM": kind, "COLUMNS": str(columns), "LINES": "24"}
        self.process = subprocess.Popen(
            [*COMMAND, "--url", url, wallet],
            env={"PATH": os.environ["PATH"], **size, **environment},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.sent = ""

    def read_until(self, *texts: str) -> None:
        while not all(text in self.sent for text in texts):
            assert self._read(), self.sent

    def read_to_the_end(self) -> str:
        while self._read():
            pass
        os.close(self._ours)
        assert self.process.wait(PATIENCE) == 0
        return self.sent

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        assert ready, self.sent
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # Linux's end of a terminal
            return False
        self.sent += piece.decode(errors="replace")
        return bool(piece)


def in_terminal(url: str, wallet: str, kind: str, **environment: str) -> str:
    """What a terminal of this kind is sent until the end."""
    return Terminal(url, wallet, kind, **environment).read_to_the_end()


def test_in_a_terminal_it_ends_with_the_table_and_the_totals(served: Server, wallet: str) -> None:
    text = in_terminal(served.url, wallet, "xterm-256color")
    assert "\x1b[" in text
    for part in ("complete, verified", wallet, "P&L SOL", "realized P&L", "open positions"):
        assert part in text


def test_without_colour_signs_and_words_say_it(served: Server, large_wallet: str) -> None:
    coloured = in_terminal(served.url, large_wallet, "xterm-256color")
    plain = in_terminal(served.url, large_wallet, "xterm-256color", NO_COLOR="1")
    colour = re.compile(r"\x1b\[[\d;]*\b(3[0-8]|9[0-7])\b[\d;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)
    assert re.search(r"\+\d", plain)
    assert re.search(r" -\d", plain)
    assert "● " in plain


def test_on_a_slow_link_what_has_come_is_shown_while_the_rest_is_on_its_way(
    served: Server, wallet: str
) -> None:
    with SlowLink(served.port) as link:
        terminal = Terminal(link.url, wallet, "xterm-256color", columns=60)
        terminal.read_until("connecting")
        # Head, `connected`, progress and some trades, the last of them torn apart.
        link.let_by(8_000)
        terminal.read_until("reading the history", "sell")
        assert "realized P&L" not in terminal.sent
        link.let_by(float("inf"))
        assert "realized P&L" in terminal.read_to_the_end()


def test_a_slow_link_changes_nothing_of_what_is_written(served: Server, wallet: str) -> None:
    direct, _ = watch(served.url, wallet, "--csv")
    with SlowLink(served.port) as link:
        link.let_by(float("inf"))
        assert watch(link.url, wallet, "--csv") == (direct, "")


def test_a_terminal_that_can_do_nothing_gets_lines(served: Server, wallet: str) -> None:
    text = in_terminal(served.url, wallet, "dumb")
    assert "\x1b" not in text
    assert " -> " in text
    assert "realized P&L" in text


def test_a_server_that_is_killed_and_started_again_is_picked_up_where_it_was(
    chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started_server:
        ids = [event.id for event in sent(started_server, large_wallet) if event.id]
        process = started(started_server.url, large_wallet, "--json")
        assert process.stdout is not None
        found: list[dict[str, Any]] = []
        for line in process.stdout:
            found.append(json.loads(line))
            if len(found) == 500:
                started_server.kill()
            if found[-1]["event"] == "away" and started_server.process.poll() is not None:  # type: ignore[union-attr]
                started_server.start()
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, error
    assert "away" in {each["event"] for each in found}
    assert [each["id"] for each in found if "id" in each] == ids


# How it ends.


def test_a_wallet_that_is_none_is_refused_with_the_reason(served: Server) -> None:
    out, error = watch(served.url, "nobody", code=1)
    assert "INVALID_WALLET" in error
    assert not out


def test_keys_come_by_file_and_environment_and_a_wrong_one_is_refused(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url, API_KEY_REQUIRED="true") as guarded:
        key = guarded.key()
        keys = tmp_path / "key"
        keys.write_text(f"{key}\n")
        watch(guarded.url, wallet, "--json", "--key-file", str(keys))
        watch(guarded.url, wallet, "--json", WD_KEY=key)
        _, error = watch(guarded.url, wallet, code=1)
        assert "AUTH_REQUIRED" in error
        _, error = watch(guarded.url, wallet, "--key", KEY, code=1)
        assert "INVALID_KEY" in error
        assert KEY not in error


def test_a_server_that_is_not_there_is_given_up_when_patience_ends(wallet: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    _, error = watch(url, wallet, "--patience", "0", code=3)
    assert "can't be reached" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("ftp://x", []),
        ("http://x", ["--json", "--csv"]),
        ("http://x", ["--patience", "long"]),
        ("http://x", ["--key-file", "nowhere/at/all"]),
        ("http://127.0.0.1:1", ["--key", "a b"]),
    ],
)
def test_a_wrong_argument_is_said_so(url: str, arguments: list[str]) -> None:
    _, error = watch(url, "wallet", *arguments, code=2)
    assert error.startswith("usage:")


@pytest.mark.parametrize(("until", "code"), [("connected", 130), ("complete", 0)])
def test_ctrl_c_ends_it_and_says_whether_the_history_was_complete(
    served: Server, large_wallet: str, until: str, code: int
) -> None:
    process = started(served.url, large_wallet, "--json", "--follow")
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != until:
        pass
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=PATIENCE)
    assert not error
    assert process.returncode == code


def test_who_reads_only_the_first_lines_sees_no_complaint(
    served: Server, large_wallet: str
) -> None:
    process = started(served.url, large_wallet, "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE) == 0
    process.stderr.close()
