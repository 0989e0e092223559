"""Clients that check what they get, event by event: `bin/wd-load`."""

import json
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

import msgspec
import psutil

from bench import machine
from tests.processes import ROOT
from wd_tools.load.report import Report

# Seconds for it to end and report when told to.
PATIENCE = 120


class Checkers:
    """`streams` clients of one wallet, with further arguments of wd-load. `core` None: on any."""

    def __init__(
        self,
        url: str,
        wallet: str,
        streams: int,
        *arguments: str,
        core: int | None = machine.CLIENT_CORE,
    ) -> None:
        command = [sys.executable, str(ROOT / "bin/wd-load"), url, "--json", "--announce"]
        command += [f"--wallet={wallet}", f"--streams={streams}", *arguments]
        if core is None:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        else:
            self._process = machine.spawn(command, core, stdout=subprocess.PIPE)
        self.streams = streams

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.thaw()
        self._process.kill()  # what it started ends with its pipes
        self._process.communicate()

    def wait_until_open(self) -> None:
        """Returns when all streams are open."""
        line = self._line()
        assert json.loads(line).get("open") == self.streams, f"not all are open: {line}"

    def report(self) -> Report:
        """What they found, when they have ended by themselves."""
        return msgspec.json.decode(self._line(), type=Report)

    def end(self) -> Report:
        """End them now."""
        self._process.send_signal(signal.SIGINT)
        return self.report()

    def freeze(self) -> None:
        """They take no notice of anything."""
        for process in self._workers():
            process.suspend()

    def thaw(self) -> None:
        for process in self._workers():
            process.resume()

    def cpu(self) -> machine.Cpu:
        return machine.cpu(machine.family(self._process.pid))

    def resident(self) -> int:
        """Bytes in memory."""
        return machine.resident(machine.family(self._process.pid))

    def _workers(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            return []
        return machine.family(self._process.pid)[1:]

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "wd-load has ended without a word"
        return line
