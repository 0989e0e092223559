"""Deployments without systemd: a background process with a pid file and a log. In order, as in
`test_systemd.py`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import SETTINGS, Checkout, Deployment
from machine import machine
from processes import ROOT

USER = "tester"
FOLDER = f"/home/{USER}/wd-server"
LOG = f"{FOLDER}/log/wd-server.log"
# sysexits.h: wrong settings.
EXIT_CONFIG = 78


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, wheels: Path, checkout: Checkout
) -> Iterator[Deployment]:
    """Of an ordinary user, from nothing to healthy."""
    binds = {ROOT: "/srv/source", wheels: "/srv/wheels", checkout("1.0.0"): "/srv/1.0.0"}
    with machine(tmp_path_factory.mktemp("machine"), binds) as booted:
        booted.run("useradd", "--create-home", USER)
        started = Deployment(booted, USER)
        started.surround()
        said = started.deploy("1.0.0", "--process", HOME=f"/home/{USER}", **SETTINGS).stdout
        assert "is healthy and has metrics." in said
        assert f"tail -f {LOG}" in said
        yield started


def _again(deployment: Deployment, *arguments: str, **settings: str) -> str:
    done = deployment.deploy(
        "1.0.0", "--process", *arguments, check=False, HOME=f"/home/{USER}", **settings
    )
    return done.stdout + done.stderr


def _pid(deployment: Deployment) -> int:
    return int(deployment.machine.read(f"{FOLDER}/wd-server.pid"))


def test_it_runs_as_the_user_and_keeps_its_secrets(deployment: Deployment) -> None:
    pid = _pid(deployment)
    machine = deployment.machine
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").stdout == f"{USER}\n"
    assert SETTINGS["HELIUS_KEY"] not in machine.read(f"/proc/{pid}/environ")
    assert SETTINGS["HELIUS_KEY"] not in machine.read(f"/proc/{pid}/cmdline")
    modes = machine.run("stat", "-c", "%a", f"{FOLDER}/env", f"{FOLDER}/data", LOG).stdout
    assert modes == "600\n700\n640\n"


def test_the_same_again_changes_nothing(deployment: Deployment) -> None:
    before = _pid(deployment)
    assert "runs already" in _again(deployment)
    assert _pid(deployment) == before


def test_other_settings_replace_the_process(deployment: Deployment) -> None:
    before = _pid(deployment)
    assert "is healthy" in _again(deployment, LOG_LEVEL="debug")
    assert _pid(deployment) != before
    assert deployment.machine.run("kill", "-0", str(before), check=False).returncode != 0
    assert deployment.version() == "1.0.0"


def test_settings_that_dont_work_are_taken_back(deployment: Deployment) -> None:
    said = _again(deployment, REDIS_URL="redis://127.0.0.1:1")
    assert "runs again" in said
    assert "can't open what it keeps" in said  # what the log says
    assert deployment.version() == "1.0.0"
    assert SETTINGS["REDIS_URL"] in deployment.machine.read(f"{FOLDER}/env")


def test_there_is_nothing_to_go_back_to(deployment: Deployment) -> None:
    before = _pid(deployment)
    assert "there is no release to go back to" in _again(deployment, "--rollback")
    assert _pid(deployment) == before


def test_its_log_is_rotated_while_it_writes(deployment: Deployment) -> None:
    machine = deployment.machine
    rules = (ROOT / "conf/logrotate.d/wd-server").read_text().replace("/opt/wd-server", FOLDER)
    machine.run("tee", "/etc/logrotate.d/wd-server", text=rules)
    before = machine.read(LOG)
    machine.run("logrotate", "--force", "/etc/logrotate.d/wd-server")
    machine.run("curl", "-sS", f"http://127.0.0.1:5000/{'no/such/path'}")
    assert machine.read(f"{LOG}.1") == before
    (line,) = machine.read(LOG).splitlines()
    assert json.loads(line)["path"] == "/no/such/path"
    # Nothing but the beginning was cut off: no hole of zeros.
    assert machine.read(LOG).startswith("{")


def test_root_gives_its_rights_away(deployment: Deployment) -> None:
    """Beside the other one, on another port."""
    machine = deployment.machine
    settings = SETTINGS | {"PORT": "5100"}
    as_root = Deployment(machine)
    as_root.deploy("1.0.0", "--process", **settings)
    assert as_root.version(5100) == "1.0.0"
    pid = machine.read("/opt/wd-server/wd-server.pid").strip()
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").stdout == "wd-server\n"
    assert "NoNewPrivs:\t1" in machine.read(f"/proc/{pid}/status")
    assert machine.run("stat", "-c", "%a %U", "/opt/wd-server/env").stdout == "600 wd-server\n"
