"""What deployments are tested with: versions to deploy, and packages without a registry."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from deployment import Checkout
from processes import ROOT

# What a checkout needs for a deployment.
PARTS = (
    ".ci",
    "bin",
    "clients/python",
    "conf",
    "docs",
    "handlers",
    "wd_server",
    "wd_tools",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
    "setup.py",
)
MADE = shutil.ignore_patterns("__pycache__")
DEPLOYED_PYTHON = "/usr/bin/python3"
# Seconds for pip to get 17 packages, from a slow mirror.
DOWNLOAD_SECONDS = 300


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What requirements.lock names, got by pip in its ordinary way: the machines that tests deploy
    to have no network."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # whoever deploys reads it
    # For the Python that deployments run on, which isn't always the one that runs tests.
    made = folder / "python"
    pip = [made / "bin/pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    pip += ["--requirement", ROOT / "requirements.lock"]
    for command in ([ROOT / ".ci/venv", made], pip):
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHON": DEPLOYED_PYTHON},
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Makes a copy of this checkout that has another version."""

    def copy(version: str) -> Path:
        folder = tmp_path_factory.mktemp("checkout") / version
        folder.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=MADE)
            else:
                shutil.copy2(source, folder / part)
        (folder / "wd_server/__init__.py").write_text(
            f'"""wd-server"""\n\n__version__ = "{version}"\n'
        )
        return folder

    return copy
