"""Deployments without systemd: a background process with a pid file and a log. In order, as in
`test_systemd.py`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import SETTINGS, Checkout, Deployment
from machine import Machine, machine
from processes import ROOT
from wd_client.version import __version__ as client_version

USER = "tester"
FOLDER = f"/home/{USER}/wd-server"
LOG = f"{FOLDER}/log/wd-server.log"
# Root's, beside the other one.
ROOTS = "/opt/wd-server"
ROOTS_PORT = 5100
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


def test_a_release_has_the_client_and_nothing_that_pip_left(deployment: Deployment) -> None:
    machine = deployment.machine
    for tool in ("wd-load", "wd-watch"):
        said = machine.run(f"{FOLDER}/current/bin/{tool}", "--version").stdout
        assert said == f"{tool} {client_version}\n"
    listed = machine.run("ls", f"{FOLDER}/current/clients/python").stdout.split()
    assert listed == ["LICENSE", "README.md", "pyproject.toml", "wd_client"]
    made = machine.run("find", f"{FOLDER}/current/", "-maxdepth", "1", "-name", "*.egg-info")
    assert made.stdout == ""


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
    rules = rules.replace("su root root", f"su {USER} {USER}")
    machine.run("tee", "/etc/logrotate.d/wd-server", text=rules)
    before = machine.read(LOG)
    machine.run("logrotate", "--force", "/etc/logrotate.d/wd-server")
    machine.run("curl", "-sS", f"http://127.0.0.1:5000/{'no/such/path'}")
    assert machine.read(f"{LOG}.1") == before
    (line,) = machine.read(LOG).splitlines()
    assert json.loads(line)["path"] == "/no/such/path"
    # Nothing but the beginning was cut off: no hole of zeros.
    assert machine.read(LOG).startswith("{")


class Roots:
    """A deployment of root's beside the other one, on another port. `theirs` is a folder that
    belongs to somebody else."""

    theirs = "/srv/theirs"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._deployment = Deployment(machine)
        machine.run("install", "-d", "-o", USER, self.theirs)
        machine.run("runuser", "-u", USER, "--", "touch", f"{self.theirs}/file")
        self.deploy(**SETTINGS, PORT=str(ROOTS_PORT))

    def deploy(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """What it says."""
        done = self._deployment.deploy("1.0.0", "--process", *arguments, check=False, **settings)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert self._deployment.version(ROOTS_PORT) == "1.0.0"
        assert self.owners(self.theirs, f"{self.theirs}/file") == [f"755 {USER}", f"644 {USER}"]
        return said

    def pid(self) -> str:
        return self.machine.read(f"{ROOTS}/wd-server.pid").strip()

    def owners(self, *paths: str) -> list[str]:
        """Rights and owner of each."""
        return self.machine.run("stat", "-c", "%a %U", *paths).stdout.splitlines()

    def as_service(self, script: str) -> None:
        self.machine.run("runuser", "-u", "wd-server", "--", "bash", "-euc", script)

    def exists(self, path: str) -> bool:
        return self.machine.run("test", "-e", path, check=False).returncode == 0

    def give_away_settings(self, line: str = "") -> None:
        """As an older version left them, with another line of the service's user."""
        self.machine.run("chown", "wd-server:", f"{ROOTS}/env")
        self.as_service(f"printf '%s\\n' '{line}' >>{ROOTS}/env")


@pytest.fixture(scope="module")
def roots(deployment: Deployment) -> Roots:
    return Roots(deployment.machine)


def test_root_gives_its_rights_away_and_keeps_its_files(roots: Roots) -> None:
    status = roots.machine.read(f"/proc/{roots.pid()}/status")
    assert roots.owners(f"/proc/{roots.pid()}")[0].endswith(" wd-server")
    assert "NoNewPrivs:\t1" in status
    files = [f"{ROOTS}/{name}" for name in ("env", "wd-server.pid", "log/wd-server.log", "data")]
    assert roots.owners(*files) == ["640 root", "644 root", "640 root", "700 wd-server"]
    group = roots.machine.run("stat", "-c", "%G", f"{ROOTS}/env").stdout
    assert group == "wd-server\n"


def test_the_printed_command_makes_a_key_that_the_server_knows(roots: Roots) -> None:
    said = roots.deploy("--process")
    (command,) = re.findall(r"^  (runuser .*wd-keys .*) create --name NAME", said, re.M)
    made = roots.machine.run(*command.split(), "create", "--name", "test", "--json")
    key = json.loads(made.stdout)["key"]
    streams = f"http://127.0.0.1:{ROOTS_PORT}/v4/streams"
    roots.machine.run("curl", "-fsS", "-H", f"X-API-Key: {key}", streams)


