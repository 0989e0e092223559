"""The thread that writes a SQLite journal: what is handed in while it commits goes into the next
transaction together. Outcomes go to the loop, those of one transaction in one wake-up."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple

from wd_server.embedded import journal_rows as rows
from wd_server.embedded.database import Connect, DatabaseThread, Outcome, roll_back, unavailable
from wd_server.embedded.journal_file import WORDING
from wd_server.errors import WalletDoctorError
from wd_server.journal.integrity import Damaged

# Appends in one transaction: enough to share a commit, few enough that the first isn't held up.
GROUP_JOBS = 64


class WriteJob(NamedTuple):
    """A Job that is done in a transaction with others. `drops`: it may leave entries behind that
    are to be swept."""

    work: Callable[[sqlite3.Connection], Any]
    done: Callable[[Any, Exception | None], None]
    drops: bool = False


class JournalWriter(DatabaseThread):
    """Between transactions it sweeps what dropped journals left, in slices."""

    def _serve(self, connect: Connect) -> None:
        with connect() as connection:
            self._write(connection)

    def _write(self, connection: sqlite3.Connection) -> None:
        sweeping, stopping = True, False
        while not stopping:
            jobs, stopping = self._next_group(wait=not sweeping)
            if jobs:
                self._call(_finish, jobs, commit(connection, jobs))
                sweeping = sweeping or any(job.drops for job in jobs)
            if sweeping and not stopping:
                sweeping = _swept(connection)

    def _next_group(self, wait: bool) -> tuple[list[WriteJob], bool]:
        """What is queued by now, and whether the thread is to end after it."""
        jobs: list[WriteJob] = []
        with suppress(Empty):
            while len(jobs) < GROUP_JOBS:
                job = self._jobs.get(block=wait and not jobs)
                if job is None:
                    return jobs, True
                jobs.append(job)
        return jobs, False


def _finish(jobs: list[WriteJob], outcomes: list[Outcome]) -> None:
    for job, (result, error) in zip(jobs, outcomes, strict=True):
        job.done(result, error)


def commit(connection: sqlite3.Connection, jobs: list[WriteJob]) -> list[Outcome]:
    """Do these jobs in one transaction. If that fails, each gets one of its own, so that a job
    that can't be stored takes none of the others with it."""
    outcomes: list[Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:  # locked: each would only wait for it again
        return [(None, unavailable(error, WORDING)) for _ in jobs]
    try:
        for job in jobs:
            try:
                outcomes.append((job.work(connection), None))
            except WalletDoctorError as error:  # refused before it wrote anything
                outcomes.append((None, error))
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - raised again where the write is awaited
        roll_back(connection)
        if len(jobs) == 1:
            return [(None, unavailable(error, WORDING))]
        return [outcome for job in jobs for outcome in commit(connection, [job])]
    return outcomes


def _swept(connection: sqlite3.Connection) -> bool:
    try:
        return rows.sweep(connection)
    except sqlite3.Error as error:  # no space, say: the next drop or start tries again
        roll_back(connection)
        if not isinstance(unavailable(error, WORDING), Damaged):
            return False
    try:
        return rows.leave_unswept(connection)
    except sqlite3.Error:
        roll_back(connection)
        return False
