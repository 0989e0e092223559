"""The servers that are measured: wd-server, its rivals, and the floor.

Each runs on SERVER_CORE, serves its stream of events and publishes when told.
"""

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import machine
from bench.rivals import nchan, wd
from bench.row import Row
from tests.processes import ROOT, free_port

_STREAM = f"/v4/wallet/{wd.WALLET}/stream?follow=true"


class Contender(ABC):
    """`path` is where its stream is, `port` where it listens on 127.0.0.1; `headers` are those a
    client needs to be let in."""

    def __init__(self, name: str, process: subprocess.Popen[str], port: int, path: str) -> None:
        self.name = name
        self.port = port
        self.path = path
        self.headers: Mapping[str, str] = {}
        self._process = process

    def cpu(self) -> machine.Cpu:
        return machine.cpu(machine.family(self._process.pid))

    def resident(self) -> int:
        return machine.resident(machine.family(self._process.pid))

    @abstractmethod
    def publish(self, seconds: float, burst: int = 1) -> int:
        """Publish to all readers for so long, `burst` events at a time and the next as soon as
        those before are written (0 seconds: once). Returns how many were published."""


class PythonContender(Contender):
    def publish(self, seconds: float, burst: int = 1) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds} {burst}\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["events"])


class Nchan(Contender):
    def publish(self, seconds: float, burst: int = 1) -> int:
        assert burst == 1, "nchan takes one event a post"
        return nchan.publish(self.port, seconds)


class Kind(NamedTuple):
    """One of the servers. `missing` names what would have to be installed, or is empty;
    `versions` says what is measured."""

    name: str
    start: Callable[[], AbstractContextManager[Contender]]
    missing: Callable[[], str]
    versions: Callable[[], str]


@contextmanager
def _python(name: str, module: str, path: str, environ: Mapping[str, str]) -> Iterator[Contender]:
    with TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        process = machine.spawn(
            [sys.executable, "-m", module],
            machine.SERVER_CORE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PATH": os.environ["PATH"], "DATA_DIR": folder, **environ},
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready, f"{module} didn't start: {Path(log.name).read_text()}"
            yield PythonContender(name, process, json.loads(ready)["port"], path)
        finally:
            process.kill()
            process.communicate()


def new_key(environ: Mapping[str, str]) -> str:
    """An API key for a server with these settings."""
    made = subprocess.run(
        [sys.executable, ROOT / "bin/wd-keys", "create", "--name", "bench", "--json"],
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.PIPE,
        check=True,
    )
    key: str = json.loads(made.stdout)["key"]
    return key


@contextmanager
def _wd_server() -> Iterator[Contender]:
    """Nobody without a key is let in; `headers` have one."""
    with TemporaryDirectory() as folder:
        environ = {**_WD_ENVIRONMENT, "DATA_DIR": folder}
        key = new_key(environ)
        with _python("wd-server", "bench.rivals.wd", _STREAM, environ) as server:
            server.headers = {"X-API-Key": key}
            yield server


@contextmanager
def _nchan() -> Iterator[Contender]:
    port = free_port()
    with TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        command = nchan.command(Path(folder), port)
        process = machine.spawn(command, machine.SERVER_CORE, stderr=log)
        try:
            nchan.wait_until_it_listens(port)
            yield Nchan(NCHAN.name, process, port, "/")
        finally:
            process.terminate()  # the worker goes with its master
            process.communicate()


def _packages(*names: str) -> Callable[[], str]:
    def missing() -> str:
        return ", ".join(name for name in names if not _version(name))

    return missing


def _versions(*names: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# Limits a key or address would stop so many clients of one machine.
_WD_ENVIRONMENT = {
    "PORT": "0",
    "PRICE_SOURCE": "none",
    "RATE_LIMIT_REQUESTS": "0",
    "RATE_LIMIT_WALLETS": "0",
    "RATE_LIMIT_STREAMING_CONNECTIONS": "0",
    "API_KEY_REQUIRED": "true",
    "LOG_FORMAT": "json",
}

WD = Kind(
    "wd-server",
    _wd_server,
    _packages(),
    _versions("wd-server"),
)
FLOOR = Kind(
    "floor",
    lambda: _python("floor", "bench.rivals.floor", "/", {}),
    _packages(),
    _versions("uvloop"),
)
TORNADO = Kind(
    "plain Tornado",
    lambda: _python("plain Tornado", "bench.rivals.plain_tornado", "/", {}),
    _packages(),
    _versions("tornado"),
)
STARLETTE = Kind(
    "sse-starlette",
    lambda: _python("sse-starlette", "bench.rivals.starlette_sse", "/", {}),
    _packages("sse-starlette", "uvicorn", "httptools"),
    _versions("sse-starlette", "uvicorn", "httptools"),
)
NCHAN = Kind(
    "nchan",
    _nchan,
    lambda: "" if nchan.module() else "libnginx-mod-nchan (Debian)",
    nchan.version,
)
# In the order of the results.
ALL = (WD, FLOOR, NCHAN, STARLETTE, TORNADO)


def absent(what: str, kinds: Iterable[Kind] = ALL) -> list[Row]:
    """A row for each that can't be measured here."""
    return [
        Row(f"{what}: {kind.name}", f"absent: not installed: {kind.missing()}")
        for kind in kinds
        if kind.missing()
    ]
