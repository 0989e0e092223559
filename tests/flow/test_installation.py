"""What pip makes of this checkout: the server without the client, and the client alone.

Nothing comes from a registry. Wheels are built with the setuptools of this environment, from
copies, and installed into virtual environments that begin empty.
"""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns
from urllib.request import urlopen

import pytest
from demo import demo
from processes import PATIENCE, ROOT
from wd_client.version import __version__ as client_version

import wd_server

SITE = Path(distribution("tornado").locate_file(""))
CLIENT = ROOT / "clients/python"
# What `pip install .` reads.
SERVER_PARTS = ("bin", "handlers", "wd_server", "wd_tools", "pyproject.toml", "setup.py")
MADE = ignore_patterns("__pycache__", "build", "*.egg-info", ".pytest_cache")
# Seconds for pip to build or install: more than a busy machine takes.
PIP_SECONDS = 4 * PATIENCE

ABOUT = """
import json
from importlib.metadata import metadata, requires
from importlib.resources import files
import wd_client
from wd_client import stream, stream_sync
about = metadata("wd-client")
print(json.dumps({
    "at": wd_client.__file__,
    "version": about["Version"],
    "license": about["License-Expression"],
    "readme": about.get_payload(),
    "requires": requires("wd-client"),
    "typed": files("wd_client").joinpath("py.typed").is_file(),
    "licenses": about.get_all("License-File"),
}))
"""


def run(
    *command: str | Path, code: int = 0, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PIP_SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def wheel(source: Path, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    run(*pip, "--no-build-isolation", "--wheel-dir", folder, source)
    (made,) = folder.glob("*.whl")
    return made


class Environment:
    """A virtual environment with Python in it and nothing else, not even pip."""

    def __init__(self, folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        self.bin = folder / "bin"

    def install(self, made: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", self.bin / "python"]
        run(*pip, "install", "--no-index", "--no-deps", made)


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `clients/python`, as somebody takes it along."""
    return Path(copytree(CLIENT, tmp_path_factory.mktemp("client") / "taken", ignore=MADE))


@pytest.fixture(scope="module")
def client_wheel(client_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(client_folder, tmp_path_factory.mktemp("client-wheel"))


@pytest.fixture(scope="module")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server-wheel")
    for part in SERVER_PARTS:
        if (ROOT / part).is_dir():
            copytree(ROOT / part, folder / "source" / part, ignore=MADE)
        else:
            copy2(ROOT / part, folder / "source" / part)
    return wheel(folder / "source", folder)


@pytest.fixture(scope="module")
def server_alone(server_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install .`. Programs find the server's dependencies in SITE. What is installed there for
    editing isn't found by PYTHONPATH, so there is no `wd_client`."""
    environment = Environment(tmp_path_factory.mktemp("server") / "environment")
    environment.install(server_wheel)
    return environment


def test_server_and_clients_have_one_version() -> None:
    assert client_version == wd_server.__version__
    assert json.loads((ROOT / "clients/ts/package.json").read_text())["version"] == client_version


@pytest.mark.parametrize("client", ["python", "ts"])
def test_a_client_that_is_taken_along_has_the_licence_with_it(client: str) -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert (ROOT / "clients" / client / "LICENSE").read_text() == licence


def test_the_client_is_installed_from_its_folder_alone(client_wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(client_wheel)
    about = json.loads(run(environment.bin / "python", "-c", ABOUT, cwd=tmp_path).stdout)
    assert Path(about["at"]).is_relative_to(tmp_path)
    assert about["version"] == client_version
    assert (about["license"], about["licenses"]) == ("MIT", ["LICENSE"])
    assert about["readme"].strip() == (CLIENT / "README.md").read_text().strip()
    assert about["requires"] is None
    assert about["typed"]


def test_the_clients_tests_need_pytest_and_nothing_else(
    client_folder: Path, tmp_path: Path
) -> None:
    """Without `site`, Python finds no installed package but those linked here."""
    for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        tops = {Path(file).parts[0] for file in distribution(name).files or ()} - {".."}
        for top in tops:
            if (SITE / top).exists() and top != "__pycache__":
                (tmp_path / top).symlink_to(SITE / top)
    options = ["-S", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = run(sys.executable, *options, cwd=client_folder, PYTHONPATH=str(tmp_path))
    assert re.search(r"(?m)^\d{3} passed in", done.stdout), done.stdout


def test_the_server_starts_without_the_client(server_alone: Environment) -> None:
    with demo(program=[server_alone.bin / "wd-server"], PYTHONPATH=str(SITE)) as (_, printed):
        found = re.search(r"http://127\.0\.0\.1:\d+", printed)
        assert found is not None
        with urlopen(f"{found[0]}/health", timeout=PATIENCE) as answer:
            assert json.load(answer)["version"] == wd_server.__version__


@pytest.mark.parametrize("tool", ["wd-load", "wd-watch"])
def test_a_tool_without_the_client_says_what_to_install(
    server_alone: Environment, tool: str
) -> None:
    refused = run(server_alone.bin / tool, "--version", code=1, PYTHONPATH=str(SITE))
    assert refused.stderr == (
        f"{tool} needs the Python client of wd-server, which isn't installed: "
        "`pip install ./clients/python` in a checkout.\n"
    )


@pytest.mark.parametrize("tool", ["wd-keys", "wd-sim", "wd-webhook"])
def test_the_other_programs_need_no_client(server_alone: Environment, tool: str) -> None:
    assert run(server_alone.bin / tool, "--help", PYTHONPATH=str(SITE)).stdout


def test_the_clients_old_name_says_what_to_install(server_alone: Environment) -> None:
    line = "from wd_server.client import Trade"
    refused = run(server_alone.bin / "python", "-c", line, code=1, PYTHONPATH=str(SITE))
    assert "`pip install ./clients/python`" in refused.stderr.splitlines()[-1]


def test_tools_and_the_old_name_find_the_client_once_it_is_there(
    server_wheel: Path, client_wheel: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(server_wheel)
    environment.install(client_wheel)
    for tool in ("wd-load", "wd-watch"):
        said = run(environment.bin / tool, "--version", PYTHONPATH=str(SITE)).stdout
        assert said == f"{tool} {client_version}\n"
    line = "from wd_server.client import Trade; print(Trade.__module__)"
    said = run(environment.bin / "python", "-c", line, PYTHONPATH=str(SITE)).stdout
    assert said == "wd_client.kinds\n"
