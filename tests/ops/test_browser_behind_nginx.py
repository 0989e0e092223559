"""A browser's own EventSource behind nginx, of which a status other than 200 would be the end."""

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from eventsource import EventSource
from processes import PATIENCE, free_port, server, simulator
from program import running
from proxies import Nginx

PAGE = """<!doctype html><title>a page of another origin</title><script>
let told = Promise.resolve();  // one after the other
const tell = (...what) => told = told.then(
    () => fetch("/", {method: "POST", body: JSON.stringify(what)}));
const source = new EventSource("URL");
source.addEventListener("complete", event => tell("complete", event.lastEventId));
source.addEventListener("trade", event => tell("trade", event.lastEventId));
source.addEventListener("error", event =>
    event.data ? tell("told", JSON.parse(event.data).code) : tell("lost", source.readyState));
</script>"""
CONNECTING = 0  # what an EventSource's readyState is while it will try again


@contextmanager
def page(port: int, url: str) -> Iterator["queue.Queue[tuple[str, Any]]"]:
    """Serves the page, and gets what it tells."""
    told: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(PAGE.replace("URL", url).encode())

        def do_POST(self) -> None:
            told.put(tuple(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own word
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            serving.shutdown()
            thread.join()


@contextmanager
def chromium(url: str, profile: Path) -> Iterator[None]:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", "--ignore-certificate-errors", f"--user-data-dir={profile}", url]
    with (profile.parent / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(
            # Without a port to be driven by, it would end as soon as the page is there.
            [*command, "--remote-debugging-port=0"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        browser.terminate()
        browser.wait(PATIENCE)


def test_an_event_source_survives_a_restart_and_misses_nothing(tmp_path: Path) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with (
        simulator("--only", "--wallets=60") as chain,
        server(tmp_path / "served", chain.url, POLL_SECONDS=1, ALLOWED_ORIGINS=origin) as srv,
    ):
        wallet = chain.wallet(60)
        proxy = Nginx(tmp_path / "nginx", [srv.port])
        proxy.name_origin(origin)
        stream = f"{proxy.url}/v4/wallet/{wallet}/stream?follow=true"
        with (
            running(proxy),
            page(port, stream) as told,
            chromium(origin, tmp_path / "profile"),
        ):
            seen: list[tuple[str, Any]] = []

            def wait_for(what: str) -> None:
                """The next of these."""
                seen.append(told.get(timeout=PATIENCE))
                while seen[-1][0] != what:
                    seen.append(told.get(timeout=PATIENCE))

            wait_for("complete")
            srv.kill()
            wait_for("told")
            assert "DRAINING" in seen[-1]
            made = 0
            while made < 3:
                made += len(chain.append(wallet, 1))
            srv.start()
            for _ in range(made):
                wait_for("trade")
            trades = [each for what, each in seen if what == "trade"]
            with EventSource(srv.stream(wallet, "follow=true")) as reader:
                assert trades == [reader.until("trade")[-1].id for _ in trades]
    assert {state for what, state in seen if what == "lost"} == {CONNECTING}