@pytest.mark.parametrize("arguments", [["--dry-run"], []], ids=["dry", "real"])
@pytest.mark.parametrize(
    "line",
    [
        "DRAIN_SECONDS=arguments[$(touch /run/owned; echo 0)]",
        "PORT=arguments[$(touch /run/owned; echo 5100)]",
        "HOST=127.0.0.1#; s#.*#touch /run/owned#e; #",
    ],
)
def test_what_the_service_writes_into_the_settings_is_no_code_of_roots(
    roots: Roots, line: str, arguments: list[str]
) -> None:
    before, settings = roots.pid(), roots.machine.read(f"{ROOTS}/env")
    roots.give_away_settings(line)
    said = roots.deploy(*arguments, code=EXIT_CONFIG)
    assert line.partition("=")[0] in said
    assert not roots.exists("/run/owned")
    assert roots.pid() == before
    roots.machine.run("tee", f"{ROOTS}/env", text=settings)


def test_settings_of_the_services_become_roots_and_it_is_said(roots: Roots) -> None:
    before = roots.pid()
    roots.give_away_settings("# a line of theirs")
    assert "env belongs to wd-server" in roots.deploy("--dry-run")
    assert roots.owners(f"{ROOTS}/env") == ["640 wd-server"]
    assert "env belongs to wd-server" in roots.deploy()
    assert roots.owners(f"{ROOTS}/env") == ["640 root"]
    assert "# a line of theirs" in roots.machine.read(f"{ROOTS}/env")
    assert "env belongs" not in roots.deploy()
    assert roots.pid() != before  # it has other settings


def test_settings_that_are_taken_back_stay_roots(roots: Roots) -> None:
    roots.give_away_settings()
    said = roots.deploy(code=1, REDIS_URL="redis://127.0.0.1:1", HEALTH_SECONDS="5")
    assert "runs again" in said
    assert roots.owners(f"{ROOTS}/env") == ["640 root"]


@pytest.mark.parametrize("arguments", [["--dry-run"], []], ids=["dry", "real"])
def test_a_folder_of_somebody_elses_stays_theirs(roots: Roots, arguments: list[str]) -> None:
    """Named as it is, or by a link of the service's."""
    before, link = roots.pid(), f"{ROOTS}/data/link"
    roots.as_service(f"ln -sfn {roots.theirs} {link}")
    for folder in (roots.theirs, link, "/"):
        said = roots.deploy(*arguments, code=EXIT_CONFIG, DATA_DIR=folder)
        assert f"DATA_DIR is {folder}, which isn't a folder of wd-server's" in said
    assert roots.pid() == before


def test_nothing_is_made_where_a_link_of_the_services_leads(roots: Roots) -> None:
    roots.as_service(f"ln -sfn /etc {ROOTS}/data/link")
    said = roots.deploy(code=1, DATA_DIR=f"{ROOTS}/data/link/made")
    assert "Permission denied" in said
    assert not roots.exists("/etc/made")


@pytest.mark.parametrize("folder", ['/srv/new/é it\'s $(id) "x"', f"{ROOTS}/data/new"])
def test_a_new_folder_is_the_services(roots: Roots, folder: str) -> None:
    roots.deploy(DATA_DIR=folder)
    assert roots.owners(folder) == ["700 wd-server"]


def test_a_link_in_place_of_the_settings_is_refused(roots: Roots) -> None:
    roots.machine.run("mv", f"{ROOTS}/env", f"{ROOTS}/elsewhere")
    roots.machine.run("ln", "-s", "elsewhere", f"{ROOTS}/env")
    assert "env is a link" in roots.deploy(code=1)
    roots.machine.run("mv", f"{ROOTS}/elsewhere", f"{ROOTS}/env")


def test_a_place_that_the_service_can_write_to_is_refused(roots: Roots) -> None:
    for place, parent in ((f"{ROOTS}/data/inside", f"{ROOTS}/data"), ("/dev/shm/new", "/dev/shm")):
        said = roots.deploy(code=1, DEPLOY_ROOT=place)
        assert "somebody other than root can write to" in said
        assert not roots.exists(place)
        assert roots.exists(parent)


def test_a_pid_that_is_somebody_elses_now_is_left_alone(roots: Roots) -> None:
    """It has the server's name, too."""
    machine = roots.machine
    script = "exec -a wd-server sleep 600"
    machine.run("systemd-run", "--quiet", "--unit=other", "--uid", USER, "bash", "-c", script)
    pid = machine.pid("other")
    machine.run("kill", roots.pid())
    machine.run("tee", f"{ROOTS}/wd-server.pid", text=str(pid))
    roots.deploy(LOG_LEVEL="error")
    assert machine.pid("other") == pid
    assert roots.pid() != str(pid)
    for text in ("-1", "0", "arguments[$(touch /run/owned)]"):
        machine.run("kill", roots.pid())
        machine.run("tee", f"{ROOTS}/wd-server.pid", text=text)
        roots.deploy()
    assert not roots.exists("/run/owned")
