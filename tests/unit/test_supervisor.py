"""What is said to a service manager, on a real socket; tests/ops has the real manager."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wd_server.supervisor import Supervisor

PID = os.getpid()
# Seconds to wait for a line that should come at once: only a broken program takes them.
PATIENCE = 10
# Of the watchdog, so short that three beats are no wait.
WATCHDOG_USEC = 60_000


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def told(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def is_told_nothing(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    is_file = request.param == "file"
    manager = Manager(str(tmp_path / "notify") if is_file else f"@wd-server-test-{PID}")
    yield manager
    manager.close()


def test_readiness_a_status_and_the_end_are_told(manager: Manager) -> None:
    async def life() -> None:
        supervisor = Supervisor(manager.environ, PID)
        supervisor.ready(lambda: "3 streams.")
        supervisor.stopping()
        supervisor.close()

    asyncio.run(life())
    assert manager.told() == ["READY=1", f"MAINPID={PID}"]
    assert manager.told() == ["WATCHDOG=1", "STATUS=3 streams."]
    assert manager.told() == ["STOPPING=1"]
    assert manager.is_told_nothing()


def test_the_loop_beats_and_a_hung_one_does_not(manager: Manager) -> None:
    async def life() -> None:
        environ = manager.environ | {"WATCHDOG_USEC": str(WATCHDOG_USEC), "WATCHDOG_PID": str(PID)}
        supervisor = Supervisor(environ, PID)
        supervisor.ready(lambda: "")
        manager.told()
        for _ in range(3):
            assert await asyncio.to_thread(manager.told) == ["WATCHDOG=1", "STATUS="]
        manager.is_told_nothing()
        time.sleep(2 * WATCHDOG_USEC / 1e6)  # noqa: ASYNC251 - this is what hanging is
        assert manager.is_told_nothing()
        supervisor.close()

    asyncio.run(life())


def test_sockets_are_taken_as_they_are_handed_over() -> None:
    """In a process of its own, where the third file is free to be the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        code = (
            "import os; from wd_server.supervisor import Supervisor\n"
            f"os.dup2({listening.fileno()}, 3)\n"
            "environ = {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}\n"
            "supervisor = Supervisor(environ, os.getpid())\n"
            "assert supervisor.hands_over\n"
            "(sock,) = supervisor.take_sockets()\n"
            "assert not sock.get_inheritable()\n"
            "print(sock.getsockname()[1])\n"
        )
        assert _python(code, listening.fileno()) == f"{listening.getsockname()[1]}\n"


@pytest.mark.parametrize("pid", [{}, {"LISTEN_PID": str(PID + 1)}])
def test_what_is_not_meant_for_this_process_is_left_alone(pid: dict[str, str]) -> None:
    supervisor = Supervisor({"LISTEN_FDS": "1", **pid}, PID)
    assert not supervisor.hands_over
    assert supervisor.take_sockets() == []


def test_without_a_manager_nothing_happens() -> None:
    supervisor = Supervisor({}, PID)
    supervisor.ready(lambda: "")  # not even a loop is asked for
    supervisor.stopping()
    supervisor.close()
    assert not supervisor.hands_over


def test_a_manager_that_has_gone_ends_nothing(manager: Manager) -> None:
    async def life() -> None:
        supervisor = Supervisor(manager.environ, PID)
        manager.close()
        supervisor.ready(lambda: "")
        supervisor.stopping()
        supervisor.close()

    asyncio.run(life())


def _python(code: str, file: int) -> str:

    done = subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=[file],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
