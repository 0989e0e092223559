"""What is drawn and written of the structure is what the code has."""

import re
from pathlib import PurePosixPath

from bench.source import ROOT, installed
from bench.structure import drawing


def test_the_drawing_of_the_packages_is_what_the_code_imports() -> None:
    drawn = (ROOT / "docs/structure.svg").read_text()
    assert drawn == drawing(installed()), "run `make docs`"


def test_the_architecture_names_every_package_and_none_that_is_gone() -> None:
    written = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"^\| `([\w/]+)/` \|", written, re.MULTILINE))
    folders = {module.path.parent for module in installed() if module.text.strip()}
    packages = {str(folder) for folder in folders} - {"wd_server", "handlers/web"}
    assert not sorted(packages - named), "ARCHITECTURE.md has no row for it"
    assert not sorted(name for name in named if not (ROOT / name).is_dir())


def test_the_architecture_names_every_file_of_the_server_outside_its_packages() -> None:
    written = (ROOT / "ARCHITECTURE.md").read_text()
    files = {
        module.path.name
        for module in installed()
        if module.path.parent == PurePosixPath("wd_server") and module.path.stem != "__init__"
    }
    assert not sorted(file for file in files if f"`{file}`" not in written)
