"""A machine with a real systemd: a container of this one's files, with a network of its own.

What is written there goes to memory and is gone at the end. Nothing of it is seen outside.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

# Seconds for the machine to boot, and for a command on it: only a broken one takes them.
BOOT_SECONDS = 60
COMMAND_SECONDS = 300
# Of a file system in memory: a release is 80 MB, and a few of them are installed.
DISK = "3g"

_BOOT = """
set -e
mount -t tmpfs -o size={disk},mode=755 tmpfs {folder}
# Control groups of its own: two machines in the same would end each other's processes.
while IFS=: read -r _ hierarchy path; do
    case $hierarchy in
    name=systemd) base=/sys/fs/cgroup/systemd$path ;;
    "") if [ -d /sys/fs/cgroup/unified ]; then base=/sys/fs/cgroup/unified$path
        else base=/sys/fs/cgroup$path; fi ;;
    *) continue ;;
    esac
    mkdir "$base/{name}"
    echo $$ >"$base/{name}/cgroup.procs"
done </proc/self/cgroup
mkdir {folder}/upper {folder}/work {folder}/root
mount -t overlay -o lowerdir=/,upperdir={folder}/upper,workdir={folder}/work overlay {folder}/root
exec systemd-nspawn --quiet --directory={folder}/root --boot --register=no --keep-unit \\
    --private-network --link-journal=no --notify-ready=yes --console=pipe {binds} \\
    --machine={name} systemd.unit=basic.target systemd.mask=systemd-sysctl.service
"""


class Machine:
    """`run` runs commands on it, as root."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        seconds: float = COMMAND_SECONDS,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*command),
            env=self.environment(env),
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    def command(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self._leader}", "--all", *command]

    def client(self, *command: str | Path) -> list[str | Path]:
        """For a process of this machine that sees the other one's network."""
        return ["nsenter", f"--target={self._leader}", "--net", *command]

    @staticmethod
    def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "LANG": "C.UTF-8", **(env or {})}

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def pid(self, unit: str) -> int:
        """As the machine counts processes."""
        return int(self.property(unit, "MainPID"))


@contextmanager
def machine(folder: Path, binds: Mapping[Path, str]) -> Iterator[Machine]:
    """Booted. `folder` is empty; `binds` are folders of this machine and where they are seen."""
    if os.geteuid() != 0:
        pytest.skip("a machine is booted by root only")
    name = f"wd-server-{os.getpid()}-{folder.parent.name}-{folder.name}"
    script = _BOOT.format(
        disk=DISK,
        name=name,
        folder=folder,
        binds=" ".join(f"--bind-ro={source}:{place}" for source, place in binds.items()),
    )
    console = folder.with_suffix(".console")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind("\0" + name)
        notified.settimeout(BOOT_SECONDS)
        with console.open("wb") as output:
            # Mounts of a namespace of its own go away with the last process in it.
            process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "bash", "-c", script],
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "@" + name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        leader = _leader(notified, process, console)
    # What is told from now on finds nobody: unread, it would stop the machine's keeper.
    try:
        yield Machine(leader)
    finally:
        os.kill(leader, signal.SIGKILL)  # nothing there is worth a shutdown
        process.wait(BOOT_SECONDS)
        for group in Path("/sys/fs/cgroup").glob(f"**/{name}"):
            for inner in sorted(group.glob("**/"), reverse=True):
                inner.rmdir()


def _leader(notified: socket.socket, process: subprocess.Popen[bytes], console: Path) -> int:
    """The machine's first process, once it is booted."""
    told: dict[str, str] = {}
    try:
        while told.get("READY") != "1":
            lines = notified.recv(4096).decode().splitlines()
            told.update(line.split("=", 1) for line in lines)
    except TimeoutError:
        process.kill()
        text = console.read_text(errors="replace")
        raise AssertionError(f"the machine didn't boot ({process.wait()}): {text}") from None
    return int(told["X_NSPAWN_LEADER_PID"])
