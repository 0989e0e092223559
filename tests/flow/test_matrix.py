"""Clients that others wrote, and ours, on the versions of Node that are in use: each reads a whole
history, one whose server is killed in the middle, and one whose server is restarted with a `bye`.

The table in docs/clients.md is what these tests measure. `WRITE_TABLE=1` rewrites it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple, Self

import pytest
from eventsource import EventSource
from held_link import HeldLink
from processes import PATIENCE, ROOT, Server, Simulator, server

pytestmark = pytest.mark.long

OTHERS = ROOT / "tests" / "others"
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
# Bytes of a history of 5 MB, 0.5 MB compressed, that a client has when its server is killed.
MIDDLE = 100_000
# Times that a client says it failed after `complete` until it is said to ask for ever.
FOR_EVER = 4
# Transactions of a wallet while its followers are away.
APPENDED = 20


class Client(NamedTuple):
    """`package`: as it is installed, `name` what it is called; `least`: the oldest Node for it;
    `loops`: the caller has to ask again; `fetches`: it reads by Node's own `fetch`."""

    package: str
    name: str
    least: int = 20
    loops: bool = False
    fetches: bool = False


ON_NODE = (
    Client("wd-client", "wd-client", fetches=True),
    Client("eventsource1", "eventsource"),
    Client("eventsource2", "eventsource"),
    Client("eventsource", "eventsource", fetches=True),
    Client("eventsource4", "eventsource", fetches=True),
    Client("eventsource5", "eventsource", least=22, fetches=True),
    Client("@microsoft/fetch-event-source", "@microsoft/fetch-event-source", fetches=True),
    Client("event-source-polyfill", "event-source-polyfill", fetches=True),
    Client("eventsource-client", "eventsource-client", fetches=True),
    Client("launchdarkly-eventsource", "launchdarkly-eventsource"),
)
IN_PYTHON = (
    Client("wd_client", "wd_client"),
    Client("httpx-sse", "httpx-sse", loops=True),
    Client("sseclient-py", "sseclient-py", loops=True),
    Client("aiohttp-sse-client", "aiohttp-sse-client", loops=True),
    Client("curl", "curl", loops=True),
)
# Their `fetch` has an assertion that nobody can catch (nodejs/undici #5360). It fails when a
# connection is cut while what came before waits to be read, so a client may die or not.
MAY_DIE = frozenset({"Node 22", "Node 24"})
RUNTIMES = ("Node 20", "Node 22", "Node 24", "Node 26", "Python")


def clients(runtime: str) -> list[Client]:
    if runtime == "Python":
        return list(IN_PYTHON)
    return [client for client in ON_NODE if client.least <= int(runtime.removeprefix("Node "))]


class Reader:
    """A running client. `told` is what it told of so far."""

    def __init__(self, client: Client, runtime: str, url: str) -> None:
        self.client = client
        self.may_die = client.fetches and runtime in MAY_DIE
        self.told: list[dict[str, Any]] = []
        self._is_over = False
        if runtime == "Python":
            program = [sys.executable, str(OTHERS / "read.py")]
        else:
            folder = OTHERS / "nodes/node_modules" / runtime.lower().replace(" ", "")
            program = [str(folder / "bin/node"), str(OTHERS / "read.mjs")]
        self.process = subprocess.Popen(
            [*program, client.package, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.told if each["event"] in ("trade", "complete")]

    @property
    def trades(self) -> list[str]:
        return [each["id"] for each in self.told if each["event"] == "trade"]

    def times(self, event: str) -> int:
        return sum(each["event"] == event for each in self.told)

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it tells from here on. One that tells nothing for long is ended."""
        assert self.process.stdout is not None
        while True:
            timer = Timer(PATIENCE, self.process.kill)
            timer.start()
            line = self.process.stdout.readline()
            timer.cancel()
            if not line:
                self._is_over = True
                return
            self.told.append(json.loads(line))
            yield self.told[-1]

    def read_until(self, event: str) -> None:
        for each in self.lines():
            if each["event"] == event:
                return

    @property
    def has_died(self) -> bool:
        """With an error that the client's user can't catch: the scripts catch all others."""
        return self._is_over and self.process.wait(PATIENCE) != 0

    def verdict(self, got: Sequence[str], whole: Sequence[str]) -> str:
        """Whether it told of everything once, in order; and what is wrong where it didn't."""
        if list(got) == list(whole):
            return "exact"
        if self.has_died:
            return "dies"
        twice = len(got) - len(set(got))
        return "some lost" if set(whole) - set(got) else "some twice" if twice else "out of order"

    def stops(self) -> bool:
        """Whether it ends by itself when it has everything."""
        failed = self.times("failed")
        for _ in self.lines():
            if self.times("failed") >= failed + FOR_EVER:
                return False
        return self.process.wait(PATIENCE) == 0


class Results(NamedTuple):
    """Columns of the table behind client and runtime."""

    killed: str
    bye: str
    stops: str
    gzip: str


@pytest.fixture(scope="module", autouse=True)
def _our_client(ts_client: Path) -> Iterator[None]:
    """Where read.mjs finds ours."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WD_CLIENT", (ts_client / "dist/index.js").as_uri())
        yield


@contextmanager
def reading(runtime: str, url: str) -> Iterator[list[Reader]]:
    """All clients of a runtime at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(Reader(client, runtime, url)) for client in clients(runtime)]


