"""The promises of `wd_server.backend`: what a backend keeps as a whole."""

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from typing import TypeAlias

import pytest
from backends import ALONE, ON_DISK, REMOVABLE, SCENARIO_SECONDS, SHARED, Place, opened

from wd_server.backend import Backend
from wd_server.chain.credits import Share
from wd_server.errors import StoreUnavailable
from wd_server.journal.base import Lease, NewEntry

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
NOW = 1_700_000_000.0
DAY = 20_000
WHO = "somebody"
Node: TypeAlias = "subprocess.Popen[str]"

# Between two times that something is asked which nothing tells of.
AGAIN_SECONDS = 0.02

shared_only = pytest.mark.parametrize("_places", SHARED, indirect=True, scope="session")
alone_only = pytest.mark.parametrize("_places", ALONE, indirect=True, scope="session")
removable_only = pytest.mark.parametrize("_places", REMOVABLE, indirect=True, scope="session")


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def life() -> None:
        async with asyncio.timeout(SCENARIO_SECONDS):
            await scenario()

    asyncio.run(life())


async def write(backend: Backend, lease: Lease, epoch: int) -> None:
    await backend.journal.append(lease, epoch, [NewEntry("trade", b"1")], b"", NOW)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """What a store that was away hasn't answered yet isn't so."""
    while True:
        with suppress(StoreUnavailable):
            if await is_so():
                return
        await asyncio.sleep(AGAIN_SECONDS)


# 1. Opening


def test_a_backend_that_was_made_and_never_opened_can_be_closed(place: Place) -> None:
    async def scenario() -> None:
        backend = place.make(monotonic)
        await backend.close()
        await backend.close()

    play(scenario)


