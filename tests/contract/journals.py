"""The journals that have to keep the contract.

A journal joins by a line in JOURNALS: a context manager that makes a place to store in and gives
a factory, each call of which makes a journal, not opened yet, on that same place.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from wd_server.journal.base import Journal
from wd_server.journal.sqlite import SqliteJournal

JournalFactory = Callable[[], Journal]
Scenario = Callable[[Journal], Awaitable[None]]
Play = Callable[[Scenario], None]


@contextmanager
def sqlite_place() -> Iterator[JournalFactory]:
    with TemporaryDirectory() as folder:
        yield lambda: SqliteJournal(Path(folder) / "journal.db")


JOURNALS: dict[str, Callable[[], AbstractContextManager[JournalFactory]]] = {
    "sqlite": sqlite_place,
}
