"""API keys: what is stored of one, and how its text is recognised without being stored.

A key is `wd_` and 32 letters and digits (190 bits). Its first eleven characters are its id, which
stands in lists and logs and leaves 142 bits unknown. Only an HMAC-SHA-256 of the whole, under
SECRET_KEY, is stored.
"""

import hashlib
import hmac
import secrets
import string
from typing import Final

import msgspec

from wd_server.access.credentials import KEY_BEGINNING
from wd_server.secret import Secret

KEY_RANDOM_CHARACTERS = 32
KEY_CHARACTERS: Final = len(KEY_BEGINNING) + KEY_RANDOM_CHARACTERS
KEY_ID_CHARACTERS = 11

_ALPHABET: Final = string.ascii_letters + string.digits
# Says under which SECRET_KEY something was made, without saying anything of it.
_FINGERPRINT_OF: Final = b"wd-server: which SECRET_KEY is this"
_FINGERPRINT_CHARACTERS = 8


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key as it is stored. Times in unix seconds. `family` is the id of the first key of those
    that it was rotated from; `digest` in hexadecimal, under the SECRET_KEY that `under` is the
    fingerprint of. `streams` and `requests` (a minute): None, what the server's settings say; 0, no
    limit. `credits` (a day, at the upstream): None or 0, no limit. `wallets` None: any.
    `successor`: the id of what it was rotated to."""

    id: str
    family: str = msgspec.field(name="line")  # as stores have it
    name: str
    digest: str
    under: str
    created_at: float
    streams: int | None = None
    requests: int | None = None
    wallets: tuple[str, ...] | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    successor: str | None = None
    credits: int | None = None

    @property
    def ends_at(self) -> float | None:
        """When it stops being valid, by expiry or by hand; None: never."""
        times = [at for at in (self.expires_at, self.revoked_at) if at is not None]
        return min(times, default=None)

    def is_live(self, now: float) -> bool:
        ends_at = self.ends_at
        return ends_at is None or now < ends_at


def new_key() -> Secret:
    text = "".join(secrets.choice(_ALPHABET) for _ in range(KEY_RANDOM_CHARACTERS))
    return Secret(KEY_BEGINNING + text)


def key_id(key: Secret) -> str:
    return key.reveal()[:KEY_ID_CHARACTERS]


class SigningKey:
    """One SECRET_KEY: hashes keys, signs what goes out and comes back."""

    __slots__ = ("_bytes", "fingerprint")

    def __init__(self, secret: Secret) -> None:
        self._bytes = secret.reveal().encode()
        self.fingerprint: Final = self.digest(_FINGERPRINT_OF).hex()[:_FINGERPRINT_CHARACTERS]

    def digest(self, message: bytes) -> bytes:
        """HMAC-SHA-256."""
        return hmac.digest(self._bytes, message, hashlib.sha256)

    def reveal(self) -> bytes:
        return self._bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.fingerprint})"


class SigningKeys:
    """The SECRET_KEY that is used, and the one before it, which is still believed."""

    def __init__(self, current: Secret, old: Secret | None = None) -> None:
        self.current: Final = SigningKey(current)
        olds = [] if old is None or old == current else [SigningKey(old)]
        self.all: Final = (self.current, *olds)

    def seal(self, purpose: str, message: bytes) -> bytes:
        """32 bytes that only this server can make for `message`; one purpose's seal is none of
        another's."""
        return self.current.digest(_for(purpose, message))

    def is_seal(self, purpose: str, message: bytes, seal: bytes) -> bool:
        """Compared in constant time; a seal by the old SECRET_KEY is right, too."""
        text = _for(purpose, message)
        return any(hmac.compare_digest(key.digest(text), seal) for key in self.all)


def _for(purpose: str, message: bytes) -> bytes:
    return f"{purpose}\0".encode() + message
