"""What becomes of a delivery that something here fails at, and of those behind it."""

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest
from scripted_chain import WALLET, name_of, transaction
from structlog.testing import capture_logs

from wd_server.chain import deliveries as delivering
from wd_server.chain import quarantine as quarantining
from wd_server.chain.credits import Credits
from wd_server.chain.deliveries import Deliveries
from wd_server.chain.quarantine import Quarantine, Quarantined
from wd_server.chain.spool import Spool
from wd_server.tasks import Tasks

ODD_KEYS = [{"pubkey": "a"}, "b", {"pubkey": "c"}]


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as logged:
        yield logged


class FailingObserver:
    """Follows every wallet, and fails at transactions named in `fails_at`."""

    def __init__(self) -> None:
        self.fails_at: set[str] = set()
        self.signatures: list[str] = []
        self.gaps: list[str] = []

    def follows(self, wallet: str) -> bool:
        return True

    def on_transaction(self, wallet: str, transaction: Any) -> None:
        if name_of(transaction.signature) in self.fails_at:
            raise KeyError("a bug of ours")
        self.signatures.append(name_of(transaction.signature))

    def on_gap(self, wallets: Iterable[str]) -> None:
        self.gaps += wallets

    def on_lost(self, wallets: Iterable[str]) -> None: ...


class World:
    def __init__(self, folder: Path) -> None:
        self.observer = FailingObserver()
        self.tasks = Tasks()
        self.quarantine = Quarantine(folder / "quarantine")
        spool = Spool(folder / "deliveries", self.quarantine)
        self.deliveries = Deliveries(spool, Credits(0, lambda: 0.0), self.tasks)

    async def take(self, *signatures: str) -> None:
        await self.deliveries.take(body(*signatures))

    async def idle(self) -> None:
        """Until nothing waits."""
        async with asyncio.timeout(30):
            while self.deliveries.statistics().waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def body(*signatures: str) -> bytes:
    return json.dumps([transaction(7, 0, signature) for signature in signatures]).encode()


def play(folder: Path, scene: Callable[[World], Awaitable[None]]) -> None:
    async def life() -> None:
        world = World(folder)
        await world.deliveries.open(world.observer)
        try:
            await scene(world)
        finally:
            await world.deliveries.close()

    asyncio.run(life())


def test_a_delivery_that_fails_twice_goes_to_quarantine_and_the_next_is_worked_on(
    tmp_path: Path, lines: list[Any]
) -> None:
    async def scene(world: World) -> None:
        world.observer.fails_at = {"s2"}
        await world.take("s1", "s2", "s3")
        await world.take("s4")
        await world.idle()
        assert world.observer.signatures == ["s1", "s3", "s4"], (
            "each once, whatever stands beside it"
        )
        (kept,) = world.quarantine.all()
        assert kept.path.read_bytes() == body("s1", "s2", "s3")
        assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
        assert list((tmp_path / "deliveries").iterdir()) == []
        assert world.deliveries.statistics().quarantined == 1
        assert world.tasks.statistics().failures["delivered_transaction"] == 2
        counts = world.deliveries.statistics()
        assert (counts.transactions, counts.told, counts.unread, counts.repeated) == (4, 3, 1, 0)
        assert world.tasks.statistics().failing == ()

    play(tmp_path, scene)
    assert [line["delivery"] for line in lines if "in quarantine" in line["event"]] == [
        "0000000000000001"
    ]


