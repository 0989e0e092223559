"""An authenticator on a store in a folder, what an operator has beside it, and a clock that stands
still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from wd_server.access.authenticator import Authenticator
from wd_server.access.credentials import Credential, presented
from wd_server.access.keyring import KeyRequest, Keyring
from wd_server.access.secret_file import signing_keys
from wd_server.access.store import KeyStore
from wd_server.config.settings import Settings
from wd_server.embedded.backend import KEYS_FILE
from wd_server.embedded.counters import LocalCounters
from wd_server.embedded.keys import SqliteKeyStore
from wd_server.secret import Secret
from wd_server.tasks import Tasks

HOME = "192.0.2.1"
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
OTHER_WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
NOW = 1_700_000_000.0
SCENARIO_SECONDS = 30


def credential(text: Secret) -> Credential:
    found = presented(x_api_key=[text.reveal()])
    assert found is not None
    return found


UNKNOWN = credential(Secret("wd_" + "0" * 32))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Setup:
    authenticator: Authenticator
    ring: Keyring
    store: KeyStore
    clock: Clock
    monotonic: Clock

    async def new_key(self, **request: object) -> tuple[str, Credential]:
        """Its id, and it as it is presented."""
        asked = KeyRequest(name="test")._replace(**request)  # type: ignore[arg-type]
        new = await self.ring.create(asked, self.clock())
        return new.key.id, credential(new.text)


@asynccontextmanager
async def set_up(folder: Path, **environ: str) -> AsyncIterator[Setup]:
    """By default requests without a key are refused."""
    settings = Settings.from_environment(
        {"DATA_DIR": str(folder), "API_KEY_REQUIRED": "true"} | environ
    )
    clock, monotonic = Clock(), Clock()
    own, store = (SqliteKeyStore(settings.data_dir / KEYS_FILE) for _ in range(2))
    authenticator = Authenticator.from_settings(
        settings, own, LocalCounters(monotonic), clock, Tasks(), monotonic
    )
    await own.open()
    await store.open()
    await authenticator.open()
    try:
        ring = Keyring(store, signing_keys(settings).current)
        yield Setup(authenticator, ring, store, clock, monotonic)
    finally:
        await authenticator.close()
        await authenticator.close()
        await own.close()
        await store.close()


def play(scenario: Callable[[Setup], Awaitable[None]], folder: Path, **environ: str) -> None:
    async def life() -> None:
        async with asyncio.timeout(SCENARIO_SECONDS), set_up(folder, **environ) as opened:
            await scenario(opened)

    asyncio.run(life())
