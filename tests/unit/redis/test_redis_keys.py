"""What only the Redis store can meet: a server that goes away, and one that forgets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

import pytest
from authenticators import HOME, NOW, UNKNOWN, credential
from linked import LinkedKeys
from processes import PATIENCE
from redis_server import RedisServer, redis_server

from wd_server.access.authenticator import Authenticator
from wd_server.access.keyring import KeyRequest, Keyring
from wd_server.access.session_slots import Ending
from wd_server.access.store import STORE_SECONDS
from wd_server.config.settings import Settings
from wd_server.errors import InvalidKey, StoreUnavailable
from wd_server.redis.backend import RedisBackend
from wd_server.redis.keys import RedisKeyStore
from wd_server.secret import Secret
from wd_server.tasks import Tasks

# Seconds that a wallet is kept: longer than a test.
KEEP_SECONDS = 600

Scenario = Callable[[RedisServer, RedisKeyStore], Awaitable[None]]


def play(scenario: Scenario, *, keeps: bool = True) -> None:
    async def life(server: RedisServer) -> None:
        store = LinkedKeys(server.url)
        await store.open()
        try:
            async with asyncio.timeout(PATIENCE):
                await scenario(server, store)
        finally:
            await store.close()

    with redis_server(keeps=keeps) as server:
        asyncio.run(life(server))


@asynccontextmanager
async def authenticator_of(server: RedisServer) -> AsyncIterator[Authenticator]:
    environ = {"REDIS_URL": server.url.reveal(), "SECRET_KEY": "s" * 32}
    tasks = Tasks()
    backend = RedisBackend(server.url, KEEP_SECONDS, tasks)
    authenticator = Authenticator.from_settings(
        Settings.from_environment(environ), backend.keys, backend.counters, lambda: NOW, tasks
    )
    await backend.open()
    await authenticator.open()
    try:
        yield authenticator
    finally:
        await authenticator.close()
        await backend.close()


def keyring(store: RedisKeyStore, authenticator: Authenticator) -> Keyring:
    return Keyring(store, authenticator.signing_keys.current)


def test_a_restart_in_the_middle_is_unavailable_and_then_works_again() -> None:
    async def scenario(server: RedisServer, store: RedisKeyStore) -> None:
        async with authenticator_of(server) as authenticator:
            ring = keyring(store, authenticator)
            new = await ring.create(KeyRequest("x"), NOW)
            server.stop()
            asked = monotonic()
            with pytest.raises(StoreUnavailable):
                await store.snapshot()
            assert monotonic() - asked < STORE_SECONDS + 1
            with pytest.raises(StoreUnavailable):  # it may have been made just now, nobody can say
                await authenticator.check(UNKNOWN, HOME, NOW)
            server.start()
            assert [key.id for key in await ring.all()] == [new.key.id]
            while True:  # until the authenticator's own next look
                with suppress(StoreUnavailable):
                    assert await authenticator.check(credential(new.text), HOME, NOW)
                    break
                await asyncio.sleep(0.02)

    play(scenario)


def test_who_had_keys_of_a_redis_that_forgot_them_has_to_leave() -> None:
    async def scenario(server: RedisServer, store: RedisKeyStore) -> None:
        async with authenticator_of(server) as authenticator:
            ring = keyring(store, authenticator)
            new = await ring.create(KeyRequest("x"), NOW)
            principal = await authenticator.check(credential(new.text), HOME, NOW)
            ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
            await authenticator.take_slot(principal, ended.set_result)
            server.stop()
            server.start()
            assert await ended is Ending.REVOKED
            with pytest.raises(InvalidKey):
                await authenticator.check(credential(new.text), HOME, NOW)
            # Generations go on from where no earlier one was.
            again = await ring.create(KeyRequest("again"), NOW)
            assert await authenticator.check(credential(again.text), HOME, NOW)

    play(scenario, keeps=False)


def test_a_server_that_can_not_be_reached_says_so_when_it_is_opened() -> None:
    async def scenario() -> None:
        store = LinkedKeys(Secret("redis://127.0.0.1:1/"))
        with pytest.raises(StoreUnavailable):
            await store.open()
        await store.close()

    asyncio.run(scenario())


def test_a_server_that_is_silent_is_waited_for_no_longer_than_allowed() -> None:
    async def scenario() -> None:
        async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.append(writer)

        taken: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = LinkedKeys(Secret(f"redis://127.0.0.1:{port}/"))
        async with asyncio.timeout(STORE_SECONDS + PATIENCE):
            with pytest.raises(StoreUnavailable):
                await store.open()
        await store.close()
        for writer in taken:
            writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(scenario())


def test_a_server_that_is_no_redis_of_ours_is_an_unavailable_store() -> None:
    async def scenario(server: RedisServer, store: RedisKeyStore) -> None:
        other = LinkedKeys(Secret(server.url.reveal().replace("//", "//user:wrong@")))
        with pytest.raises(StoreUnavailable) as caught:
            await other.open()
        assert "wrong" not in f"{caught.value} {caught.value.__cause__!r}"
        await other.close()

    play(scenario)
