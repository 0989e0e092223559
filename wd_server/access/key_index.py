"""All keys, in memory, so that a check waits for nothing and wrong keys take no memory. Pure."""

import heapq
import hmac
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from wd_server.access.keys import ApiKey, SigningKeys, key_id
from wd_server.access.principal import Principal
from wd_server.access.store import Changes, Exchange, Snapshot
from wd_server.secret import Secret

# Seconds that a clock may be set back without anything having to be read anew.
SET_BACK_SECONDS = 10


class DefaultLimits(NamedTuple):
    """Of keys that have none of their own, and of addresses. 0: no limit."""

    requests_a_minute: int
    streams: int
    wallets_a_minute: int = 0


class IndexedKey(NamedTuple):
    """A key and the principal that it stands for."""

    key: ApiKey
    principal: Principal


class Ended(NamedTuple):
    """Ids of keys and of tokens that are valid no more; of keys, whether by hand (True)."""

    keys: dict[str, bool]
    tokens: frozenset[str]


class KeyIndex:
    def __init__(self, signing_keys: SigningKeys, limits: DefaultLimits) -> None:
        self.generation = -1
        self._signing_keys = signing_keys
        self._limits = limits
        self._by_digest: dict[bytes, IndexedKey] = {}
        self._by_id: dict[str, IndexedKey] = {}
        self._tokens: dict[str, float] = {}
        # When keys end, soonest first.
        self._ending: list[tuple[float, str]] = []
        self._looked_at = 0.0
        # Those that ended since the last call of `ended`.
        self._ended_keys: dict[str, bool] = {}
        self._ended_tokens: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    # Changes from the store

    def load(self, snapshot: Snapshot) -> None:
        """Begin anew. Keys that were known and are gone have ended."""
        gone = self._by_id.keys() - {key.id for key in snapshot.keys}
        self._by_digest, self._by_id, self._ending = {}, {}, []
        self._ended_keys |= dict.fromkeys(gone, True)
        self._put(snapshot.keys, snapshot.tokens)
        self.generation = snapshot.generation

    def apply(self, changes: Changes) -> None:
        for gone in (*changes.forgotten, *changes.unreadable):
            self._drop(gone)
            self._ended_keys[gone] = True
        self._put(changes.keys, changes.tokens)
        self.generation = changes.generation

    def _put(self, keys: Iterable[ApiKey], tokens: Mapping[str, float]) -> None:
        for key in keys:
            self._drop(key.id)
            indexed = IndexedKey(key, self._principal(key))
            self._by_id[key.id] = self._by_digest[bytes.fromhex(key.digest)] = indexed
            if key.ends_at is not None:
                heapq.heappush(self._ending, (key.ends_at, key.id))
        self._ended_tokens |= tokens.keys() - self._tokens.keys()
        self._tokens |= tokens

    def _drop(self, wanted: str) -> None:
        indexed = self._by_id.pop(wanted, None)
        if indexed is not None:
            self._by_digest.pop(bytes.fromhex(indexed.key.digest), None)

    def _principal(self, key: ApiKey) -> Principal:
        return Principal(
            who=f"key:{key.family}",
            wallets=None if key.wallets is None else frozenset(key.wallets),
            requests_a_minute=_or(key.requests, self._limits.requests_a_minute),
            streams=_or(key.streams, self._limits.streams),
            expires_at=key.ends_at,
            key_id=key.id,
            wallets_a_minute=self._limits.wallets_a_minute,
            credits=key.credits or 0,
        )

    # Questions

    def find(self, key: Secret) -> IndexedKey | None:
        """By the key's text. The key may have ended."""
        text = key.reveal().encode()
        for signing in self._signing_keys.all:
            digest = signing.digest(text)
            indexed = self._by_digest.get(digest)
            # The table is looked up with something that nobody outside can choose; compared again
            # in constant time, so that nothing depends on how tables compare.
            if indexed is not None and hmac.compare_digest(indexed.key.digest, digest.hex()):
                return indexed
        return None

    def by_id(self, wanted: str) -> IndexedKey | None:
        """By the key's id. The key may have ended."""
        return self._by_id.get(wanted)

    def is_token_revoked(self, jti: str) -> bool:
        return jti in self._tokens

    def upgrade(self, key: Secret) -> Exchange | None:
        """The exchange that hashes a known key under the current SECRET_KEY; None if it is already.

        Keys that still depend on the old SECRET_KEY stop working when it is removed."""
        indexed, current = self._by_id.get(key_id(key)), self._signing_keys.current
        if indexed is None or indexed.key.under == current.fingerprint:
            return None
        digest = current.digest(key.reveal().encode()).hex()
        after = msgspec.structs.replace(indexed.key, digest=digest, under=current.fingerprint)
        return Exchange(indexed.key, after)

    def ended(self, now: float) -> Ended:
        """What has ended since the last call. A clock that was ahead may have ended keys too early:
        after it was set back everything is read anew."""
        if now < self._looked_at - SET_BACK_SECONDS:
            self.generation = -1
        self._looked_at = now
        while self._ending and self._ending[0][0] <= now:
            indexed = self._by_id.get(heapq.heappop(self._ending)[1])
            if indexed is not None and not indexed.key.is_live(now):
                by_hand = indexed.key.revoked_at is not None or indexed.key.successor is not None
                self._ended_keys[indexed.key.id] = by_hand
        over = [jti for jti, until in self._tokens.items() if until < now]
        for jti in over:
            del self._tokens[jti]
        ended = Ended(self._ended_keys, frozenset(self._ended_tokens))
        self._ended_keys, self._ended_tokens = {}, set()
        return ended


def _or(own: int | None, default: int) -> int:
    return default if own is None else own
