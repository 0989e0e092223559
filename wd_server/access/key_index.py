"""All keys, in memory, so that a check waits for nothing and wrong keys make nothing grow. Pure."""

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


class Holder(NamedTuple):
    """A key and who it stands for."""

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
        self._by_digest: dict[bytes, Holder] = {}
        self._by_id: dict[str, Holder] = {}
        self._tokens: dict[str, float] = {}
        # When keys end, soonest first.
        self._ending: list[tuple[float, str]] = []
        self._looked_at = 0.0
        # Those that ended since somebody asked.
        self._ended_keys: dict[str, bool] = {}
        self._ended_tokens: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    # What the store says

    def load(self, snapshot: Snapshot) -> None:
        """Begin anew. Keys that were known and are gone have ended."""
        gone = self._by_id.keys() - {key.id for key in snapshot.keys}
        self._by_digest, self._by_id, self._ending = {}, {}, []
        self._ended_keys |= dict.fromkeys(gone, True)
        self._tell(snapshot.keys, snapshot.tokens)
        self.generation = snapshot.generation

    def apply(self, changes: Changes) -> None:
        for gone in (*changes.forgotten, *changes.unreadable):
            self._drop(gone)
            self._ended_keys[gone] = True
        self._tell(changes.keys, changes.tokens)
        self.generation = changes.generation

    def _tell(self, keys: Iterable[ApiKey], tokens: Mapping[str, float]) -> None:
        for key in keys:
            self._drop(key.id)
            holder = Holder(key, self._principal(key))
            self._by_id[key.id] = self._by_digest[bytes.fromhex(key.digest)] = holder
            if key.ends_at is not None:
                heapq.heappush(self._ending, (key.ends_at, key.id))
        self._ended_tokens |= tokens.keys() - self._tokens.keys()
        self._tokens |= tokens

    def _drop(self, wanted: str) -> None:
        holder = self._by_id.pop(wanted, None)
        if holder is not None:
            self._by_digest.pop(bytes.fromhex(holder.key.digest), None)

    def _principal(self, key: ApiKey) -> Principal:
        return Principal(
            who=f"key:{key.line}",
            wallets=None if key.wallets is None else frozenset(key.wallets),
            requests_a_minute=_or(key.requests, self._limits.requests_a_minute),
            streams=_or(key.streams, self._limits.streams),
            expires_at=key.ends_at,
            key_id=key.id,
            wallets_a_minute=self._limits.wallets_a_minute,
            credits=key.credits or 0,
        )

    # Questions

    def find(self, key: Secret) -> Holder | None:
        """Whether it is still live is another question."""
        text = key.reveal().encode()
        for signing in self._signing_keys.all:
            digest = signing.digest(text)
            holder = self._by_digest.get(digest)
            # The table is looked up with something that nobody outside can choose; compared again
            # in constant time, so that nothing depends on how tables compare.
            if holder is not None and hmac.compare_digest(holder.key.digest, digest.hex()):
                return holder
        return None

    def holder(self, wanted: str) -> Holder | None:
        """By the key's id."""
        return self._by_id.get(wanted)

    def is_token_revoked(self, jti: str) -> bool:
        return jti in self._tokens

    def upgrade(self, key: Secret) -> Exchange | None:
        """What lets a known key that was hashed under the old SECRET_KEY survive that one's end;
        None if it doesn't need that."""
        holder, current = self._by_id.get(key_id(key)), self._signing_keys.current
        if holder is None or holder.key.under == current.fingerprint:
            return None
        digest = current.digest(key.reveal().encode()).hex()
        after = msgspec.structs.replace(holder.key, digest=digest, under=current.fingerprint)
        return Exchange(holder.key, after)

    def ended(self, now: float) -> Ended:
        """What has ended since the last call. A clock that was ahead may have ended what goes on.
        After it was set back everything is read anew."""
        if now < self._looked_at - SET_BACK_SECONDS:
            self.generation = -1
        self._looked_at = now
        while self._ending and self._ending[0][0] <= now:
            holder = self._by_id.get(heapq.heappop(self._ending)[1])
            if holder is not None and not holder.key.is_live(now):
                by_hand = holder.key.revoked_at is not None or holder.key.successor is not None
                self._ended_keys[holder.key.id] = by_hand
        over = [jti for jti, until in self._tokens.items() if until < now]
        for jti in over:
            del self._tokens[jti]
        ended = Ended(self._ended_keys, frozenset(self._ended_tokens))
        self._ended_keys, self._ended_tokens = {}, set()
        return ended


def _or(own: int | None, default: int) -> int:
    return default if own is None else own
