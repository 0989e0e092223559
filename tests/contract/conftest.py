"""Every journal, one after the other."""

import asyncio
from collections.abc import Iterator

import pytest
from journals import JOURNALS, JournalFactory, Places, Play, Scenario

SCENARIO_SECONDS = 30


@pytest.fixture(scope="session", params=JOURNALS)
def _places(request: pytest.FixtureRequest) -> Iterator[Places]:
    with JOURNALS[request.param](request) as places:
        yield places


@pytest.fixture
def journal_factory(_places: Places) -> JournalFactory:
    return _places()


@pytest.fixture
def play(journal_factory: JournalFactory) -> Play:
    """Run a scenario on an open journal. Each call is a new life of the process that has it."""

    async def life(scenario: Scenario) -> None:
        journal = journal_factory()
        await journal.open()
        try:
            async with asyncio.timeout(SCENARIO_SECONDS):
                await scenario(journal)
        finally:
            await journal.close()

    return lambda scenario: asyncio.run(life(scenario))
