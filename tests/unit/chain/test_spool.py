"""Deliveries are kept whole, in order, and only as many as there is room for."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from wd_server.chain import followed_wallets
from wd_server.chain import spool as spooling
from wd_server.chain.followed_wallets import FollowedWalletsFile
from wd_server.chain.quarantine import Quarantine
from wd_server.chain.spool import Spool
from wd_server.errors import StoreUnavailable


def with_spool(folder: Path, scene: Callable[[Spool, list[Path]], Awaitable[None]]) -> None:
    async def play() -> None:
        spool = Spool(folder, Quarantine(folder / "quarantine"))
        try:
            await scene(spool, await spool.open())
        finally:
            await spool.close()

    asyncio.run(play())


def test_what_one_process_left_the_next_finds_in_order(tmp_path: Path) -> None:
    async def leave(spool: Spool, left: list[Path]) -> None:
        assert left == []
        for number in range(12):
            await spool.put(b"%d" % number)
        assert spool.waiting == 12

    async def find(spool: Spool, left: list[Path]) -> None:
        assert [await spool.read(path) for path in left] == [b"%d" % n for n in range(12)]
        newer = await spool.put(b"newer")
        assert newer > left[-1]
        for path in (*left, newer):
            await spool.remove(path)
        assert spool.waiting == 0

    with_spool(tmp_path, leave)
    with_spool(tmp_path, find)
    assert list(tmp_path.iterdir()) == []


def test_more_than_may_wait_is_refused_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "DELIVERIES_MAX", 1)

    async def scene(spool: Spool, _: list[Path]) -> None:
        first = await spool.put(b"first")
        with pytest.raises(StoreUnavailable):
            await spool.put(b"second")
        await spool.remove(first)
        await spool.put(b"third")

    with_spool(tmp_path, scene)


def test_a_folder_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "spool"

    async def scene(spool: Spool, _: list[Path]) -> None:
        folder.rmdir()
        with pytest.raises(StoreUnavailable, match="can't be kept"):
            await spool.put(b"body")
        assert spool.waiting == 0

    with_spool(folder, scene)


def test_the_followed_wallets_are_a_file_that_is_always_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_wallets, "WRITE_SECONDS", 0.01)
    path = tmp_path / followed_wallets.FILE_NAME

    async def play() -> None:
        wallets: set[str] = {"b", "a"}
        file = FollowedWalletsFile(path, wallets)
        file.changed()
        wallets.add("c")
        file.changed()
        async with asyncio.timeout(10):
            while not path.exists():  # noqa: ASYNC110
                await asyncio.sleep(0)
        await file.close()

    asyncio.run(play())
    assert path.read_text() == "a\nb\nc\n"
    assert list(tmp_path.iterdir()) == [path]
