"""nginx in front of several servers, in a temporary folder, on a free port of the loopback."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from tests.processes import PATIENCE, free_port

# Debian puts it where only root looks.
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
# Each stream takes two: the client's and the server's.
CONNECTIONS = 19_000

# One process, so that ending it leaves nothing. A connection to a server is for one stream or
# request. What a server hasn't accepted, or refused because it drains or is full, goes to another.
# A server that says nothing for so long, heartbeats included, is given up; but none is left out for
# what failed before (max_fails): nginx takes one that failed for sound again when a request to it
# has ended, and streams don't end. Without chunks the bytes are those of a server.
_CONFIGURATION = """\
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
worker_rlimit_nofile {files};
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    upstream nodes {{
        least_conn;
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            chunked_transfer_encoding off;
            proxy_connect_timeout 2s;
            proxy_read_timeout {silence}s;
            proxy_next_upstream error timeout http_503;
        }}
    }}
}}
"""


class NotInstalled(Exception):
    """A program that is started here isn't there."""


class Nginx:
    """`servers` are addresses with ports; `silence` is in seconds."""

    def __init__(self, folder: Path, servers: Sequence[str], silence: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "error.log"
        self._folder = folder
        folder.mkdir(exist_ok=True)
        lines = [f"server {server} max_fails=0;" for server in servers]
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                files=CONNECTIONS + 200,
                connections=CONNECTIONS,
                servers="\n        ".join(lines),
                port=self.port,
                silence=silence,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens. Raises NotInstalled."""
        program = shutil.which("nginx", path=FOLDERS)
        if program is None:
            raise NotInstalled("nginx is not installed")
        command = [program, "-p", str(self._folder), "-c", "nginx.conf", "-e", str(self.log)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = monotonic() + PATIENCE
        # It doesn't tell, so this tries.
        while True:
            with (
                suppress(ConnectionRefusedError),
                socket.create_connection(("127.0.0.1", self.port)),
            ):
                return
            assert self.process.poll() is None, f"nginx ended: {self.log.read_text()}"
            assert monotonic() < deadline, "nginx doesn't listen"
            sleep(0.01)

    def stop(self) -> None:
        """End it and all its connections. Stopping twice is no error."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)


@contextmanager
def nginx(folder: Path, servers: Sequence[str], silence: int) -> Iterator[Nginx]:
    started = Nginx(folder, servers, silence)
    try:
        started.start()
        yield started
    finally:
        started.stop()