def test_an_open_backend_has_every_part(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            assert await backend.journal.head(WALLET) is None
            assert (await backend.keys.snapshot()).keys == ()
            assert (await backend.counters.spend(WHO, 1)).allowed
            assert await backend.budget.count("a life", Share(DAY, 5)) == 5
            assert backend.membership.surely_alive
            assert backend.membership.node in backend.membership.nodes()

    play(scenario)


def test_a_backend_opens_once_and_a_second_time_disturbs_nothing(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            lease = await backend.journal.acquire(WALLET)
            assert lease is not None
            with pytest.raises(StoreUnavailable):
                await backend.open()
            await write(backend, lease, await backend.journal.begin(lease, NOW))
        with pytest.raises(StoreUnavailable):
            await backend.open()

    play(scenario)


def test_a_store_that_is_not_there_is_said_at_the_start(place: Place) -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()
        backend = place.make_unreachable()
        with pytest.raises(StoreUnavailable):
            await backend.open()
        assert asyncio.all_tasks() == before  # nothing is left open
        keys = place.make_unreachable()
        with pytest.raises(StoreUnavailable):
            await keys.open_keys()
        await backend.close()
        await keys.close()

    play(scenario)


def test_keys_alone_are_opened_beside_a_server_and_no_node_joins(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            alone = place.make(monotonic)
            await alone.open_keys()
            await alone.keys.revoke_token("a token", NOW + 60, NOW)
            assert (await backend.keys.snapshot()).tokens == {"a token": NOW + 60}
            await alone.close()
            await alone.close()
            assert (await backend.keys.snapshot()).tokens == {"a token": NOW + 60}

    play(scenario)


# 2. Closing


def test_closing_twice_is_no_error_and_leaves_no_task_and_no_thread(place: Place) -> None:
    async def scenario() -> None:
        before, threads_before = asyncio.all_tasks(), set(threading.enumerate())
        async with opened(place) as backend:
            assert await backend.journal.acquire(WALLET) is not None
            assert await backend.counters.enter(WHO, 1)
            await backend.close()
            assert asyncio.all_tasks() == before

            async def no_thread_is_left() -> bool:
                return set(threading.enumerate()) <= threads_before

            await until(no_thread_is_left)

    play(scenario)


def test_leases_and_streams_of_a_backend_that_closed_are_free_for_the_next(place: Place) -> None:
    async def scenario() -> None:
        for _ in range(2):
            async with opened(place) as backend:
                assert await backend.journal.acquire(WALLET) is not None
                assert await backend.counters.enter(WHO, 1)
                assert not await backend.counters.enter(WHO, 1)

    play(scenario)


@alone_only
def test_a_store_for_one_process_is_refused_to_a_second_one_and_stays_with_the_first(
    place: Place,
) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            second = place.make(monotonic)
            with pytest.raises(StoreUnavailable):
                await second.open()
            await second.close()
            lease = await backend.journal.acquire(WALLET)
            assert lease is not None
            await write(backend, lease, await backend.journal.begin(lease, NOW))
        async with opened(place) as backend:
            assert await backend.journal.head(WALLET) is not None

    play(scenario)


# 3. Health


def is_well(backend: Backend) -> bool:
    return backend.health().answers and not backend.journal.statistics().failing


def test_an_open_backend_is_well_and_its_place_and_figures_are_told(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            health = backend.health()
            assert is_well(backend)
            assert health.redis in ("embedded", "configured")
            assert "journal" in health.needed
            assert not health.may_evict
            assert backend.place
            names = [figure.name for figure in backend.figures()]
            assert len(set(names)) == len(names)

    play(scenario)


@removable_only
def test_a_store_that_goes_away_is_told_by_calls_and_health_until_it_is_back(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:
            lease = await backend.journal.acquire(WALLET)
            assert lease is not None
            epoch = await backend.journal.begin(lease, NOW)
            assert place.away is not None
            with place.away():
                with pytest.raises(StoreUnavailable):
                    await write(backend, lease, epoch)
                assert not is_well(backend)
                await backend.probe()
                assert not is_well(backend)

            async def works_again() -> bool:
                await backend.probe()
                await backend.journal.head(WALLET)
                await backend.keys.snapshot()
                return is_well(backend)

            await until(works_again)

    play(scenario)


@pytest.mark.parametrize("_places", ["memory", "redis"], indirect=True, scope="session")
def test_a_store_that_does_not_answer_is_told_by_health_though_nothing_is_written(
    place: Place,
) -> None:
    async def scenario() -> None:
        async with opened(place) as backend:

            async def silent() -> bool:
                return not backend.health().answers

            async def answers() -> bool:
                await backend.keys.snapshot()
                return backend.health().answers

            assert place.away is not None
            with place.away():
                with pytest.raises(StoreUnavailable):
                    await backend.keys.snapshot()
                await until(silent)
            await until(answers)

    play(scenario)


def test_only_a_backend_on_the_disk_of_data_dir_cannot_do_without_it(
    place: Place, request: pytest.FixtureRequest
) -> None:
    on_disk = request.node.callspec.params["_places"] in ON_DISK
    assert ("disk" in place.make(monotonic).health().needed) == on_disk


# 4. Nodes


@contextmanager
def running(command: list[str]) -> Iterator[Node]:
    """A node that has the wallet's lease and the only stream (node.py)."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def peer_of_a_node(place: Place) -> AsyncIterator[tuple[Backend, Node, str]]:
    """A backend, beside a process that has a lease and a stream, and that process and its id."""
    assert place.node is not None
    command, make_peer = place.node
    with running([*command, WALLET, WHO]) as process:
        assert process.stdout is not None
        node = (await asyncio.to_thread(process.stdout.readline)).strip()
        peer = make_peer()
        await peer.open()
        try:
            yield peer, process, node
        finally:
            await peer.close()


@shared_only
def test_nodes_know_of_each_other(place: Place) -> None:
    async def scenario() -> None:
        async with peer_of_a_node(place) as (peer, _, node):

            async def known() -> bool:
                return peer.membership.nodes() == {peer.membership.node, node}

            await until(known)

    play(scenario)


@shared_only
def test_a_killed_node_is_found_dead_and_its_leases_and_streams_are_free(place: Place) -> None:
    async def scenario() -> None:
        async with peer_of_a_node(place) as (peer, process, node):
            assert await peer.journal.acquire(WALLET) is None
            assert not await peer.counters.enter(WHO, 1)
            process.kill()

            async def dead() -> bool:
                return node not in peer.membership.nodes()

            async def has_lease() -> bool:
                return await peer.journal.acquire(WALLET) is not None

            async def has_stream() -> bool:
                return await peer.counters.enter(WHO, 1)

            for is_so in (dead, has_lease, has_stream):
                await until(is_so)
            assert peer.membership.surely_alive

    play(scenario)


@shared_only
def test_a_node_that_closes_is_gone_at_once_for_a_node_that_comes(place: Place) -> None:
    async def scenario() -> None:
        async with opened(place) as first:
            gone = first.membership.node
        async with opened(place) as second:
            assert gone not in second.membership.nodes()
            assert second.membership.nodes() == {second.membership.node}

    play(scenario)