def test_one_that_fails_once_is_done_at_the_second_try(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        tell, tries = world.observer.on_transaction, []

        def fails_once(wallet: str, transaction: Any) -> None:
            tries.append(transaction.signature)
            if len(tries) == 1:
                raise KeyError
            tell(wallet, transaction)

        world.observer.on_transaction = fails_once  # type: ignore[method-assign]
        await world.take("s1", "s2")
        await world.idle()
        assert sorted(world.observer.signatures) == ["s1", "s2"]
        assert world.quarantine.all() == []
        counts = world.deliveries.statistics()
        assert (counts.transactions, counts.told, counts.unread, counts.repeated) == (2, 2, 0, 0)

    play(tmp_path, scene)


def test_of_a_transaction_that_cannot_be_read_its_wallets_are_read_anew(tmp_path: Path) -> None:
    odd = transaction(7, 0, "odd")
    odd["meta"]["fee"] = "five"

    async def scene(world: World) -> None:
        world.observer.follows = lambda wallet: wallet == WALLET  # type: ignore[method-assign]
        await world.deliveries.take(json.dumps([odd, None, 7, [[]], {"a": {}}]).encode())
        await world.idle()
        assert world.observer.signatures == []
        assert world.observer.gaps == [WALLET]

    play(tmp_path, scene)


def test_account_keys_of_an_odd_shape_stop_nobody_now_and_after_a_restart(
    tmp_path: Path,
) -> None:
    odd = transaction(7, 0, "odd")
    odd["transaction"]["message"]["accountKeys"] = ODD_KEYS

    async def scene(world: World) -> None:
        await world.deliveries.take(json.dumps([odd, transaction(7, 0, "s1")]).encode())
        await world.take("s2")
        await world.idle()
        assert [each for each in world.observer.signatures if each != "odd"] == ["s1", "s2"]

    play(tmp_path, scene)
    left = tmp_path / "deliveries" / "0000000000000009"
    left.write_text(json.dumps([odd]))
    play(tmp_path, scene)
    assert not left.exists()


def test_what_is_no_delivery_at_all_is_set_aside(tmp_path: Path) -> None:
    left = tmp_path / "deliveries" / "0000000000000001"
    left.parent.mkdir()
    left.write_bytes(b"")  # a power cut may leave that

    async def scene(world: World) -> None:
        await world.take("s1")
        await world.idle()
        assert world.observer.signatures == ["s1"]
        assert [kept.size for kept in world.quarantine.all()] == [0]

    play(tmp_path, scene)


@pytest.mark.parametrize(("deliveries", "size"), [(2, 10_000), (100, 2 * len(body("s0")))])
def test_the_quarantine_keeps_the_newest_that_there_is_room_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[Any],
    deliveries: int,
    size: int,
) -> None:
    monkeypatch.setattr(quarantining, "DELIVERIES_MAX", deliveries)
    monkeypatch.setattr(quarantining, "BYTES_MAX", size)

    async def scene(world: World) -> None:
        world.observer.fails_at = {f"s{number}" for number in range(4)}
        for number in range(4):
            await world.take(f"s{number}")
        await world.idle()
        kept = [each.path.read_bytes() for each in world.quarantine.all()]
        assert kept == [body("s2"), body("s3")]

    play(tmp_path, scene)
    assert sum("dropped" in line["event"] for line in lines) == 2


class Watched(Quarantine):
    """Notes which thread looks at the disk, and fails while `broken`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.threads: list[str] = []
        self.broken = False

    def all(self) -> list[Quarantined]:
        self.threads.append(current_thread().name)
        if self.broken:
            raise PermissionError(13, "Permission denied")
        return super().all()


def test_the_quarantine_is_counted_off_the_loop_and_a_scrape_gets_the_last_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "COUNT_SECONDS", 0.01)
    quarantine, tasks = Watched(tmp_path / "quarantine"), Tasks()
    deliveries = Deliveries(Spool(tmp_path / "spool", quarantine), Credits(0, lambda: 0.0), tasks)
    put_aside(tmp_path / "quarantine", "0000000000000001", "0000000000000007")

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def life() -> None:
        await deliveries.open(FailingObserver())
        await until(lambda: deliveries.statistics().quarantined == 2)
        (tmp_path / "quarantine" / "0000000000000001").unlink()
        await until(lambda: deliveries.statistics().quarantined == 1)
        quarantine.broken = True
        await until(lambda: "quarantine" in tasks.statistics().failing)
        assert deliveries.statistics().quarantined == 1
        assert deliveries.failed_at < 0, (
            "that a folder can't be read keeps nothing from being stored"
        )
        await deliveries.close()

    asyncio.run(life())
    assert {name.partition("_")[0] for name in quarantine.threads} == {"spool"}


def test_a_delivery_that_is_removed_while_it_is_looked_at_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine, look = Quarantine(tmp_path), Path.stat
    assert Quarantine(tmp_path / "none").all() == []
    put_aside(tmp_path, "0000000000000001", "0000000000000002", "0000000000000003", "odd")

    def removes(path: Path, **options: Any) -> os.stat_result:
        """The first is gone when it is looked at, the second when it is looked at once more."""
        if path.name.endswith("1"):
            path.unlink(missing_ok=True)
        facts = look(path, **options)
        if path.name.endswith("2"):
            path.unlink()
        return facts

    monkeypatch.setattr(Path, "stat", removes)
    assert [kept.path.name[-1] for kept in quarantine.all()] == ["2", "3"]
    assert [kept.path.name[-1] for kept in quarantine.all()] == ["3"]


def put_aside(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("[]")
