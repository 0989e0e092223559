"""The page's files: what they become, and that an installed copy has them."""

import gzip
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from zipfile import ZipFile

from handlers.page import WEB, Page

ROOT = Path(__file__).resolve().parents[3]


def test_each_file_is_there_as_it_is_and_compressed() -> None:
    page = Page.load()
    assert {"main.js", "page.css", "icon.svg", "vendor/uplot.js", "vendor/uplot.LICENSE"} <= set(
        page.files
    )
    for name, file in page.files.items():
        assert file.plain == (WEB / name).read_bytes()
        assert gzip.decompress(file.gzip) == file.plain


def test_the_page_names_the_version_of_what_it_loads() -> None:
    page = Page.load()
    assert b"{version}" not in page.html.plain
    assert f"/web/{page.version}/main.js".encode() in page.html.plain


def test_any_change_makes_another_version_and_no_change_makes_none(tmp_path: Path) -> None:
    folder = copytree(WEB, tmp_path / "web")
    first = Page.load(folder)
    assert Page.load(folder) == first == Page.load()
    with (folder / "main.js").open("a") as file:
        file.write("// changed\n")
    second = Page.load(folder)
    assert second.version != first.version
    assert second.html.etag != first.html.etag
    assert second.files["list.js"].etag == first.files["list.js"].etag


def test_an_installed_copy_has_the_page(tmp_path: Path) -> None:
    """`setup.py` names what isn't Python."""
    source = copytree(
        ROOT,
        tmp_path / "source",
        ignore=ignore_patterns(".*", "__pycache__", "tests", "bench", "clients", "docs", "build"),
    )
    subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel", "--dist-dir", str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert Page.load(tmp_path / "installed" / "handlers" / "web") == Page.load()
