"""What it costs to know who asks: a key or token that was seen before, and what is counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from time import process_time

from bench.contenders import new_key
from bench.row import Row, at_most
from wd_server.access.authenticator import Authenticator
from wd_server.access.credentials import Credential, presented
from wd_server.backend_choice import choose_backend
from wd_server.config.settings import Settings
from wd_server.tasks import Tasks

CALLS, ROUNDS = 5_000, 7
ADDRESS = "192.0.2.1"
# The contract of a key that is known: what a stream may cost more because of it.
CHECK_MICROSECONDS = 20


def measure() -> list[Row]:
    with TemporaryDirectory() as folder:
        environ = {"DATA_DIR": folder, "API_KEY_REQUIRED": "true"}
        environ |= {"RATE_LIMIT_REQUESTS": "1000000"}
        return asyncio.run(_measured(Settings.from_environment(environ), new_key(environ)))


async def _measured(settings: Settings, text: str) -> list[Row]:
    tasks = Tasks()
    backend = choose_backend(settings, tasks)
    authenticator = Authenticator.from_settings(
        settings, backend.keys, backend.counters, time.time, tasks
    )
    await backend.open()
    await authenticator.open()
    try:
        key = presented(x_api_key=[text])
        principal = await authenticator.check(key, ADDRESS, time.time())
        token = presented(x_api_key=[authenticator.issue(principal, time.time()).token.reveal()])

        async def enter() -> None:
            (await authenticator.take_slot(principal, lambda ending: None)).release()

        async def spend() -> None:
            await authenticator.spend(principal)

        return [
            await _row(
                "checking a key that was seen before", _check(authenticator, key), judged=True
            ),
            await _row(
                "checking a token that was seen before", _check(authenticator, token), judged=True
            ),
            await _row("counting a request", spend),
            await _row("counting a stream in and out", enter),
        ]
    finally:
        await authenticator.close()
        await backend.close()


def _check(
    authenticator: Authenticator, credential: Credential | None
) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await authenticator.check(credential, ADDRESS, time.time())

    return check


async def _row(what: str, call: Callable[[], Awaitable[None]], *, judged: bool = False) -> Row:
    """CPU of this process, the best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = process_time()
        for _ in range(CALLS):
            await call()
        best = min(best, (process_time() - before) / CALLS * 1e6)
    figure = f"{best:.1f} µs CPU"
    return at_most(what, best, CHECK_MICROSECONDS, figure, " µs") if judged else Row(what, figure)
