"""Where Redis is: one server, the one that Sentinels name, or a Cluster's primaries and which slots
each has.

redis-py's client of a Cluster isn't used, for two reasons read from its source (8.1): when one
primary is gone it closes the connections to all, and its pipelines then run again what the others
had done already. Its connections and its parser are what this is made of.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final, NamedTuple

from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection
from redis.crc import key_slot
from redis.exceptions import RedisError

from wd_server.config.redis_url import RedisKind, RedisUrl
from wd_server.errors import StoreUnavailable
from wd_server.redis.errors import away, is_lost, ours
from wd_server.secret import Secret

# A call's deadline in seconds, and that of a connection. Nothing takes more than some milliseconds
# while all is well; an automatic failover takes longer, a planned one doesn't.
STORE_SECONDS = 2.0
# Seconds between two looks at who has what, however many calls met something that has moved.
LOOK_SECONDS = 0.1
# Seconds for one member to say what it knows; then another is asked.
MEMBER_SECONDS = 0.5
# Slots of a Cluster, by its specification.
SLOTS: Final = 16384


class Address(NamedTuple):
    host: str
    port: int


class Shards:
    """`version` changes when something has moved; one server never does. Raises OSError if a file
    of the URL's TLS options can't be used."""

    def __init__(self, url: Secret) -> None:
        self._url = RedisUrl.parse(url.reveal())
        self._hosts = [Address(*host) for host in self._url.hosts]
        # One has everything, or one for each slot.
        self._owners = self._hosts[:1]
        self._primaries: list[Address] = []
        # Who can say where something is; the next to be asked first.
        self._members = self._hosts
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -LOOK_SECONDS
        # Loading the system's authorities takes milliseconds: once for all connections.
        self._tls: RedisSSLContext | None = None
        if self._url.tls is not None:
            self._tls = SSLConnection(**self._url.tls).ssl_context
            self._tls.get()
        self.version = 0

    @property
    def clustered(self) -> bool:
        return self._url.kind is RedisKind.CLUSTER

    def slot(self, key: str | bytes) -> int:
        """0 for all keys if this isn't a Cluster."""
        if not self.clustered:
            return 0
        return key_slot(key.encode() if isinstance(key, str) else key)

    def owner_of(self, slot: int) -> Address:
        """Who has this slot, as far as is known."""
        return self._owners[slot if len(self._owners) == SLOTS else 0]

    def owner(self, key: str | bytes) -> Address:
        return self.owner_of(self.slot(key))

    def primaries(self) -> list[Address]:
        if not self._primaries:
            self._primaries = list(dict.fromkeys(self._owners))
        return self._primaries

    def slots_of_primaries(self) -> list[int]:
        """One slot of each primary."""
        return [self._owners.index(address) for address in self.primaries()]

    def connection(self, address: Address) -> Connection:
        """Not connected yet. Its reads and writes have no deadline of their own."""
        return self._connection(address, self._url.username, self._url.password, self._url.database)

    def _connection(
        self, address: Address, username: str, password: Secret, database: int
    ) -> Connection:
        options: dict[str, Any] = {
            "host": address.host,
            "port": address.port,
            "username": username or None,
            "password": password.reveal() or None,
            "db": database,
            # Answers have the same shape from every server: RESP2.
            "protocol": 2,
            "driver_info": None,
            "socket_timeout": None,
            "socket_connect_timeout": STORE_SECONDS,
        }
        if self._tls is None:
            return Connection(**options)
        secure = SSLConnection(**options)
        secure.ssl_context = self._tls
        return secure

    def moved(self, slot: int, owner: Address) -> None:
        """A member of the Cluster said so. What else has moved is found out meanwhile."""
        if len(self._owners) == SLOTS and self._owners[slot] != owner:
            self._owners[slot] = owner
            self._changed()
        self._start_look()

    async def look(self) -> None:
        """Find out who has what now. Raises StoreAway if nobody says, StoreUnavailable."""
        if self._url.kind is not RedisKind.SERVER:
            await asyncio.shield(self._start_look())

    async def close(self) -> None:
        """Closing twice is no error."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    def _start_look(self) -> asyncio.Task[None]:
        """One for all who want one now."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
            self._looking.add_done_callback(self._looked)
        return self._looking

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # whoever waits has it

    async def _look(self) -> None:
        await asyncio.sleep(self._looked_at + LOOK_SECONDS - monotonic())
        self._looked_at = monotonic()
        asked: list[Address] = []
        failure: Exception = TimeoutError()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                for member in tuple(self._members):
                    asked.append(member)
                    try:
                        return await self._ask(member)
                    except (RedisError, OSError, TimeoutError, StoreUnavailable) as error:
                        # One that refuses says more than one that is away.
                        failure = error if is_lost(failure) else failure
        except TimeoutError:
            pass
        finally:
            # Whoever was asked stands at the end: one that is wrong isn't asked again at once.
            self._members = sorted(self._members, key=asked.__contains__)
        if isinstance(failure, StoreUnavailable):
            raise failure
        raise ours(failure) from failure

    async def _ask(self, member: Address) -> None:
        async with asyncio.timeout(MEMBER_SECONDS):
            if self._url.kind is RedisKind.SENTINEL:
                self._adopt([await self._named_by(member)], self._hosts)
                return
            async with _connected(self.connection(member)) as connection:
                await connection.send_command("CLUSTER", "SLOTS")
                ranges = await connection.read_response()
        self._adopt(_owners(ranges, member.host), _members(ranges, member.host))

    async def _named_by(self, sentinel: Address) -> Address:
        connection = self._connection(sentinel, "", self._url.sentinel_password, 0)
        async with _connected(connection):
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service)
            named = await connection.read_response()
        if named is None:
            raise StoreUnavailable(
                "The server's Sentinels don't know its Redis. Its operator has to look at it."
            )
        return _address(named, sentinel.host)

    def _adopt(self, owners: list[Address], members: list[Address]) -> None:
        if owners != self._owners:
            self._owners = owners
            self._changed()
        self._members = list(dict.fromkeys([*members, *self._hosts]))

    def _changed(self) -> None:
        self._primaries = []
        self.version += 1


@asynccontextmanager
async def _connected(connection: Connection) -> AsyncIterator[Connection]:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        yield connection
    finally:
        await connection.disconnect(nowait=True)


def _owners(ranges: Sequence[Any], host: str) -> list[Address]:
    """The primary of each slot by CLUSTER SLOTS. Raises StoreAway while some have none."""
    owners: list[Address | None] = [None] * SLOTS
    for first, last, primary, *_ in ranges:
        owners[first : last + 1] = [_address(primary, host)] * (last + 1 - first)
    found = [owner for owner in owners if owner is not None]
    if len(found) < SLOTS:
        raise away()
    return found


def _members(ranges: Sequence[Any], host: str) -> list[Address]:
    return [_address(member, host) for each in ranges for member in each[2:]]


def _address(member: Sequence[Any], host: str) -> Address:
    """A server that doesn't know its own address says ''; it is where it was asked."""
    return Address((member[0] or b"").decode() or host, int(member[1]))
