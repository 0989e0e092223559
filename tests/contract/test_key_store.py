"""The promises of `wd_server.access.store`, kept by every store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import pytest
from backends import Place, opened, replace_in_all

from wd_server.access import store as store_module
from wd_server.access.keys import ApiKey
from wd_server.access.store import CHANGES_KEPT, Changes, Exchange, KeyStore
from wd_server.errors import StoreFull

NOW = 1_700_000_000.25

Play = Callable[[Callable[[KeyStore], Awaitable[None]]], None]


@pytest.fixture
def play(place: Place) -> Play:
    """Run a scenario on an open store. Each call is a new life of the process that has it."""

    async def life(scenario: Callable[[KeyStore], Awaitable[None]]) -> None:
        async with opened(place) as backend:
            await scenario(backend.keys)

    return lambda scenario: asyncio.run(life(scenario))


@asynccontextmanager
async def beside(place: Place) -> AsyncIterator[KeyStore]:
    """The keys as `wd-keys` has them, beside a server."""
    backend = place.make(monotonic)
    await backend.open_keys()
    try:
        yield backend.keys
    finally:
        await backend.close()


def key(number: int = 1, **fields: object) -> ApiKey:
    name = f"wd_{number:08}"
    given = {"name": f"key {number}", "digest": f"{number:064x}", "under": "abcd", **fields}
    return ApiKey(id=name, family=name, created_at=NOW, **given)  # type: ignore[arg-type]


FULL = key(
    7,
    name='é "quoted"\n😀 {braces}',
    streams=0,
    requests=5,
    wallets=("a", "b"),
    expires_at=NOW + 1.5,
    revoked_at=NOW + 0.125,
    successor="wd_00000008",
)


def new(*keys: ApiKey) -> list[Exchange]:
    return [Exchange(None, each) for each in keys]


async def changes(store: KeyStore, after: int) -> Changes:
    found = await store.changes(after)
    assert found is not None
    return found


def test_a_new_store_is_empty(play: Play) -> None:
    async def scenario(store: KeyStore) -> None:
        snapshot = await store.snapshot()
        assert (snapshot.keys, dict(snapshot.tokens)) == ((), {})
        assert await store.changes(snapshot.generation) == Changes(snapshot.generation, (), (), {})

    play(scenario)


def test_a_key_comes_back_as_it_was_also_in_a_later_life(play: Play) -> None:
    async def first_life(store: KeyStore) -> None:
        assert await store.exchange(new(FULL, key(1)))
        assert {*(await store.snapshot()).keys} == {FULL, key(1)}

    async def second_life(store: KeyStore) -> None:
        assert {*(await store.snapshot()).keys} == {FULL, key(1)}

    play(first_life)
    play(second_life)


def test_an_exchange_of_what_is_not_there_any_more_stores_nothing(play: Play) -> None:
    other = msgspec.structs.replace(key(1), name="another")

    async def scenario(store: KeyStore) -> None:
        assert await store.exchange(new(key(1)))
        generation = (await store.snapshot()).generation
        assert not await store.exchange(new(key(2), key(1)))
        assert not await store.exchange([*new(key(2)), Exchange(other, key(1))])
        assert not await store.exchange([Exchange(key(3), None)])
        snapshot = await store.snapshot()
        assert (snapshot.keys, snapshot.generation) == ((key(1),), generation)

    play(scenario)


def test_of_two_that_change_a_key_at_once_one_is_told_to_look_again(
    place: Place,
) -> None:
    async def scenario() -> None:
        async with opened(place) as backend, beside(place) as other:
            await other.exchange(new(key(1)))
            done = await asyncio.gather(
                *(
                    store.exchange([Exchange(key(1), key(1, name=f"{number}"))])
                    for number, store in enumerate((backend.keys, other) * 5)
                )
            )
            assert done.count(True) == 1

    asyncio.run(scenario())


def test_changes_tell_what_others_did_since(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend, beside(place) as other:
            await other.exchange(new(key(1), key(2), key(3)))
            first = (await backend.keys.snapshot()).generation
            renamed = msgspec.structs.replace(key(1), name="renamed")
            await other.exchange([Exchange(key(1), renamed), Exchange(key(2), None)])
            await other.revoke_token("jti é", NOW + 60, NOW)
            told = await changes(backend.keys, first)
            assert told.generation > first
            assert told.keys == (renamed,)
            assert told.forgotten == (key(2).id,)
            assert told.tokens == {"jti é": NOW + 60}
            none = Changes(told.generation, (), (), {})
            assert await changes(backend.keys, told.generation) == none

    asyncio.run(scenario())


def test_a_key_that_changed_twice_is_told_once_as_it_is_now(play: Play) -> None:
    async def scenario(store: KeyStore) -> None:
        await store.exchange(new(key(1)))
        before = (await store.snapshot()).generation
        await store.exchange([Exchange(key(1), key(1, name="second"))])
        await store.exchange([Exchange(key(1, name="second"), key(1, name="third"))])
        assert (await changes(store, before)).keys == (key(1, name="third"),)

    play(scenario)


def test_who_comes_from_too_long_ago_or_from_another_store_needs_a_snapshot(play: Play) -> None:
    async def scenario(store: KeyStore) -> None:
        await store.exchange(new(key(1)))
        start = (await store.snapshot()).generation
        assert await store.changes(start + 1) is None
        before, name = key(1), 0
        for _ in range(CHANGES_KEPT // 100):
            for _ in range(100):
                name += 1
                after = key(1, name=str(name))
                await store.exchange([Exchange(before, after)])
                before = after
        assert (await changes(store, start)).keys == (before,)
        await store.exchange([Exchange(before, key(1))])
        assert await store.changes(start) is None

    play(scenario)


def test_a_revoked_token_is_remembered_as_long_as_it_has_to_be(play: Play) -> None:
    async def first_life(store: KeyStore) -> None:
        await store.revoke_token("short", NOW + 1, NOW)
        await store.revoke_token("long", NOW + 10, NOW)
        assert (await store.snapshot()).tokens == {"short": NOW + 1, "long": NOW + 10}

    async def second_life(store: KeyStore) -> None:
        await store.revoke_token("new", NOW + 20, NOW + 5)
        assert (await store.snapshot()).tokens == {"long": NOW + 10, "new": NOW + 20}

    play(first_life)
    play(second_life)


def test_a_full_store_says_so_and_still_lets_keys_be_revoked_and_forgotten(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_in_all(monkeypatch, store_module, "KEYS_MAX", 3)
    replace_in_all(monkeypatch, store_module, "REVOKED_TOKENS_MAX", 2)

    async def scenario(store: KeyStore) -> None:
        await store.exchange(new(key(1), key(2), key(3)))
        with pytest.raises(StoreFull):
            await store.exchange(new(key(4)))
        assert await store.exchange([Exchange(key(1), key(1, revoked_at=NOW))])
        assert await store.exchange([Exchange(key(2), None), *new(key(4))])
        assert len((await store.snapshot()).keys) == 3
        await store.revoke_token("a", NOW + 1, NOW)
        await store.revoke_token("b", NOW + 1, NOW)
        with pytest.raises(StoreFull):
            await store.revoke_token("c", NOW + 1, NOW)
        await store.revoke_token("c", NOW + 9, NOW + 2)

    play(scenario)


ODD_ROWS = (
    b"{",
    b"null",
    b"[" * 5000,
    b'{"id":"wd_00000002"}',
    msgspec.json.encode(key(2, digest="no digest")),
    msgspec.json.encode(key(2, digest="00")),
)


@pytest.mark.parametrize("row", ODD_ROWS, ids=range(len(ODD_ROWS)))
def test_a_row_that_is_no_key_is_told_of_and_costs_the_other_keys_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch, row: bytes
) -> None:
    right = key(1), key(3)

    async def scenario(store: KeyStore) -> None:
        await store.exchange([Exchange(None, each) for each in (*right, key(2))])
        before = (await store.snapshot()).generation
        replace_in_all(monkeypatch, store_module, "encode", lambda _: row)
        await store.exchange([Exchange(key(2), key(2, name="another"))])
        monkeypatch.undo()
        snapshot = await store.snapshot()
        assert sorted(snapshot.keys, key=lambda each: each.id) == list(right)
        assert snapshot.unreadable == ("wd_00000002",)
        changes = await store.changes(before)
        assert changes is not None
        assert (changes.keys, changes.unreadable) == ((), ("wd_00000002",))

    play(scenario)
