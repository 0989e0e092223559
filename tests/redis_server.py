"""A real redis-server of its own, in a temporary folder, on a free port of the loopback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import PATIENCE, free_port

from wd_server.secret import Secret

READY = "Ready to accept connections"


class RedisServer:
    """`start` again after `stop` or `kill`: the same port, and what it had if it keeps anything."""

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        self.port = free_port()
        self.url = Secret(f"redis://127.0.0.1:{self.port}/0")
        self._folder = folder
        self._keeps = keeps
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when it takes connections."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", ""]
        command += ["--appendonly", "yes" if self._keeps else "no", "--appendfsync", "always"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if READY in line:
                return
        raise AssertionError(f"redis-server ended: {''.join(said)}")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdout is not None
            process.kill()
            process.wait(PATIENCE)
            process.stdout.close()


@contextmanager
def redis_server(*, keeps: bool = True) -> Iterator[RedisServer]:
    with TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), keeps=keeps)
        server.start()
        try:
            yield server
        finally:
            server.stop()