def sent(url: str) -> list[tuple[str, str]]:
    """Names and ids of what the server sends that has one."""
    with EventSource(url) as source:
        return [(event.name, event.id) for event in source if event.id]


@pytest.fixture(scope="module", autouse=True)
def installed(ts_client: Path) -> None:
    """The programs are large, so only this test installs them, when the lock is newer."""
    folder = OTHERS / "nodes"
    lock, made = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not made.exists() or made.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, timeout=10 * PATIENCE)


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], dict[str, str]]:
    """What the tests found, by client and runtime."""
    return {}


Measured = dict[tuple[str, str], dict[str, str]]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_history_whose_server_is_killed_in_the_middle(
    runtime: str, measured: Measured, chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        whole = [event_id for _, event_id in sent(started.stream(large_wallet))]
        with HeldLink(started.port, MIDDLE) as link:
            url = started.stream(large_wallet, "errors=event").replace(started.url, link.url)
            with reading(runtime, url) as readers:
                for reader in readers:
                    reader.read_until("trade")
                started.kill()
                link.release()
                started.start()
                for reader in readers:
                    reader.read_until("complete")
                    found = measured.setdefault((reader.client.package, runtime), {})
                    result = reader.verdict(reader.ids, whole)
                    if reader.may_die and result in ("exact", "dies"):
                        result = "exact, or Node dies"
                    found["killed"] = result
                    assert reader.times("failed") or reader.has_died, reader.client


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_server_that_is_restarted_says_bye(
    runtime: str, measured: Measured, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url, DRAIN_SECONDS=2, POLL_SECONDS=1) as started:
        sent(started.stream(wallet))
        with reading(runtime, started.stream(wallet, "follow=true")) as readers:
            for reader in readers:
                reader.read_until("complete")
            assert started.stop() == 0
            chain.append(wallet, APPENDED)
            started.start()
            whole = [each for name, each in sent(started.stream(wallet)) if name == "trade"]
            for reader in readers:
                if reader.trades != whole:
                    _read_trades(reader, len(whole))
                found = measured.setdefault((reader.client.package, runtime), {})
                found["bye"] = reader.verdict(reader.trades, whole)


def _read_trades(reader: Reader, count: int) -> None:
    for _ in reader.lines():
        if len(reader.trades) >= count:
            return


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_whole_history_compressed_and_what_a_client_does_when_it_has_everything(
    runtime: str, measured: Measured, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path / "data", chain.url) as started:
        whole = [event_id for _, event_id in sent(started.stream(wallet))]
        plain = _bytes_of(started, lambda: sent(started.stream(wallet)))
        for client in clients(runtime):
            with Reader(client, runtime, started.stream(wallet)) as reader:
                size = _bytes_of(started, lambda: reader.read_until("complete"))
                found = measured.setdefault((client.package, runtime), {})
                found["gzip"] = "yes" if size < plain / 2 else "no"
                stops = "your loop" if client.loops else "yes" if reader.stops() else "no"
                found["stops"] = stops
            assert reader.verdict(reader.ids, whole) == "exact", client


def _bytes_of(started: Server, run: Any) -> float:
    before = started.metrics()["bytes_sent"]
    run()
    return started.metrics()["bytes_sent"] - before


def _version(client: Client) -> str:
    """Of the package that was tried; of ours and of Debian's curl none."""
    if client in IN_PYTHON:
        lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
        versions = dict(line.split("==") for line in lines if "==" in line)
        return versions.get(client.package, "")
    lock = json.loads((OTHERS / "package-lock.json").read_text())
    version: str = lock["packages"].get(f"node_modules/{client.package}", {}).get("version", "")
    return version


def _table(measured: Measured) -> str:
    """Runtimes on which a client does the same share a row."""
    rows: dict[tuple[Client, Results], list[str]] = {}
    for runtime in RUNTIMES:
        for client in clients(runtime):
            results = Results(**measured[client.package, runtime])
            rows.setdefault((client, results), []).append(runtime)
    lines = [
        "| client | on | server killed | `bye` | stops when it has everything | gzip |",
        "|---|---|---|---|---|---|",
    ]
    order = (*ON_NODE, *IN_PYTHON)
    for (client, results), runtimes in sorted(rows.items(), key=lambda row: order.index(row[0][0])):
        name = f"`{client.name}` {_version(client)}".strip()
        on = ", ".join(runtimes).replace(", Node", ",")
        lines.append(f"| {name} | {on} | {' | '.join(results)} |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_documentation_is_what_was_measured(measured: Measured) -> None:
    if len(measured) != sum(len(clients(runtime)) for runtime in RUNTIMES):
        pytest.fail("the table needs all tests of this file: run them together")
    table = _table(measured)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("WRITE_TABLE"):
        PAGE.write_text(before + BEGIN + table + END + after)
        return
    assert shown == table, "WRITE_TABLE=1 make test-long ARGS=tests/flow/test_matrix.py rewrites it"
