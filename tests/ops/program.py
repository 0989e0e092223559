"""A program that runs while a test does, and says what it has to say into a file."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from processes import PATIENCE

# Debian puts what serves where only root looks.
PROGRAMS = f"{os.environ['PATH']}:/usr/sbin"
# Seconds between two looks at one that tells nobody how far it is.
LOOK_SECONDS = 0.02


class Program:
    """A subclass gives `command`, and says in `is_ready` when it has started."""

    command: Sequence[str]

    def __init__(self, said: Path) -> None:
        self._said = said
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Returns when it is ready."""
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                self.command, stdout=said, stderr=said, env={**os.environ, "PATH": PROGRAMS}
            )
        self.wait_until(self.is_ready)

    def wait_until(self, done: Callable[[], bool]) -> None:
        deadline = monotonic() + PATIENCE
        while not done():
            assert self._process is not None
            assert self._process.poll() is None, self.said()
            assert monotonic() < deadline, self.said()
            sleep(LOOK_SECONDS)

    def said(self) -> str:
        return self._said.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)


P = TypeVar("P", bound=Program)


@contextmanager
def running(program: P) -> Iterator[P]:
    program.start()
    try:
        yield program
    finally:
        program.stop()


def substitute(path: Path, substitutions: dict[str, str]) -> None:
    """Write the file anew; each has to stand in it."""
    text = path.read_text()
    for old, new in substitutions.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    path.write_text(text)
