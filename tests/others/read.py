"""What a client of others makes of a stream, with the loop that it needs around it:
read.py CLIENT URL. A line of JSON for each stored event with its id, and `failed` for each time the
connection ended. It ends after `complete`, unless the URL says to follow."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import aiohttp
import httpx
import requests
import sseclient
from aiohttp_sse_client.client import EventSource
from httpx_sse import connect_sse
from wd_client import Away, stream_sync

NAMES = frozenset({"trade", "complete", "bye"})
# Seconds until the next attempt: what an EventSource waits when nobody said how long.
RETRY_SECONDS = 1.0
# Seconds without a byte, longer than the time between two heartbeats.
SILENCE_SECONDS = 60

Found = Iterator[tuple[str, str]]


def say(name: str, event_id: str) -> None:
    print(json.dumps({"event": name, "id": event_id}), flush=True)


def with_httpx_sse(url: str, headers: dict[str, str]) -> Found:
    with (
        httpx.Client(timeout=SILENCE_SECONDS) as client,
        connect_sse(client, "GET", url, headers=headers) as source,
    ):
        for event in source.iter_sse():
            yield event.event, event.id


def with_sseclient(url: str, headers: dict[str, str]) -> Found:
    accept = {"Accept": "text/event-stream"}
    with requests.get(
        url, headers={**accept, **headers}, stream=True, timeout=SILENCE_SECONDS
    ) as response:
        for event in sseclient.SSEClient(response).events():
            yield event.event, event.id or ""


def with_aiohttp_sse_client(url: str, headers: dict[str, str]) -> Found:
    async def opened() -> EventSource:
        return await EventSource(url, headers=headers).__aenter__()

    with asyncio.Runner() as runner:
        source = runner.run(opened())
        try:
            while (event := runner.run(anext(source, None))) is not None:
                yield event.type, event.last_event_id
        finally:
            runner.run(source.__aexit__())


def with_curl(url: str, headers: dict[str, str]) -> Found:
    asked = [part for pair in headers.items() for part in ("--header", ": ".join(pair))]
    command = ["curl", "--no-buffer", "--silent", *asked, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        fields: dict[str, str] = {}
        for line in process.stdout:
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
            if not name:
                yield fields.get("event", ""), fields.get("id", "")
                fields = {}


def around(read: Callable[[str, dict[str, str]], Found], url: str) -> None:
    """The loop: keep the last id, and come back with it."""
    headers: dict[str, str] = {}
    while True:
        try:
            for name, event_id in read(url, headers):
                if name in NAMES:
                    say(name, event_id)
                if event_id:
                    headers["Last-Event-ID"] = event_id
                if name == "complete" and "follow" not in url:
                    return
        except (OSError, httpx.HTTPError, requests.RequestException, aiohttp.ClientError):
            pass
        say("failed", "")
        time.sleep(RETRY_SECONDS)


def with_ours(url: str) -> None:
    origin, _, rest = url.partition("/v4/wallet/")
    wallet, _, query = rest.partition("/stream")
    for event in stream_sync(origin, wallet, follow="follow" in query):
        name = "failed" if isinstance(event, Away) else type(event).__name__.lower()
        if name in NAMES | {"failed"}:
            say(name, event.id or "")


LOOPS = {
    "httpx-sse": with_httpx_sse,
    "sseclient-py": with_sseclient,
    "aiohttp-sse-client": with_aiohttp_sse_client,
    "curl": with_curl,
}

if __name__ == "__main__":
    client, where = sys.argv[1:]
    if client == "wd_client":
        with_ours(where)
    else:
        around(LOOPS[client], where)
