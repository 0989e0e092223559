"""The page as it goes out: to whom, how large, how long it may be kept, what it may do."""

import gzip
import re

import pytest
from processes import ROOT, Server
from wire import Answer, exchange

BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
GZIP = ("Accept-Encoding", "gzip, deflate, br")
WEB = ROOT / "handlers" / "web"
# Bytes of all that a browser loads to show the page.
WEIGHT = 100_000


def page_of(served: Server, *headers: tuple[str, str]) -> Answer:
    return exchange(served.url, "/", headers=[BROWSER, *headers])


def loaded_by(page: Answer) -> list[str]:
    return re.findall(r'(?:src|href)="(/web/[^"]+)"', page.body.decode())


def test_browsers_get_the_page_and_programs_get_json(served: Server) -> None:
    page = page_of(served)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body.startswith(b"<!doctype html>")
    for accept in ("*/*", "application/json", "text/event-stream"):
        other = exchange(served.url, "/", headers=[("Accept", accept)])
        assert other.headers["content-type"] == "application/json"
        assert "Accept" in other.headers["vary"]
    assert "Accept" in page.headers["vary"]


def test_the_page_may_load_from_its_own_server_and_nothing_else(served: Server) -> None:
    page = page_of(served)
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(rb"<style|style=|<script(?![^>]* src=)| on\w+=", page.body)
    for file in WEB.rglob("*"):
        if file.is_file() and "vendor" not in file.parts:
            hosts = set(re.findall(r"https?://([\w.]+)", file.read_text()))
            # An explorer is a link that people follow; the other names a format.
            assert hosts <= {"solscan.io", "www.w3.org"}, file


def test_everything_it_loads_is_there_and_asked_for_at_once(served: Server) -> None:
    loaded = loaded_by(page_of(served))
    modules = {path.rpartition("/")[2] for path in loaded if "/vendor/" not in path}
    assert {file.name for file in WEB.glob("*.js")} <= modules
    for path in loaded:
        answer = exchange(served.url, path)
        assert (answer.status, answer.body) == (200, (WEB / path.split("/", 3)[3]).read_bytes())


def test_all_of_it_weighs_less_than_a_hundred_kilobytes(served: Server) -> None:
    page = page_of(served, GZIP)
    loaded = loaded_by(page_of(served))
    answers = [page, *(exchange(served.url, path, headers=[GZIP]) for path in loaded)]
    for answer in answers:
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
    assert gzip.decompress(page.body) == page_of(served).body
    lines = [f"{name}: {value}\r\n" for each in answers for name, value in each.headers.items()]
    assert sum(map(len, lines)) + sum(len(answer.body) for answer in answers) < WEIGHT


def test_what_has_a_version_is_kept_for_good_and_the_page_is_asked_for_each_time(
    served: Server,
) -> None:
    page = page_of(served)
    assert page.headers["cache-control"] == "no-cache"
    again = page_of(served, ("If-None-Match", page.headers["etag"]))
    assert (again.status, again.body) == (304, b"")
    for path in loaded_by(page):
        assert "immutable" in exchange(served.url, path).headers["cache-control"]
    # Of a node that has another version.
    other = exchange(served.url, "/web/0000000000000000/main.js")
    assert (other.status, other.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "index.html", "../page.py", "..%2fpage.py", "vendor/", "%2e%2e/home.py", ""],
)
def test_nothing_but_the_pages_files_is_there(served: Server, name: str) -> None:
    answer = exchange(served.url, f"/web/v/{name}")
    assert (answer.status, answer.problem()["code"]) == (404, "NOT_FOUND")


def test_the_licence_of_what_others_wrote_is_beside_it(served: Server) -> None:
    answer = exchange(served.url, "/web/v/vendor/uplot.LICENSE")
    assert b"MIT License" in answer.body
    assert b"Leon Sorokin" in answer.body


@pytest.mark.parametrize("path", ["/", "/web/v/main.js"])
def test_head_has_what_get_has(served: Server, path: str) -> None:
    get, head = (
        exchange(served.url, path, method=method, headers=[BROWSER, GZIP])
        for method in ("GET", "HEAD")
    )
    assert head.body == b""
    for name in ("content-type", "content-length", "etag", "cache-control", "content-encoding"):
        assert head.headers[name] == get.headers[name]
