"""`wd-webhook replay` gives its secret only to the server that is named, and removes only what that
server says it has stored."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from wd_tools.webhook import cli

SECRET = "a secret that goes to nobody else"
STORED = b'{"stored":1}'
NAMES = [f"{number:016}" for number in (1, 2, 3)]

Answer = tuple[int, Mapping[str, str], bytes]


class Site(ThreadingHTTPServer):
    """Answers as `answers` says for a body, else that it is stored. `seen`: method, secret and body
    of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[bytes, Answer] = {}
        self.seen: list[tuple[str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v4/webhooks/helius"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.headers["Authorization"], body))
        status, headers, said = self.server.answers.get(body, (200, {}, STORED))
        self.send_response(status, "so")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        pass


def _serving() -> Iterator[Site]:
    with Site() as site:
        thread = Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


site = pytest.fixture(_serving, name="site")
other = pytest.fixture(_serving, name="other")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The quarantine, with three deliveries: `1`, `2` and `3`."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    made = tmp_path / "quarantine"
    made.mkdir()
    for name in NAMES:
        (made / name).write_text(str(int(name)))
    return made


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_nothing_is_removed(
    site: Site, other: Site, folder: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    site.answers = {b"1": (status, {"Location": other.url}, b"")}
    assert cli.main(["replay", site.url]) == cli.EXIT_REFUSED
    assert other.seen == [], "the secret isn't for whoever is named there"
    assert left(folder) == NAMES
    said = capsys.readouterr()
    assert said.out == ""
    assert f"wd-webhook: {NAMES[0]}: the server answered {status}. Name the URL" in said.err


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((520, {}, b""), cli.EXIT_UNAVAILABLE, "answered 520."),
        ((503, {}, b""), cli.EXIT_UNAVAILABLE, "answered 503."),
        ((403, {}, b""), cli.EXIT_REFUSED, "WEBHOOK_SECRET isn't the server's."),
        ((404, {}, b""), cli.EXIT_REFUSED, "answered 404."),
        ((499, {}, b""), cli.EXIT_REFUSED, "answered 499."),
        ((200, {}, b"<html>a page</html>"), cli.EXIT_REFUSED, "isn't the webhook's endpoint"),
        ((204, {}, b""), cli.EXIT_REFUSED, "isn't the webhook's endpoint"),
    ],
)
def test_an_answer_that_is_no_proof_of_storing_removes_nothing(
    site: Site,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    code: int,
    said: str,
) -> None:
    site.answers = {b"1": answer}
    assert cli.main(["replay", site.url]) == code
    assert left(folder) == NAMES
    told = capsys.readouterr()
    assert said in told.err
    assert SECRET not in told.out + told.err


@pytest.mark.parametrize("status", [400, 413])
def test_a_delivery_that_is_refused_for_itself_does_not_stop_those_behind_it(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    site.answers = {b"2": (status, {}, b"")}
    assert cli.main(["replay", site.url]) == cli.EXIT_REFUSED
    assert [body for _, _, body in site.seen] == [b"1", b"2", b"3"]
    assert {(method, secret) for method, secret, _ in site.seen} == {("POST", SECRET)}
    assert left(folder) == [NAMES[1]]
    said = capsys.readouterr()
    assert said.out == f"{NAMES[0]} delivered\n{NAMES[2]} delivered\n"
    assert said.err == f"wd-webhook: {NAMES[1]}: the server answered {status}.\n"


@pytest.mark.parametrize(
    "url", ["http://[", "ftp://h/", "http://", "http://h:99999/", "http://h:x/", "", "http://h:0"]
)
def test_what_is_no_url_is_said_to_be_none(
    folder: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert cli.main(["replay", url]) == cli.EXIT_REFUSED
    assert capsys.readouterr().err == f"wd-webhook: {url} is no http or https URL.\n"
    assert left(folder) == NAMES


@pytest.mark.parametrize(
    ("secret", "path"), [("€" * 20, ""), (SECRET, "/a path"), (SECRET, "/\N{SNOWMAN}")]
)
def test_what_cannot_be_sent_is_an_error_that_repeats_no_secret(
    site: Site,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secret: str,
    path: str,
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    assert cli.main(["replay", site.url + path]) == cli.EXIT_UNAVAILABLE
    said = capsys.readouterr().err
    assert "can't be reached" in said
    assert secret[0] * 2 not in said.replace(NAMES[0], "")
    assert left(folder) == NAMES


def test_helius_is_not_followed_elsewhere_either(
    site: Site, other: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIUS_API_URL", f"{site.url}?api-key=k")
    site.answers = {b"": (302, {"Location": other.url}, b"")}
    assert cli.main(["list"]) != 0
    assert other.seen == []


def test_an_empty_quarantine_is_said_to_be_empty_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATA_DIR", raising=False)
    settings = tmp_path / "env"
    settings.write_text(f"DATA_DIR={tmp_path}\nWEBHOOK_SECRET={SECRET}\n")
    for arguments in (["quarantine"], ["replay", "http://127.0.0.1:9/"]):
        assert cli.main(["--env-file", str(settings), *arguments]) == 0
        assert capsys.readouterr() == ("", f"Nothing is in {tmp_path / 'quarantine'}.\n")


def test_a_missing_url_is_all_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["replay"])
    assert "required: url\n" in capsys.readouterr().err


def test_a_folder_among_the_deliveries_is_passed_over(site: Site, folder: Path) -> None:
    (folder / "0000000000000009").mkdir()
    assert cli.main(["replay", site.url]) == 0
    assert json.dumps(left(folder)) == '["0000000000000009"]'
