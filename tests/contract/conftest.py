"""Every journal, one after the other."""

import asyncio
from collections.abc import Iterator

import pytest
from journals import JOURNALS, JournalFactory, Play, Scenario

SCENARIO_SECONDS = 30


@pytest.fixture(params=JOURNALS)
def journal_factory(request: pytest.FixtureRequest) -> Iterator[JournalFactory]:
    with JOURNALS[request.param]() as factory:
        yield factory


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
