"""What an operator does with keys: make, revoke, replace. Nothing here waits for a server."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from wd_server.access.keys import KEY_CHARACTERS, ApiKey, SigningKey, key_id, new_key
from wd_server.access.store import Exchange, KeyStore
from wd_server.access.tokens import JTI_CHARACTERS_MAX, revocation
from wd_server.errors import WalletDoctorError
from wd_server.secret import Secret

# Ended keys are kept this long, so that lists can tell what became of them.
KEPT_SECONDS = 90 * 86_400
# More go with the next new key.
FORGOTTEN_AT_ONCE = 500
# The longest that any token may last (the setting's maximum): so long it is remembered as revoked,
# whatever the server's own setting is.
TOKEN_SECONDS_MAX = 86_400
# Two tries meet a change by somebody else twice in a row.
TRIES = 5


class KeyProblem(WalletDoctorError):
    """The operator asked for something that can't be done; the message says why."""


class NewKey(NamedTuple):
    """`text` is seen here and never again."""

    key: ApiKey
    text: Secret


class KeyRequest(NamedTuple):
    name: str
    streams: int | None = None
    requests: int | None = None
    wallets: tuple[str, ...] | None = None
    expires_at: float | None = None
    credits: int | None = None


class Keyring:
    def __init__(self, store: KeyStore, signing_key: SigningKey) -> None:
        self._store = store
        self._signing_key = signing_key

    async def all(self) -> Sequence[ApiKey]:
        """In the order in which they were made."""
        snapshot = await self._store.snapshot()
        return sorted(snapshot.keys, key=lambda key: (key.created_at, key.id))

    async def find(self, wanted: str) -> ApiKey:
        """By its id. Raises KeyProblem."""
        if len(wanted) >= KEY_CHARACTERS:
            raise KeyProblem(
                "That is a whole key. Name it by its id, the first 11 characters: what stands in "
                "a command can be read by others on this machine. Better revoke it now."
            )
        for key in await self.all():
            if key.id == wanted:
                return key
        raise KeyProblem(f"There is no key with the id {wanted!r}. `wd-keys list` shows them all.")

    async def create(self, request: KeyRequest, now: float) -> NewKey:
        """Forgets keys that ended long ago. Raises StoreUnavailable."""
        gone = [key for key in await self.all() if (key.ends_at or now) < now - KEPT_SECONDS]
        await self._store.exchange([Exchange(key, None) for key in gone[:FORGOTTEN_AT_ONCE]])
        for _ in range(TRIES):
            new = self._make(now, **request._asdict())
            if await self._store.exchange([Exchange(None, new.key)]):
                return new
        raise KeyProblem("The store changes too fast. Try again.")

    async def revoke(self, wanted: str, now: float) -> ApiKey:
        """From now on; its tokens as well. Revoking twice is no error."""
        for _ in range(TRIES):
            key = await self.find(wanted)
            if key.revoked_at is not None:
                return key
            revoked = msgspec.structs.replace(key, revoked_at=now)
            if await self._store.exchange([Exchange(key, revoked)]):
                return revoked
        raise KeyProblem("Somebody else changes this key now. Try again.")

    async def rotate(self, wanted: str, overlap: float, now: float) -> NewKey:
        """A new key with the same name, limits and streams. The old one is valid for `overlap`
        seconds more, or until it would have expired."""
        for _ in range(TRIES):
            key = await self.find(wanted)
            if not key.is_live(now):
                raise KeyProblem(f"{key.id} isn't valid any more. Make a new key.")
            if key.successor is not None:
                raise KeyProblem(f"{key.id} was replaced by {key.successor} already. Rotate that.")
            new = self._make(
                now,
                name=key.name,
                family=key.family,
                streams=key.streams,
                requests=key.requests,
                wallets=key.wallets,
                expires_at=key.expires_at,
                credits=key.credits,
            )
            ends_at = min(now + overlap, key.expires_at or now + overlap)
            old = msgspec.structs.replace(key, expires_at=ends_at, successor=new.key.id)
            if await self._store.exchange([Exchange(key, old), Exchange(None, new.key)]):
                return new
        raise KeyProblem("Somebody else changes this key now. Try again.")

    async def revoke_token(self, jti: str, now: float, issuer: str | None = None) -> None:
        """`issuer` None: a token of this server's own."""
        if not 0 < len(jti) <= JTI_CHARACTERS_MAX or not jti.isprintable():
            raise KeyProblem("That is no token's id (`jti`).")
        if jti.count(".") == 2:
            raise KeyProblem("That is a token. Name it by its id, the claim `jti`.")
        await self._store.revoke_token(revocation(jti, issuer), now + TOKEN_SECONDS_MAX, now)

    def _make(self, now: float, *, family: str | None = None, **fields: object) -> NewKey:
        text = new_key()
        own_id = key_id(text)
        key = ApiKey(
            id=own_id,
            family=family or own_id,
            digest=self._signing_key.digest(text.reveal().encode()).hex(),
            under=self._signing_key.fingerprint,
            created_at=now,
            **fields,  # type: ignore[arg-type]
        )
        return NewKey(key, text)
