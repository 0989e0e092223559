"""Channels of Redis that this process listens to: one connection for each server that has some."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from time import monotonic

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from wd_server.errors import StoreUnavailable
from wd_server.redis.shards import STORE_SECONDS, Address, Shards
from wd_server.tasks import Tasks

# Seconds between two pings on a connection that may be silent for hours, and without an answer
# after which it is taken for dead.
PING_SECONDS = 2.0
SILENT_SECONDS = 6.0
# Seconds before it is made anew: at least, and at most after several tries in vain.
AGAIN_SECONDS = (0.05, 2.0)
# Commands sent in one piece.
COMMANDS_TOGETHER = 500

_log = structlog.get_logger("journal")


class Announcements:
    """`on_message` gets the channel and what was said, `on_subscribed` the channel: from then on
    nothing is missed until it is called again, after a connection was lost."""

    def __init__(
        self,
        shards: Shards,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[str], None],
        tasks: Tasks,
    ) -> None:
        self.shards = shards
        self.tasks = tasks
        self.on_message = on_message
        self.on_subscribed = on_subscribed
        self._ears: dict[Address, _Ear] = {}
        self._where: dict[str, _Ear] = {}
        self._closed = False

    def subscribe(self, channel: str) -> None:
        if self._closed:
            return
        address = self.shards.owner(channel)
        ear = self._ears.get(address)
        if ear is None:
            ear = self._ears[address] = _Ear(self, address)
        self._where[channel] = ear
        ear.add(channel)

    def unsubscribe(self, channel: str) -> None:
        ear = self._where.pop(channel, None)
        if ear is not None:
            ear.drop(channel)

    async def close(self) -> None:
        """Closing twice is no error."""
        self._closed = True
        ears = list(self._ears.values())
        for ear in ears:
            ear.close()
        await self.tasks.end(*(ear.task for ear in ears))
        self._ears.clear()
        self._where.clear()

    def sort(self) -> None:
        """Listen to each channel where it is now."""
        for channel, ear in list(self._where.items()):
            if self.shards.owner(channel) != ear.address:
                ear.drop(channel)
                self.subscribe(channel)

    def hear(self, channel: str, message: bytes) -> None:
        """One that can't be understood costs its channel a look at what it missed, and no other
        channel anything."""
        if not self.tasks.attempt(
            "announcement", lambda: self.on_message(channel, message), channel=channel
        ):
            self.on_subscribed(channel)

    def ended(self, ear: "_Ear") -> None:
        if self._ears.get(ear.address) is ear:
            del self._ears[ear.address]


class _Moved(Exception):
    """A channel isn't here any more."""


class _Ear:
    """One server, as long as there is a channel to listen to."""

    def __init__(self, announcements: Announcements, address: Address) -> None:
        self.address = address
        self._announcements = announcements
        self._channels: set[str] = set()
        # How many commands about each have no answer yet.
        self._unanswered: Counter[str] = Counter()
        self._commands: list[tuple[str, ...]] = []
        self._wanted = asyncio.Event()
        self._version = announcements.shards.version
        self._random = Random()
        self.task = announcements.tasks.keep("announcements", self._run)

    def add(self, channel: str) -> None:
        self._channels.add(channel)
        self._say("SSUBSCRIBE", channel)

    def drop(self, channel: str) -> None:
        self._channels.discard(channel)
        self._say("SUNSUBSCRIBE", channel)

    def close(self) -> None:
        self._channels.clear()

    def _say(self, command: str, channel: str) -> None:
        self._unanswered[channel] += 1
        self._commands.append((command, channel))
        self._wanted.set()

    async def _run(self) -> None:
        fails = 0
        while self._channels:
            started = monotonic()
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError, _Moved) as error:
                fails = 0 if monotonic() - started > SILENT_SECONDS else fails + 1
                if fails < 2:
                    _log.warning("announcements interrupted", error=type(error).__name__)
                await self._look_again(fails)
        self._announcements.ended(self)

    async def _look_again(self, fails: int) -> None:
        least, most = AGAIN_SECONDS
        await asyncio.sleep(self._random.uniform(least, min(most, least * 2**fails)))
        with suppress(StoreUnavailable):  # who calls is told; here it is tried again
            await self._announcements.shards.look()
        self._announcements.sort()

    async def _listen(self) -> None:
        connection = self._announcements.shards.connection(self.address)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
            await self._hear(connection)
        finally:  # also where the end of the process meets an end that is under way
            await connection.disconnect(nowait=True)

    async def _hear(self, connection: Connection) -> None:
        self._commands.clear()
        self._unanswered.clear()
        for each in self._channels:
            self._say("SSUBSCRIBE", each)
        tasks = self._announcements.tasks
        talking = tasks.spawn("announcements_commands", self._talk(connection))
        try:
            while self._channels:
                answer = await connection.read_response(timeout=SILENT_SECONDS)
                if answer is None:
                    raise TimeoutError
                self._take(answer)
        finally:
            await tasks.end(talking)

    async def _talk(self, connection: Connection) -> None:
        """Send what is to be said, or a ping where that is nothing. Who reads knows if it fails."""
        with suppress(RedisError, OSError, TimeoutError):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_SECONDS):
                        await self._wanted.wait()
                self._wanted.clear()
                commands, self._commands = self._commands or [("PING",)], []
                for start in range(0, len(commands), COMMANDS_TOGETHER):
                    part = commands[start : start + COMMANDS_TOGETHER]
                    await connection.send_packed_command(
                        connection.pack_commands(part), check_health=False
                    )
                if self._version != self._announcements.shards.version:
                    self._version = self._announcements.shards.version
                    self._announcements.sort()

    def _take(self, answer: object) -> None:
        if not isinstance(answer, list) or answer[0] == b"pong":
            return  # what a ping is answered with before the first channel, and from then on
        kind, channel = answer[0], answer[1].decode()
        if kind == b"smessage":
            self._announcements.hear(channel, answer[2])
        elif not self._unanswered[channel]:
            raise _Moved  # nobody here asked for it
        else:
            self._unanswered[channel] -= 1
            if not self._unanswered[channel]:
                del self._unanswered[channel]
                if kind == b"ssubscribe":
                    self._announcements.on_subscribed(channel)
