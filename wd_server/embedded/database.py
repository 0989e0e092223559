"""SQLite away from the event loop: how a file is opened, who works on it, what its errors mean.

The event loop never waits for a disk. A `Database` has threads that take work from one queue, each
on a connection of its own, and `run` waits for an outcome no longer than a deadline. A disk that
hangs takes those threads and no others; they are daemons, so the process can still end. Errors of
SQLite and of the file system become StoreUnavailable here, in the words of the file's `Wording`.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, NamedTuple, TypeVar

from wd_server.errors import StoreUnavailable

# Calls that wait for a file, those that gave up included; more are refused. Some seconds' worth of
# what a disk can do that is well.
WAITING_MAX = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said of a file that can't be used. `{reason}` may stand in all of them, `{path}` and
    `{folder}` in `place` and `newer`, `{found}` and `{known}` in `newer`.

    place: the file or its folder can't be made or opened
    newer: a newer wd-server wrote the file
    slow: the deadline of a call is over
    closed: the database isn't open (any more)
    failed: any other error
    sentences: instead of `failed`, by SQLite's primary error code
    damaged: makes the error for a file whose content isn't what was written
    """

    place: str
    newer: str
    slow: str
    closed: str
    failed: str
    sentences: Mapping[int, str] = field(default_factory=dict)
    damaged: Callable[[str], StoreUnavailable] | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of file.

    wording: what is said of it when it can't be used
    migrations: entry i takes a file from version i to i + 1; entries are never edited, only added
    pragmas: set on every connection that may write
    lock_seconds: how long a statement waits for another process that has the file
    layout: pragmas that count only before the first table is made. They are set on no other file:
        `auto_vacuum` writes, which fails on a full disk, though there is enough to read
    """

    wording: Wording
    migrations: tuple[str, ...] = ()
    pragmas: tuple[str, ...] = ()
    lock_seconds: float = 1.0
    layout: tuple[str, ...] = ()


def unavailable(error: Exception, wording: Wording) -> Exception:
    """Our error for one of SQLite or of the file system, with the cause chained for the log. Any
    other is a bug, or ours already, and stays as it is."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
        if code == sqlite3.SQLITE_CORRUPT and wording.damaged is not None:
            ours = wording.damaged(str(error))
        else:
            said = wording.sentences.get(code, wording.failed)
            ours = StoreUnavailable(said.format(reason=error))
    elif isinstance(error, UnicodeDecodeError) and wording.damaged is not None:
        ours = wording.damaged(str(error))  # text that was stored as something else
    elif isinstance(error, OSError):
        ours = StoreUnavailable(wording.failed.format(reason=error.strerror))
    else:
        return error
    ours.__cause__ = error
    return ours


