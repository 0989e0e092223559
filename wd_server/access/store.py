"""The contract of a key store: the keys, and which tokens were taken back.

All processes that let somebody in, and `wd-keys`, share one store. Each process holds all keys in
memory and reads once a second what changed, so that checking a key waits for nothing. Every
implementation passes `tests/contract/test_key_store.py`.

What a store promises:

1.  `exchange` and `revoke_token` return when the change is stored, or raise. A change is there
    whole or not at all; after StoreUnavailable nobody knows which.
2.  Every change gets a greater generation than all before it. What one process has changed,
    `snapshot` and `changes` of every process see from then on.
3.  `changes(after)` tells everything that changed later than `after`, or None when it can't (too
    long ago, or the store lost data): then only a snapshot helps.
4.  Anything that goes wrong with the store is `StoreUnavailable`, within the deadline of a call. It
    works again when the cause is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from wd_server.access.keys import ApiKey
from wd_server.errors import StoreUnavailable

# A process holds them all, at about 1 KB each. Who has more customers gives them tokens.
KEYS_MAX = 20_000
# Tokens taken back by hand that haven't ended yet; what ends them all is to revoke their key.
REVOKED_TOKENS_MAX = 100_000
# Changes that are kept to be told. A process asks every second; one that slept longer than it
# takes to change this many reads a snapshot.
CHANGES_KEPT = 1000
# A call's deadline in seconds. Nothing here takes more than some milliseconds while all is well.
STORE_SECONDS = 2.0


class Snapshot(NamedTuple):
    """Everything, as of one generation. `tokens`: jti -> unix seconds until which it must be
    remembered; `unreadable`: ids of keys whose rows no version of wd-server wrote."""

    generation: int
    keys: tuple[ApiKey, ...]
    tokens: Mapping[str, float]
    unreadable: tuple[str, ...] = ()


class Changes(NamedTuple):
    """What changed up to `generation`: keys as they are now, ids of those that were forgotten,
    tokens taken back, ids of keys that can't be read any more."""

    generation: int
    keys: tuple[ApiKey, ...]
    forgotten: tuple[str, ...]
    tokens: Mapping[str, float]
    unreadable: tuple[str, ...] = ()


class Exchange(NamedTuple):
    """`before` None: a new key; `after` None: forget it."""

    before: ApiKey | None
    after: ApiKey | None

    @property
    def id(self) -> str:
        return (self.before or self.after).id  # type: ignore[union-attr]


class KeyStore(Protocol):
    """Every method raises StoreUnavailable."""

    async def snapshot(self) -> Snapshot: ...

    async def changes(self, after: int) -> Changes | None: ...

    async def exchange(self, exchanges: Sequence[Exchange]) -> bool:
        """Store all or none of them. False, and nothing is stored, if one of the keys isn't any
        more as `before` says (for a new key: if there is one with its id)."""

    async def revoke_token(self, jti: str, until: float, now: float) -> None:
        """Take a token back; it has ended by itself at `until` (unix seconds). Those that ended
        before `now` are forgotten. Raises StoreFull."""


# Of a key's HMAC-SHA-256.
DIGEST_BYTES = 32

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(ApiKey)


def encode(key: ApiKey) -> bytes:
    return _encoder.encode(key)


def decode(row: bytes) -> ApiKey:
    """Raises StoreUnavailable for what no version of wd-server wrote."""
    try:
        key = _decoder.decode(row)
        if len(bytes.fromhex(key.digest)) != DIGEST_BYTES:
            raise ValueError("the digest has another length")
        return key
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreUnavailable(
            "The store of keys has a row that isn't a key. Its operator has to look at it."
        ) from error


def decode_all(rows: Iterable[tuple[str, bytes]]) -> tuple[tuple[ApiKey, ...], tuple[str, ...]]:
    """Keys from their ids and rows, and the ids of those that can't be read: what is wrong with one
    is no reason to refuse the others."""
    keys, unreadable = [], []
    for key_id, row in rows:
        try:
            keys.append(decode(row))
        except StoreUnavailable:
            unreadable.append(key_id)
    return tuple(keys), tuple(unreadable)
