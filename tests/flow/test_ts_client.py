"""The TypeScript client in clients/ts: built, then run by Node and by Chromium."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource
from posted import chromium, page
from processes import PATIENCE, ROOT, Server, Simulator, server

TSC = ROOT / "clients/ts/node_modules/.bin/tsc"


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("ts"), chain.url) as started:
        yield started


def test_its_own_tests_pass_against_the_real_server(
    ts_client: Path, served: Server, chain: Simulator, wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path / "guarded", chain.url, API_KEY_REQUIRED="true") as guarded:
        report = run(
            *("node", "--test", *sorted((ts_client / "test").glob("*.test.mjs"))),
            SERVER=served.url,
            GUARDED=guarded.url,
            KEY=guarded.key(),
            WALLET=wallets[0],
            OTHER_WALLET=wallets[1],
        )
    assert "# skipped 0" in report


def test_a_server_that_is_killed_and_started_again_loses_nothing(
    ts_client: Path, chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        with EventSource(started.stream(large_wallet)) as source:
            ids = [event.id for event in source if event.id]
        process = subprocess.Popen(
            ["node", str(ts_client / "examples" / "follow.mjs"), started.url, large_wallet],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        found: list[dict[str, Any]] = []
        for line in process.stdout:
            found.append(json.loads(line))
            if len(found) == 500:
                started.kill()
            if found[-1]["event"] == "away" and started.process.poll() is not None:  # type: ignore[union-attr]
                started.start()
        assert process.wait(PATIENCE) == 0
        process.stdout.close()
    assert "away" in {each["event"] for each in found}
    assert [each["id"] for each in found if each["id"]] == ids


def test_what_the_server_sends_has_the_types_that_are_declared(
    ts_client: Path, served: Server, wallets: list[str], tmp_path: Path
) -> None:
    """The compiler looks: nothing missing, nothing too much, nothing of another type."""
    streams = [
        served.stream(wallets[0]),
        served.stream(wallets[1], "batch=9"),
        f"{served.url}/v4/stream?wallet={wallets[0]}&wallet={wallets[1]}",
        served.stream(wallets[0], "last_event_id=1-5&skip_pricing=true"),
    ]
    events = []
    for url in streams:
        with EventSource(url) as source:
            events += [{"event": each.name, "id": each.id, "data": each.data} for each in source]
    assert {"connected", "progress", "trade", "trades", "complete", "gap"} <= {
        each["event"] for each in events
    }
    source_text = tmp_path / "sent.ts"
    source_text.write_text(
        f'import type {{ StreamEvent }} from "{ts_client}/dist/index.js";\n'
        f"export const sent: StreamEvent[] = {json.dumps(events)};\n"
    )
    strict = ("--strict", "--exactOptionalPropertyTypes", "--noEmit")
    modern = ("--target", "ES2022", "--module", "NodeNext", "--types", "")
    run(TSC, *strict, *modern, source_text)


PAGE = """<!doctype html><script type="module">
const found = [];
try {
  const { stream } = await import("/index.js");
  const { SERVER, WALLET, KEY } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  for await (const { event, id } of stream(SERVER, WALLET, { key: KEY })) found.push({ event, id });
} catch (error) {
  found.push({ event: String(error), id: null });
}
await fetch("/", { method: "POST", body: JSON.stringify(found) });
</script>"""


def test_a_page_of_another_origin_reads_a_stream_in_chromium(
    ts_client: Path, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with page(PAGE, ts_client / "dist") as (origin, posted):
        settings = {"ALLOWED_ORIGINS": origin, "API_KEY_REQUIRED": "true"}
        with server(tmp_path / "data", chain.url, **settings) as started:
            key = started.key()
            with EventSource(started.stream(wallet), {"X-API-Key": key}) as source:
                ids = [event.id for event in source if event.id]
            wish = json.dumps({"SERVER": started.url, "WALLET": wallet, "KEY": key})
            with chromium(f"{origin}/#{wish}", tmp_path / "profile"):
                found = posted.get(timeout=2 * PATIENCE)
    assert [each["id"] for each in found if each["id"]] == ids
    assert found[-1]["event"] == "complete"