def open_file(path: Path, wording: Wording) -> BinaryIO:
    """The file, made for its owner only if needed, and its folder. SQLite gives its other files the
    rights of this one. Raises StoreUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        reason = error.strerror or "it can't be opened"
        raise StoreUnavailable(
            wording.place.format(path=path, folder=path.parent, reason=reason)
        ) from error


@contextmanager
def connected(path: Path, schema: Schema) -> Iterator[sqlite3.Connection]:
    """A connection that may write, on a file of the newest version, which is made if needed. Raises
    StoreUnavailable, sqlite3.Error."""
    open_file(path, schema.wording).close()
    connection = sqlite3.connect(path, timeout=schema.lock_seconds, isolation_level=None)
    with closing(connection):  # which takes back what isn't committed
        version = _version(connection, path, schema)
        for pragma in (*(() if version else schema.layout), *schema.pragmas):
            connection.execute(f"PRAGMA {pragma}")
        if version < len(schema.migrations):
            with transaction(connection):
                _migrate(connection, path, schema)
        yield connection


def _version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(schema.migrations):
        raise StoreUnavailable(
            schema.wording.newer.format(
                path=path, folder=path.parent, found=version, known=len(schema.migrations)
            )
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Another process may have done it meanwhile."""
    version = _version(connection, path, schema)
    for number, migration in enumerate(schema.migrations[version:], version + 1):
        for statement in filter(str.strip, migration.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite rolls back by itself after some errors
        with suppress(sqlite3.Error):  # it is rolled back then, too: sqlite.org/lang_transaction
            connection.execute("ROLLBACK")


class Job(NamedTuple):
    """`work` runs on a thread, `done` on the loop with what it returned or raised. Nothing is done
    of a job that is `given_up` before its turn: when a disk answers again after a while, whoever
    waits now needn't wait for those who went away."""

    work: Callable[[sqlite3.Connection], Any]
    done: Callable[[Any, Exception | None], None]
    given_up: Callable[[], bool] = lambda: False


Outcome = tuple[Any, Exception | None]
Connect = Callable[[], AbstractContextManager[sqlite3.Connection]]


class DatabaseThread:
    """One thread, doing the jobs of a queue in order.

    `lasting`: it has one connection from its start to its end; else one for each job. Several
    threads may take their jobs from one queue, in which None ends the thread that takes it.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        wording: Wording,
        *,
        lasting: bool = True,
        jobs: SimpleQueue[Any] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._connect = connect
        self._wording = wording
        self._lasting = lasting
        self._loop = loop
        self._jobs: SimpleQueue[Any] = SimpleQueue() if jobs is None else jobs
        self._opened: asyncio.Future[None] = loop.create_future()
        # A daemon: a process that forgets to close its stores still ends, as after a SIGKILL.
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> asyncio.Future[None]:
        """Done when the lasting connection is open. Raises StoreUnavailable."""
        self._thread.start()
        return self._opened

    def submit(self, job: Any) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        """Do what was submitted, then end."""
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                connect = self._connect
                if self._lasting:
                    connection = stack.enter_context(self._connect())
                    connect = lambda: nullcontext(connection)  # noqa: E731 - the same one each time
                self._call(settle, self._opened, None, None)
                self._serve(connect)
        except (StoreUnavailable, UnicodeDecodeError, OSError, sqlite3.Error) as error:
            self._call(settle, self._opened, None, unavailable(error, self._wording))
        finally:
            self._call(settle, self.ended, None, None)

    def _serve(self, connect: Connect) -> None:
        while (job := self._jobs.get()) is not None:
            if job.given_up():
                continue
            try:
                with connect() as connection:
                    outcome: Outcome = (job.work(connection), None)
            except Exception as error:  # noqa: BLE001 - raised again where the work is awaited
                outcome = (None, unavailable(error, self._wording))
            self._call(job.done, *outcome)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *args)


class Database:
    """Work on a SQLite file, away from the loop. `seconds` is the deadline of a call; `threads` do
    what is handed in at the same time; `lasting` as in DatabaseThread."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        wording: Wording,
        *,
        seconds: float,
        threads: int = 1,
        lasting: bool = True,
    ) -> None:
        self._names = [f"{name}-{number}" for number in range(1, threads + 1)]
        self._connect = connect
        self._wording = wording
        self._seconds = seconds
        self._lasting = lasting
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[DatabaseThread] = []

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        try:
            for name in self._names:
                thread = DatabaseThread(
                    name, self._connect, self._wording, lasting=self._lasting, jobs=self._jobs
                )
                self._threads.append(thread)
                async with asyncio.timeout(self._seconds):
                    await thread.start()
        except TimeoutError:
            await self.close()
            raise StoreUnavailable(self._wording.slow) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """What was handed in is done first, as far as the deadline allows. Closing twice is no
        error."""
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                for thread in threads:
                    await thread.ended

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns. When its deadline is over, it goes on if it has begun, and never
        begins otherwise. Raises StoreUnavailable."""
        if self._jobs.qsize() >= WAITING_MAX:
            raise StoreUnavailable(self._wording.slow)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(Job(work, partial(settle, future), future.cancelled))
        try:
            async with asyncio.timeout(self._seconds):
                return await future
        except TimeoutError:
            raise StoreUnavailable(self._wording.slow) from None

    def submit(self, job: Job) -> None:
        """Raises StoreUnavailable if the database isn't open (any more)."""
        if not self._threads:
            raise StoreUnavailable(self._wording.closed)
        self._jobs.put(job)


def settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    """Give a future its outcome unless who waited gave up."""
    if not future.done():
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
