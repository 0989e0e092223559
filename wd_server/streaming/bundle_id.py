"""One text for the positions in several wallets, which only this server can have made.

An id is base64url, without padding, of bookmarks and a seal. There is a bookmark for each wallet of
which something was sent: 3 bytes of the wallet's hash, 7 bytes of the epoch, and the sequence
number in as few bytes as it needs (LEB128). The seal is an HMAC over the bookmarks and whom they
are for, so that nobody can write a position or use another tenant's.

Of wallets that are watched together, two have the same 3 bytes once in 14,000 times; their epochs,
which have 20 more bits of each wallet, then tell them apart.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2s
from typing import NamedTuple, Protocol, Self

from wd_server.errors import InvalidParameter
from wd_server.events.ids import EVENT_ID_PART_MAX, EventId

# By contract.
WALLETS_MAX = 50
PURPOSE = "id of several wallets, 1"
TAG_BYTES, RUN_BYTES, SEAL_BYTES = 3, 7, 32
# Bytes of the longest sequence number, 7 bits in each.
SEQ_BYTES = -(-EVENT_ID_PART_MAX.bit_length() // 7)
ID_CHARACTERS_MAX = 4 * (WALLETS_MAX * (TAG_BYTES + RUN_BYTES + SEQ_BYTES) + SEAL_BYTES + 2) // 3

_SHAPE = re.compile(r"[A-Za-z0-9_-]+")


class Signer(Protocol):
    """Makes seals and knows them again; one purpose's seal is none of another's."""

    def seal(self, purpose: str, message: bytes) -> bytes: ...
    def is_seal(self, purpose: str, message: bytes, seal: bytes) -> bool: ...


class Seal:
    """For one subject: whose ids these are."""

    def __init__(self, signer: Signer, subject: str) -> None:
        self._signer = signer
        whose = subject.encode("utf-8", "surrogatepass")
        self._beginning = b"%d:%b" % (len(whose), whose)

    def of(self, bookmarks: bytes) -> bytes:
        return self._signer.seal(PURPOSE, self._beginning + bookmarks)

    def is_on(self, bookmarks: bytes, seal: bytes) -> bool:
        return self._signer.is_seal(PURPOSE, self._beginning + bookmarks, seal)


class Bookmark(NamedTuple):
    tag: bytes
    position: EventId


class Bookmarks(tuple[Bookmark, ...]):
    """What an id says."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, seal: Seal) -> Self:
        """Raises InvalidParameter for anything but an id that was made with this seal."""
        body = _decoded(text)
        bookmarks, made = body[:-SEAL_BYTES], body[-SEAL_BYTES:]
        if not bookmarks or not seal.is_on(bookmarks, made) or _encoded(body) != text:
            raise _refusal()
        return cls(_bookmarks(bookmarks))

    def position(self, wallet: str, epoch: int) -> EventId | None:
        """Where the client was in this wallet, whose epoch is `epoch` now; None if it has nothing
        of it. That epoch may be another one."""
        tag = _tag(wallet)
        found = [bookmark.position for bookmark in self if bookmark.tag == tag]
        return next((each for each in found if each.epoch == epoch), found[0] if found else None)


class Positions:
    """Positions in these wallets as they move, and the id for each."""

    __slots__ = ("_bookmarks", "_seal", "_tags")

    def __init__(self, wallets: Sequence[str], seal: Seal) -> None:
        self._seal = seal
        self._tags = [_tag(wallet) for wallet in wallets]
        self._bookmarks = [b""] * len(wallets)

    def move(self, place: int, epoch: int, seq: int) -> None:
        """The wallet with this number is at another position. `seq` 0: at its beginning."""
        bookmark = self._tags[place] + epoch.to_bytes(RUN_BYTES) + _varint(seq) if seq else b""
        self._bookmarks[place] = bookmark

    def id(self) -> str:
        bookmarks = b"".join(self._bookmarks)
        return _encoded(bookmarks + self._seal.of(bookmarks))


def _tag(wallet: str) -> bytes:
    return blake2s(wallet.encode(), digest_size=TAG_BYTES).digest()


def _encoded(body: bytes) -> str:
    return urlsafe_b64encode(body).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    if len(text) > ID_CHARACTERS_MAX or not _SHAPE.fullmatch(text):
        raise _refusal()
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise _refusal() from error


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _bookmarks(body: bytes) -> list[Bookmark]:
    """Of what the seal says that it was made here."""
    bookmarks, at = [], 0
    while at < len(body):
        run_at = at + TAG_BYTES
        seq_at = run_at + RUN_BYTES
        end = seq_at + 1
        while body[end - 1] & 0x80:
            end += 1
        seq = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(body[seq_at:end]))
        position = EventId(int.from_bytes(body[run_at:seq_at]), seq)
        bookmarks.append(Bookmark(body[at:run_at], position))
        at = end
    return bookmarks


def _refusal() -> InvalidParameter:
    return InvalidParameter(
        "last_event_id is not an id that this server sent you for several wallets. Start again "
        "without it."
    )
