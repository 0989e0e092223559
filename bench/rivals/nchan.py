"""Rival: nchan, the publish-subscribe module of nginx, written in C (Debian's
`libnginx-mod-nchan`). Its configuration, and how events are posted to it."""

import selectors
import shutil
import socket
import subprocess
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep

from bench.rivals import wire

# Posts under way at the same time: with one, the worker would wait for the next; two keep it
# busy, two more see to it that they do while the publisher is slow for a moment.
PUBLISHERS = 4
# nginx drops connections that wait for a request when fewer than a sixteenth of these are free.
CONNECTIONS = 24_000
# Seconds it may take to listen.
PATIENCE = 10

_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

_CONFIGURATION = """\
load_module {module};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{
    worker_connections {connections};
    multi_accept on;
}}
http {{
    access_log off;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = / {{
            nchan_subscriber eventsource;
            nchan_channel_id wallet;
        }}
        location = /publish {{
            nchan_publisher http;
            nchan_channel_id wallet;
        }}
    }}
}}
"""


def configuration(module: Path, port: int) -> str:
    return _CONFIGURATION.format(module=module, port=port, connections=CONNECTIONS)


def program() -> str | None:
    """Where nginx is; Debian puts it where only root looks."""
    return shutil.which("nginx", path=_FOLDERS)


def module() -> Path | None:
    """Where nchan is, if nginx and it are installed."""
    nginx = program()
    if nginx is None:
        return None
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    folders = [word.partition("=")[2] for word in built.split() if "--modules-path=" in word]
    for folder in folders:
        path = Path(folder, "ngx_nchan_module.so")
        if path.exists():
            return path
    return None


def version() -> str:
    """nginx's and, where Debian's package database is, nchan's."""
    nginx = program()
    assert nginx is not None
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    number = said.strip().rpartition("/")[2]
    if shutil.which("dpkg-query") is None:
        return f"nchan in nginx {number}"
    query = ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]
    package = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return f"nchan {package} in nginx {number}"


def command(folder: Path, port: int) -> list[str]:
    """Starts it with its files in `folder`."""
    found, nginx = module(), program()
    assert found is not None
    assert nginx is not None
    path = folder / "nginx.conf"
    path.write_text(configuration(found, port))
    return [nginx, "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]


def wait_until_it_listens(port: int) -> None:
    """nginx doesn't tell, so this tries."""
    deadline = monotonic() + PATIENCE
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert monotonic() < deadline, "nginx doesn't listen"
        sleep(0.01)


def body() -> bytes:
    """The data with which nchan writes an event of the common size, give or take a byte: its ids
    are the second and a number within it."""
    around = b"event: trade\nid: 1800000000:10\ndata: \n\n"
    return wire.payload(wire.EVENT_BYTES - len(around))


def publish(port: int, seconds: float) -> int:
    """Post for so long, the next event as soon as one is answered for: nchan answers when it has
    written to its subscribers. Returns how many were posted."""
    until, posted, data = monotonic() + seconds, 0, body()
    with selectors.DefaultSelector() as selector:
        for _ in range(PUBLISHERS):
            connection = HTTPConnection("127.0.0.1", port)
            connection.connect()
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            _post(connection, data)
            posted += 1
        while selector.get_map():
            for key, _ in selector.select():
                response = key.data.getresponse()
                response.read()
                assert response.status in (201, 202), response.status
                if monotonic() < until:
                    _post(key.data, data)
                    posted += 1
                else:
                    selector.unregister(key.fileobj)
                    key.data.close()
    return posted


def _post(connection: HTTPConnection, data: bytes) -> None:
    connection.request("POST", "/publish", data, {"X-EventSource-Event": "trade"})
