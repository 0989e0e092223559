"""What systemd and this process tell each other: a listening socket, readiness, a status, a pulse.

sd_notify(3) is a datagram of a few lines and sd_listen_fds(3) two variables, so they are spoken
here: systemd's own library for Python needs a compiler and its headers, and the small ones on top
of a socket are no longer looked after. Without systemd's variables nothing of this does anything.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

import structlog

# The first file that systemd hands over (SD_LISTEN_FDS_START).
FIRST_FILE = 3
# Seconds between two status lines.
STATUS_SECONDS = 5
# Beats in the time after which systemd takes the process for hung: two may be late.
BEATS = 3

_log = structlog.get_logger("supervisor")


class Supervisor:
    """`environ`: where systemd says what it wants. `pid`: this process, which must be meant."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._pid = pid
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._files = _number(environ, "LISTEN_FDS", "LISTEN_PID", pid)
        watchdog = _number(environ, "WATCHDOG_USEC", "WATCHDOG_PID", pid) / 1e6
        self._beat_seconds = min(watchdog / BEATS or STATUS_SECONDS, STATUS_SECONDS)
        self._status: Callable[[], str] = str
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None

    @property
    def hands_over(self) -> bool:
        """Whether systemd keeps the listening socket, so that who comes while nobody accepts waits
        for the next process."""
        return self._files > 0

    def take_sockets(self) -> list[socket.socket]:
        """Those that systemd listens on. Raises OSError if they aren't sockets."""
        sockets = []
        for file in range(FIRST_FILE, FIRST_FILE + self._files):
            os.set_inheritable(file, False)
            sockets.append(socket.socket(fileno=file))
        return sockets

    def ready(self, status: Callable[[], str]) -> None:
        """Say that requests are answered. From now on the loop beats and says the `status`, one
        line; when it hangs, it doesn't, and systemd ends the process."""
        if not self._address:
            return
        self._status = status
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._say("READY=1", f"MAINPID={self._pid}")
        self._beat()

    def stopping(self) -> None:
        """Say that this process is about to end, which may take a while."""
        self._say("STOPPING=1")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._beat_seconds, self._beat)
        self._say("WATCHDOG=1", f"STATUS={self._status()}")

    def _say(self, *lines: str) -> None:
        if self._socket is None:
            return
        address = self._address
        if address.startswith("@"):  # in the abstract namespace
            address = "\0" + address[1:]
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as error:  # systemd is busy or starts anew; the next beat is soon
            _log.warning("the service manager can't be told", error=error.strerror)


def _number(environ: Mapping[str, str], name: str, for_whom: str, pid: int) -> int:
    """0 if it isn't there, or is for another process."""
    return int(environ.get(name, "0")) if environ.get(for_whom) == str(pid) else 0
