"""What the documents tell people to type works: their blocks are run against the demo.

The word behind a fence decides: `sh`, `python` and `js` (they end well), `html` (it shows a whole
history) are run, `text`, `json` and `yaml` are data, `console` is shown only. A comment before the
fence says the rest: `endless` of what prints something and stays; `shown:` and why, which a
`console` has to have; `file:` and its path, of what is a file of the project and isn't run here; no
fence is without a word. The blocks of one document share a folder, and
find `bin/`, a key in `KEY`, and the demo where it is by default.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import NamedTuple

import pytest
from demo import demo
from posted import chromium, page
from processes import PATIENCE, ROOT, free_port
from scripted_server import ScriptedServer

from handlers import events_page, requests_page

COVERED = (
    "README.md",
    "clients/python/README.md",
    "clients/ts/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
)
RUN = {"sh", "python", "js", "html"}
DATA = {"text", "json", "yaml"}
# What a reader's machine has at these places.
DEMO_URL = "http://127.0.0.1:5000"
FENCE = re.compile(r"(?m)^```(.*)\n((?:.*\n)*?)```$")
REASON = re.compile(r"<!-- shown: .+ -->\n$")
ENDLESS = "<!-- endless -->\n"
FILE = re.compile(r"<!-- file: (\S+) -->\n$")


class Block(NamedTuple):
    document: str
    line: int
    kind: str
    text: str
    before: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str) -> Iterator[Block]:
    text = (ROOT / document).read_text()
    for found in FENCE.finditer(text):
        before = text[: found.start()]
        yield Block(document, before.count("\n") + 1, found[1].strip(), found[2], before)


def runnable(document: str) -> list[Block]:
    return [
        block
        for block in blocks(document)
        if block.kind in RUN and FILE.search(block.before) is None
    ]


@pytest.mark.parametrize("document", COVERED)
def test_every_block_says_what_it_is(document: str) -> None:
    for block in blocks(document):
        shown = block.kind == "console" and REASON.search(block.before)
        assert block.kind in RUN | DATA or shown, f"{block.place}: {block.kind or 'no word'}"


def test_files_that_are_shown_are_as_they_are_in_the_project() -> None:
    shown = [
        (block, found[1])
        for document in COVERED
        for block in blocks(document)
        if (found := FILE.search(block.before)) is not None
    ]
    assert shown
    for block, path in shown:
        assert block.text == (ROOT / path).read_text(), f"{block.place} isn't {path}"


class Demo(NamedTuple):
    """`page_port`: pages from there may read its streams."""

    url: str
    key: str
    data_dir: Path
    page_port: int


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    data_dir = tmp_path_factory.mktemp("demo")
    environment = {"DATA_DIR": str(data_dir), "PATH": os.environ["PATH"]}
    page_port = free_port()
    origin = f"http://127.0.0.1:{page_port}"
    with demo("--data-dir", str(data_dir), ALLOWED_ORIGINS=origin) as (_, printed):
        found = re.search(r"http://127\.0\.0\.1:\d+", printed)
        assert found is not None
        made = subprocess.run(
            [sys.executable, str(ROOT / "bin/wd-keys"), "create", "--name", "reader", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        key = re.search(r"wd_\w{32}", made.stdout)
        assert key is not None
        yield Demo(found[0], key[0], data_dir, page_port)


@pytest.mark.parametrize("document", [each for each in COVERED if runnable(each)])
def test_what_is_to_be_typed_works(
    document: str, running: Demo, ts_client: Path, tmp_path: Path
) -> None:
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "wd-client").symlink_to(ts_client)
    (modules / "eventsource").symlink_to(ROOT / "tests/others/node_modules/eventsource")
    (tmp_path / "bin").symlink_to(ROOT / "bin")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DATA_DIR": str(running.data_dir),
        "WD_URL": running.url,
        "KEY": running.key,
    }
    for block in runnable(document):
        text = block.text.replace(DEMO_URL, running.url)
        if block.kind == "html":
            _show(block._replace(text=text), running.page_port, tmp_path / "profile")
        else:
            _run(block._replace(text=text), environment, tmp_path)


def _run(block: Block, environment: dict[str, str], folder: Path) -> None:
    script = folder / {"python": "block.py", "js": "block.mjs"}.get(block.kind, "block.sh")
    script.write_text(block.text)
    program = {"python": [sys.executable], "js": ["node"]}.get(block.kind, ["bash", "-eu"])
    process = subprocess.Popen(
        [*program, str(script)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        if block.before.endswith(ENDLESS):
            assert process.stdout.readline(), block.place
            return
        printed, _ = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0, f"{block.place}: {printed}"
        assert printed or ">" in block.text, f"{block.place} printed nothing"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_lines_that_prove_a_history_refuse_one_that_was_altered(
    running: Demo, tmp_path: Path
) -> None:
    (block,) = [each for each in blocks("docs/resuming.md") if each.kind == "python"]
    (url,) = re.findall(rf"{DEMO_URL}\S+(?=\")", block.text)
    # HTTP/1.0, so that the body is the frames and nothing else.
    asked = ["curl", "--silent", "--http1.0", url.replace(DEMO_URL, running.url)]
    whole = subprocess.run(asked, capture_output=True, check=True, timeout=PATIENCE).stdout
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    altered = whole.replace(b'"priced":true', b'"priced":1234', 1)
    for body, code, told in ((whole, 0, "proved"), (altered, 1, "altered: read it anew")):
        with ScriptedServer([head + body], stays=False) as scripted:
            text = block.text.replace(DEMO_URL, scripted.url)
            done = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, timeout=PATIENCE
            )
        assert done.returncode == code, done.stderr
        assert told in done.stdout + done.stderr


WATCHED = """<script type="module">
new MutationObserver(() => {
  const body = JSON.stringify(document.body.innerText);
  fetch("/", { method: "POST", body });
}).observe(document.body, { childList: true, subtree: true, characterData: true });
</script>"""


def _show(block: Block, port: int, profile: Path) -> None:
    watched = block.text + WATCHED
    with page(watched, ROOT / "docs", port) as (address, posted), chromium(address, profile):
        seen = ""
        try:
            while not ("complete" in seen and "buy" in seen):
                seen = posted.get(timeout=PATIENCE)
        except Empty:
            pytest.fail(f"{block.place} shows {seen!r}")


def test_the_reference_of_events_is_what_the_code_says() -> None:
    assert (ROOT / "docs/events.md").read_text() == events_page.page(), "run `make docs`"


def test_the_reference_of_requests_is_what_the_code_says() -> None:
    assert (ROOT / "docs/requests.md").read_text() == requests_page.page(), "run `make docs`"


def test_the_site_builds_without_a_warning_and_needs_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for path in (tmp_path / "site").rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img)\b[^>]*>", path.read_text()):
            elsewhere = re.search(r"(?:src|href)=\"(?:https?:)?//", tag)
            assert not elsewhere or 'rel="canonical"' in tag, f"{path.name}: {tag}"
