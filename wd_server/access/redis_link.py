"""The connection to Redis that keys and counters share: bounded, with deadlines, and with errors
that are ours."""

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError, RedisError

from wd_server.access.store import STORE_SECONDS
from wd_server.errors import StoreUnavailable
from wd_server.secret import Secret

# Calls take a fraction of a millisecond: this many at once are tens of thousands a second.
CONNECTIONS = 16
# A connection that the server closed (it was restarted) is made anew within the call; the waits
# between tries, in seconds, fit into a call's deadline.
TRIES = 3
WAIT_FIRST = 0.01
WAIT_MOST = 0.2

_CLUSTER: Final = "redis+cluster://"


class Script:
    """Runs on the server in one step. All its keys have one hash tag."""

    def __init__(self, text: str) -> None:
        self.text: Final = text
        # What EVALSHA calls it by; no secret hangs on it.
        self.name: Final = sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Connects with the first call."""

    def __init__(self, url: Secret) -> None:
        self._client = _client(url.reveal())

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Raises StoreUnavailable; what the script did is then unknown."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                try:
                    return await self._client.evalsha(script.name, len(keys), *keys, *arguments)
                except NoScriptError:  # the server was restarted, or never saw it
                    return await self._client.eval(script.text, len(keys), *keys, *arguments)
        except TimeoutError:
            raise StoreUnavailable("The server's Redis is too slow now. Try again.") from None
        except (RedisError, OSError) as error:
            raise StoreUnavailable(
                "The server's Redis doesn't answer as it should. Try again."
            ) from error

    async def close(self) -> None:
        """Closing twice is no error."""
        await self._client.aclose()


def _client(url: str) -> Any:
    retry = Retry(ExponentialWithJitterBackoff(base=WAIT_FIRST, cap=WAIT_MOST), TRIES)
    if url.startswith(_CLUSTER):
        return RedisCluster.from_url(
            "redis://" + url.removeprefix(_CLUSTER),
            max_connections=CONNECTIONS,
            socket_timeout=STORE_SECONDS,
            socket_connect_timeout=STORE_SECONDS,
            retry=retry,
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=STORE_SECONDS,
        socket_timeout=STORE_SECONDS,
        socket_connect_timeout=STORE_SECONDS,
        retry=retry,
    )
    return Redis.from_pool(pool)
