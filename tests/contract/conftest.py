"""Every backend, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from backends import BACKENDS, Place, Places, Play, opened

from wd_server.journal.base import Journal


@pytest.fixture(scope="session", params=BACKENDS)
def _places(request: pytest.FixtureRequest) -> Iterator[Places]:
    with BACKENDS[request.param](request) as places:
        yield places


@pytest.fixture
def place(_places: Places) -> Place:
    return _places()


@pytest.fixture
def play(place: Place) -> Play:
    """Run a scenario on an open journal. Each call is a new life of the process that has it."""

    async def life(scenario: Callable[[Journal], Awaitable[None]]) -> None:
        async with opened(place) as backend:
            await scenario(backend.journal)

    return lambda scenario: asyncio.run(life(scenario))
