"""The threads that talk to SQLite, so that the event loop never waits for a disk.

One writes: what is handed in while it commits goes into the next transaction together. A few
read, each on a connection of its own, so that a long read delays neither writers nor others.
Outcomes go to the loop, those of one transaction in one wake-up.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from wd_server.embedded import journal_file as sqlite_file
from wd_server.embedded import journal_rows as sqlite_rows
from wd_server.errors import StoreUnavailable, WalletDoctorError
from wd_server.journal.integrity import Damaged

# Appends in one transaction: enough to share a commit, few enough that the first isn't held up.
GROUP_JOBS = 64


class Job(NamedTuple):
    """`work` runs on a thread, `done` on the loop with what it returned or raised. `drops`: it
    may leave entries behind that are to be swept."""

    work: Callable[[sqlite3.Connection], Any]
    done: Callable[[Any, Exception | None], None]
    drops: bool = False


Outcome = tuple[Any, Exception | None]
Jobs = SimpleQueue[Job | None]
"""None ends the thread that takes it."""


class StoreThread:
    """One thread with a connection of its own, doing the jobs of a queue in order."""

    def __init__(
        self, name: str, path: Path, loop: asyncio.AbstractEventLoop, jobs: Jobs | None = None
    ) -> None:
        self.ended: asyncio.Future[None] = loop.create_future()
        self._path = path
        self._loop = loop
        self._jobs: Jobs = SimpleQueue() if jobs is None else jobs
        self._opened: asyncio.Future[None] = loop.create_future()
        # A daemon: a process that forgets to close the journal still ends, as after a SIGKILL.
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> asyncio.Future[None]:
        """Done when the connection is open; raises StoreUnavailable."""
        self._thread.start()
        return self._opened

    def submit(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        """Do what was submitted, then end."""
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                connection = self._open(stack)
                self._call(settle, self._opened, None, None)
                self._serve(connection)
        except (StoreUnavailable, UnicodeDecodeError, sqlite3.Error) as error:
            self._call(settle, self._opened, None, _ours(error))
        finally:
            self._call(settle, self.ended, None, None)

    def _open(self, stack: ExitStack) -> sqlite3.Connection:
        raise NotImplementedError

    def _serve(self, connection: sqlite3.Connection) -> None:
        raise NotImplementedError

    def _deliver(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        self._call(_finish, jobs, outcomes)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *args)


def settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    """Give a future its outcome unless who waited gave up."""
    if not future.done():
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _finish(jobs: list[Job], outcomes: list[Outcome]) -> None:
    for job, (result, error) in zip(jobs, outcomes, strict=True):
        job.done(result, error)


def _ours(error: Exception) -> Exception:
    """Text that isn't UTF-8 was stored as something else: nothing else decodes text here."""
    if isinstance(error, UnicodeDecodeError):
        return Damaged(str(error))
    return sqlite_file.store_unavailable(error) if isinstance(error, sqlite3.Error) else error


class ReaderThread(StoreThread):
    """Several take their jobs from one queue."""

    def _open(self, stack: ExitStack) -> sqlite3.Connection:
        return stack.enter_context(closing(sqlite_file.open_reader(self._path)))

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                outcome: Outcome = (job.work(connection), None)
            except Exception as error:  # noqa: BLE001 - raised again where the read is awaited
                outcome = (None, _ours(error))
            self._deliver([job], [outcome])


class CopierThread(ReaderThread):
    """Copies the log, so that who appends needn't."""

    def _open(self, stack: ExitStack) -> sqlite3.Connection:
        return stack.enter_context(closing(sqlite_file.open_copier(self._path)))


class WriterThread(StoreThread):
    """Owns the file. Between transactions it sweeps what dropped journals left, in slices."""

    def _open(self, stack: ExitStack) -> sqlite3.Connection:
        stack.enter_context(sqlite_file.owned(self._path))
        # Closed as the last connection, it copies the log into the file and removes it.
        return stack.enter_context(closing(sqlite_file.open_writer(self._path)))

    def _serve(self, connection: sqlite3.Connection) -> None:
        sweeping, stopping = True, False
        while not stopping:
            jobs, stopping = self._next_group(wait=not sweeping)
            if jobs:
                self._deliver(jobs, commit(connection, jobs))
                sweeping = sweeping or any(job.drops for job in jobs)
            if sweeping and not stopping:
                sweeping = _swept(connection)

    def _next_group(self, wait: bool) -> tuple[list[Job], bool]:
        """What is queued by now, and whether the thread is to end after it."""
        jobs: list[Job] = []
        with suppress(Empty):
            while len(jobs) < GROUP_JOBS:
                job = self._jobs.get(block=wait and not jobs)
                if job is None:
                    return jobs, True
                jobs.append(job)
        return jobs, False


def commit(connection: sqlite3.Connection, jobs: list[Job]) -> list[Outcome]:
    """Do these jobs in one transaction. If that fails, each gets one of its own, so that a job
    that can't be stored takes none of the others with it."""
    outcomes: list[Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:  # locked: each would only wait for it again
        return [(None, _ours(error)) for _ in jobs]
    try:
        for job in jobs:
            try:
                outcomes.append((job.work(connection), None))
            except WalletDoctorError as error:  # refused before it wrote anything
                outcomes.append((None, error))
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001 - raised again where the write is awaited
        _roll_back(connection)
        if len(jobs) == 1:
            return [(None, _ours(error))]
        return [outcome for job in jobs for outcome in commit(connection, [job])]
    return outcomes


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite rolls back by itself after some errors
        with suppress(sqlite3.Error):  # it is rolled back then, too: sqlite.org/lang_transaction
            connection.execute("ROLLBACK")


def _swept(connection: sqlite3.Connection) -> bool:
    try:
        return sqlite_rows.sweep(connection)
    except sqlite3.Error as error:  # no space, say: the next drop or start tries again
        _roll_back(connection)
        if not isinstance(_ours(error), Damaged):
            return False
    try:
        return sqlite_rows.leave_unswept(connection)
    except sqlite3.Error:
        _roll_back(connection)
        return False
