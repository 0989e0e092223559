"""Clients that others wrote, as they are: a whole run, a server that is killed in its middle, and a
client that has everything."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from eventsource import EventSource
from httpx_sse import SSEError, connect_sse
from processes import PATIENCE, ROOT, Server, Simulator, server

FOLLOW = ROOT / "tests" / "others" / "follow.mjs"


class Got(NamedTuple):
    """An event as the client tells it."""

    name: str
    id: str
    data: dict[str, Any]


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("others"), chain.url) as started:
        yield started


def sent(url: str) -> list[str]:
    """Ids of what the server sends."""
    with EventSource(url) as source:
        return [event.id for event in source if event.id]


# curl


def curl(url: str, *arguments: str) -> Iterator[Got]:
    """Its output, read as `curl -N … | while read line` would."""
    command = ["curl", "--no-buffer", "--silent", *arguments, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        fields: dict[str, str] = {}
        for line in process.stdout:
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
            if not line.strip():
                yield Got(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
                fields = {}


@pytest.mark.parametrize("arguments", [[], ["--compressed"], ["--http1.0"]])
def test_curl_shows_a_whole_history_and_ends(
    served: Server, wallet: str, arguments: list[str]
) -> None:
    events = list(curl(served.stream(wallet), *arguments))
    assert events[-1].name == "complete"
    assert [event.id for event in events if event.id] == sent(served.stream(wallet))


def test_curl_goes_on_with_a_header_or_a_parameter_and_is_told_when_there_is_nothing(
    served: Server, wallet: str
) -> None:
    ids = sent(served.stream(wallet))
    header = curl(served.stream(wallet), "--header", f"Last-Event-ID: {ids[5]}")
    parameter = curl(served.stream(wallet, f"last_event_id={ids[5]}"))
    for events in (header, parameter):
        assert [event.id for event in events if event.id] == ids[6:]
    done = subprocess.run(
        [
            *("curl", "--silent", "--write-out", "%{http_code}"),
            *_after(ids[-1]),
            served.stream(wallet),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == "204"


def _after(event_id: str) -> list[str]:
    return ["--header", f"Last-Event-ID: {event_id}"]


# All of them, when the server is killed.


def by_curl(url: str, last: str) -> Iterator[Got]:
    yield from curl(url, *(_after(last) if last else []))


def by_httpx_sse(url: str, last: str) -> Iterator[Got]:
    headers = {"Last-Event-ID": last} if last else {}
    with (
        httpx.Client(timeout=PATIENCE) as client,
        connect_sse(client, "GET", url, headers=headers) as source,
    ):
        for event in source.iter_sse():
            yield Got(event.event, event.id, event.json())


@pytest.mark.parametrize("read", [by_curl, by_httpx_sse])
def test_a_loop_around_them_loses_nothing_when_the_server_is_killed(
    read: Callable[[str, str], Iterator[Got]],
    chain: Simulator,
    analysed: Path,
    large_wallet: str,
) -> None:
    with server(analysed, chain.url) as started:
        url = started.stream(large_wallet)
        whole = sent(url)
        found: list[Got] = []
        killed = False
        while not (found and found[-1].name == "complete"):
            last = next((event.id for event in reversed(found) if event.id), "")
            try:
                for event in read(url, last):
                    found.append(event)
                    if not killed and len(found) == 500:
                        killed = True
                        started.kill()
            except httpx.TransportError:
                assert killed
            if found[-1].name != "complete":
                started.start()
    assert killed
    assert [event.id for event in found if event.name in ("trade", "complete")] == whole


# httpx-sse


def test_httpx_sse_shows_a_whole_history_and_says_so_when_there_is_nothing(
    served: Server, wallet: str
) -> None:
    events = list(by_httpx_sse(served.stream(wallet), ""))
    assert events[-1].name == "complete"
    # It keeps the last id for events without one, as the standard says of `lastEventId`.
    ids = list(dict.fromkeys(event.id for event in events if event.id))
    assert ids == sent(served.stream(wallet))
    headers = {"Last-Event-ID": ids[-1]}
    with (
        httpx.Client() as client,
        connect_sse(client, "GET", served.stream(wallet), headers=headers) as source,
    ):
        assert source.response.status_code == 204
        with pytest.raises(SSEError):
            next(source.iter_sse())


# eventsource


def eventsource(url: str) -> subprocess.Popen[str]:
    command = ["node", str(FOLLOW), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FOLLOW.parent)


def test_eventsource_goes_on_after_a_kill_and_stops_asking_when_it_has_everything(
    chain: Simulator, analysed: Path, large_wallet: str
) -> None:
    with server(analysed, chain.url) as started:
        url = started.stream(large_wallet, "errors=event")
        whole = sent(started.stream(large_wallet))
        found: list[dict[str, Any]] = []
        with eventsource(url) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found.append(json.loads(line))
                if len(found) == 500:
                    started.kill()
                if found[-1]["event"] == "failed" and started.process.poll() is not None:  # type: ignore[union-attr]
                    started.start()
            assert process.wait(PATIENCE) == 0
    assert [each["id"] for each in found if each["event"] in ("trade", "complete")] == whole
    assert found[-2]["event"] == "failed"  # the stream ended after complete
    assert not found[-2]["stopped"]
    assert found[-1] == {"event": "failed", "status": 204, "stopped": True}


def test_eventsource_is_told_of_a_refusal_inside_the_stream(served: Server) -> None:
    with eventsource(f"{served.url}/v4/wallet/nobody/stream?errors=event") as process:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        process.kill()
    assert found["event"] == "error"
    assert found["data"]["code"] == "INVALID_WALLET"
