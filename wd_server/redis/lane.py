"""One Redis server's connection and the calls that wait for it."""

import asyncio
from collections import deque
from contextlib import suppress
from hashlib import sha1
from time import monotonic
from typing import Any, Final

from hiredis import pack_command
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from wd_server.redis.errors import is_lost
from wd_server.redis.shards import Address, Shards

# Calls that leave together, and their bytes: meanwhile the server does nothing else.
BATCH_CALLS = 128
BATCH_BYTES = 1024 * 1024

# What a server answers that can do nothing now.
_PASSING: Final = (ClusterDownError, ReadOnlyError)

_ASKING: Final = b"*1\r\n$6\r\nASKING\r\n"

Argument = bytes | str | int | float


class Script:
    """Runs on the server in one step. All its keys have one hash tag.

    If the connection is lost before the answer is there, nobody knows whether it ran: then it runs
    again. Where a second run does harm or gives another answer, it is to run `once`, and such a
    call raises StoreAway.
    """

    def __init__(self, text: str, *, once: bool = False) -> None:
        self.text: Final = text
        self.once: Final = once
        # What EVALSHA calls it by; no secret hangs on it.
        self.name: Final = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Call:
    """`script`: None if it is a command. `moves`: how often a Cluster said that its slot is
    elsewhere."""

    __slots__ = ("_arguments", "answer", "moves", "packed", "script", "slot")

    def __init__(self, slot: int, what: Script | str, arguments: tuple[Argument, ...]) -> None:
        self.slot = slot
        self.script = None if isinstance(what, str) else what
        self.packed = (
            _pack(what, *arguments)
            if isinstance(what, str)
            else _pack("EVALSHA", what.name, *arguments)
        )
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.moves = 0
        self._arguments = arguments

    def packed_whole(self, script: Script) -> bytes:
        """For a server that doesn't know the script."""
        return _pack("EVAL", script.text, *self._arguments)

    @property
    def done(self) -> bool:
        return self.answer.done()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Lane:
    """`sent`: what is under way. `version`: of the shards by which it has what waits. `failure`:
    why it failed, None if it didn't when it was last used; `failed_at`: monotonic seconds.
    `asking`: for slots that a Cluster is just moving there."""

    def __init__(self, shards: Shards, address: Address, *, asking: bool = False) -> None:
        self.address = address
        self.waiting: deque[Call] = deque()
        self.sent: list[Call] = []
        self.asked: dict[Address, list[Call]] = {}
        self.busy = False
        self.version = -1
        self.failure: Exception | None = None
        self.failed_at = 0.0
        self._shards = shards
        self._asking = asking
        self._connection = shards.connection(address)
        self._written = False
        self._refusal: Exception | None = None
        # Scripts that the server knows since the connection was made.
        self._known: set[str] = set()

    def take(self) -> bool:
        """Choose what leaves together next; those nobody waits for any more are dropped."""
        size = 0
        self.sent = []
        while self.waiting and len(self.sent) < BATCH_CALLS and size < BATCH_BYTES:
            call = self.waiting.popleft()
            if not call.done:
                self.sent.append(call)
                size += len(call.packed)
        return bool(self.sent)

    def put_back(self) -> int:
        """What has no answer waits again, before all others. Returns how many do."""
        left = [call for call in self.sent if not call.done]
        self.sent, self.asked = [], {}
        self.waiting.extendleft(reversed(left))
        return len(left)

    def give_up(self) -> list[Call]:
        """What waits here and belongs to others."""
        owner_of = self._shards.owner_of
        leaving = [call for call in self.waiting if owner_of(call.slot) != self.address]
        if leaving:
            staying = [call for call in self.waiting if owner_of(call.slot) == self.address]
            self.waiting = deque(staying)
        return leaving

    async def connect(self) -> bool:
        """Whether it had to. A connection that the server closed meanwhile is seen here."""
        self._written = False
        if self._connection.is_connected:
            if not await self._connection.can_read():
                return False
            await self.close()
        await self._connection.connect()  # type: ignore[no-untyped-call]
        self._known = set()
        return True

    async def exchange(self) -> bool:
        """Send what was taken and read the answers. What may be tried again has none then; returns
        whether that makes sense only after a pause. Slots on the move are in `asked`."""
        packed = b"".join(map(self._packed, self.sent))
        self._written, self._refusal = True, None
        await self._connection.send_packed_command(packed)
        pause = False
        for call in self.sent:
            if self._asking:
                await self._connection.read_response()
            pause |= await self._read(call)
        self.failure, self.failed_at = self._refusal, monotonic()
        return pause

    def _packed(self, call: Call) -> bytes:
        packed, script = call.packed, call.script
        if script is not None and script.name not in self._known:
            self._known.add(script.name)
            packed = call.packed_whole(script)
        return _ASKING + packed if self._asking else packed

    async def _read(self, call: Call) -> bool:
        """One answer. Returns whether to pause before the call is tried again."""
        try:
            answer = await self._connection.read_response()
        except NoScriptError:  # EVAL was refused, or somebody made the server forget it
            if call.script is not None:
                self._known.discard(call.script.name)
        except TryAgainError:  # the keys of a slot that is moving are half here, half there
            return True
        except _PASSING as error:
            self._refusal = error
            return True
        except AskError as error:  # MovedError is one
            return self._redirect(call, error)
        except ResponseError as error:
            call.fail(error)
        else:
            if not call.done:
                call.answer.set_result(answer)
        return False

    def _redirect(self, call: Call, error: AskError) -> bool:
        if not self._shards.clustered:
            call.fail(error)
            return False
        target = Address(error.host or self.address.host, error.port)
        call.moves += 1
        if isinstance(error, MovedError):
            self._shards.moved(call.slot, target)
        else:
            self.asked.setdefault(target, []).append(call)
        return call.moves > 1

    async def fail(self, error: Exception) -> None:
        """Nothing answers, or a refusal that is none of a call."""
        self.failure, self.failed_at = error, monotonic()
        lost = is_lost(error)
        for call in self.sent:
            once = call.script is not None and call.script.once
            if not lost or (once and self._written):
                call.fail(error)
        await self.close()

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def end(self) -> None:
        """Close, and wait for what that takes with TLS."""
        with suppress(RedisTimeoutError, OSError):
            await self._connection.disconnect()


def _pack(*arguments: Argument) -> bytes:
    """A fifth of what redis-py's own packing costs."""
    packed: bytes = pack_command(arguments)  # type: ignore[arg-type]
    return packed
