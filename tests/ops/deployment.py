"""A machine with what the server needs around it, and what is done there by deployments."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from machine import Machine

DEPLOY = "/srv/{}/bin/deploy.sh"
PORT = 5000
WALLETS = 4
# Seconds for what takes a few: only a broken server takes them.
PATIENCE = 60

# Limits of bin/verify_deployment.sh that a busy machine keeps to, too.
AMPLE = {"HEALTH_MS": "10000", "METRICS_MS": "10000", "FIRST_EVENT_MS": "10000"}

# Makes a copy of this checkout that has another version.
Checkout = Callable[[str], Path]

SETTINGS = {
    "ENV": "production",
    "HELIUS_KEY": "0123456789abcdef",
    "SECRET_KEY": 'it\'s "quoted", has $signs and \\ is long enough',
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "HELIUS_RPC_URL": "http://127.0.0.1:8899",
    "UPSTREAM_PLAN": "professional",
    "PRICE_SOURCE": "none",
    "POLL_SECONDS": "1",
    "DRAIN_SECONDS": "5",
}

# pip's own settings: packages come from a folder.
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels", "PIP_CONFIG_FILE": "/dev/null"}


class Deployment:
    """`/srv/source` is this checkout; `/srv/<version>` are versions to deploy, `/srv/wheels` the
    packages; `user` deploys."""

    def __init__(self, machine: Machine, user: str = "root") -> None:
        self.machine = machine
        self._user = user

    def surround(self) -> None:
        """Start Redis, and a chain of which every wallet goes on trading."""
        machine = self.machine
        chain = ["/srv/source/.venv/bin/python", "-m", "wd_tools.simulator", "--port=8899"]
        chain += ["--only", "--live=1", f"--wallets=60x{WALLETS}"]
        for command in (["redis-server", "--save", ""], chain):
            machine.run("systemd-run", "--quiet", "--working-directory=/srv/source", *command)
        machine.run(
            "curl", "-sS", "--retry", "60", "--retry-connrefused", SETTINGS["HELIUS_RPC_URL"]
        )

    def deploy(
        self, version: str, *arguments: str, check: bool = True, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return self.machine.run(
            *("runuser", "-u", self._user, "--", DEPLOY.format(version), *arguments),
            env=PIP | settings,
            check=check,
        )

    def version(self, port: int = PORT) -> str:
        """Of what answers; it has a minute to do so."""
        answer = self.machine.run(
            *("curl", "-fsS", "--retry", "60", "--retry-all-errors", "--retry-delay", "1"),
            f"http://127.0.0.1:{port}/health",
        )
        health = json.loads(answer.stdout)
        assert health["status"] == "healthy"
        return str(health["version"])

    def current(self) -> str:
        return self.machine.run("readlink", "/opt/wd-server/current").stdout.strip()

    def key(self) -> str:
        """A new one, without limits."""
        program = ["runuser", "-u", "wd-server", "--", "/opt/wd-server/current/bin/wd-keys"]
        program += ["--env-file", "/etc/wd-server/env"]
        limits = ["--name", "test", "--streams", "0", "--requests", "0"]
        made = json.loads(self.machine.run(*program, "create", "--json", *limits).stdout)
        return str(made["key"])

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """Entries of systemd's journal."""
        text = self.machine.run("journalctl", "--unit", unit, "--output", "json").stdout
        return [json.loads(line) for line in text.splitlines()]

    def log(self, unit: str) -> list[dict[str, Any]]:
        """Lines that the server wrote into it. What Python says when it is aborted is none."""
        return [
            json.loads(entry["MESSAGE"])
            for entry in self.journal(unit)
            if entry["_TRANSPORT"] == "stdout" and entry["MESSAGE"].startswith("{")
        ]

    def wait_for_streams(self, port: int, count: int) -> None:
        """Returns when an instance has so many. Nothing tells of that, so this asks again."""
        deadline = monotonic() + PATIENCE
        health = ""
        while f'"active_streams":{count},' not in health:
            assert monotonic() < deadline, health
            sleep(0.2)
            address = f"http://127.0.0.1:{port}/health"
            health = self.machine.run("curl", "-sS", address, check=False).stdout
