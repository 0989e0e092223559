"""What `wd-keys` reads from its arguments, and what it writes of a key. Pure."""

import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from wd_server.access.keys import ApiKey, SigningKeys
from wd_server.access.tokens import ANY_WALLET, STREAMS_MAX
from wd_server.errors import InvalidWallet
from wd_server.trading.wallet import WalletAddress

NAME_CHARACTERS_MAX = 80
# A key for more wallets than this is a key for any.
WALLETS_MAX = 1000
REQUESTS_MAX = 1_000_000
# Credits a day: ten times the largest common plan's month.
CREDITS_MAX = 1_000_000_000
# Beyond it is a typing error.
DAYS_MAX = 3650

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")


def name(text: str) -> str:
    if not 0 < len(text) <= NAME_CHARACTERS_MAX or not text.isprintable() or text != text.strip():
        raise ArgumentTypeError(f"a name has 1 to {NAME_CHARACTERS_MAX} printable characters")
    return text


def issuer(text: str) -> str:
    """It isn't repeated where it is wrong: it may be a key, given by mistake."""
    if not text.strip() or not text.isprintable():
        raise ArgumentTypeError("an issuer is the text of the claim `iss`, and not empty")
    return text


def duration(text: str) -> float:
    """Seconds."""
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0 if text == "0" else None
    if seconds is None or seconds > DAYS_MAX * _UNITS["d"]:
        raise ArgumentTypeError(f"{text!r} is no time like 90s, 30m, 24h or 7d")
    return float(seconds)


def end(text: str) -> tuple[bool, float]:
    """A duration from now on (True, seconds), or a date and time (False, unix seconds)."""
    if _DURATION.fullmatch(text):
        return True, duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is neither a time like 30d nor a date like 2030-12-31 or "
            "2030-12-31T12:00:00Z (UTC where it doesn't say)"
        ) from None
    return False, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def wallets(text: str) -> tuple[str, ...]:
    """Addresses separated by commas or spaces, `*` for any (an empty tuple)."""
    addresses = dict.fromkeys(text.replace(",", " ").split())
    if list(addresses) == [ANY_WALLET]:
        return ()
    if not 0 < len(addresses) <= WALLETS_MAX:
        raise ArgumentTypeError(f"give 1 to {WALLETS_MAX} wallets, or * for any")
    try:
        return tuple(str(WalletAddress.parse(address)) for address in addresses)
    except InvalidWallet as error:
        raise ArgumentTypeError(error.message) from error


def streams(text: str) -> int:
    return _whole(text, STREAMS_MAX)


def requests(text: str) -> int:
    return _whole(text, REQUESTS_MAX)


def credits_a_day(text: str) -> int:
    return _whole(text, CREDITS_MAX)


def _whole(text: str, most: int) -> int:
    if not (
        text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most
    ):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 (no limit) to {most}")
    return int(text)


def state(key: ApiKey, now: float) -> str:
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.successor is not None:
        return "being replaced" if key.is_live(now) else "replaced"
    return "live" if key.is_live(now) else "expired"


def made_under(key: ApiKey, signing_keys: SigningKeys) -> str:
    """Which SECRET_KEY it was hashed with; `unknown` means that it can't be used."""
    if key.under == signing_keys.current.fingerprint:
        return "current"
    return "old" if any(key.under == each.fingerprint for each in signing_keys.all) else "unknown"


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def as_json(key: ApiKey, signing_keys: SigningKeys, now: float) -> dict[str, Any]:
    """A key as scripts read it, without its digest."""
    return {
        "id": key.id,
        "name": key.name,
        "state": state(key, now),
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "streams": key.streams,
        "requests": key.requests,
        "credits": key.credits,
        "wallets": None if key.wallets is None else list(key.wallets),
        "line": key.family,
        "successor": key.successor,
        "secret_key": made_under(key, signing_keys),
    }


def limit(number: int | None) -> str:
    if number is None:
        return "default"
    return str(number) if number else "no limit"


def wallet_count(key: ApiKey) -> str:
    return "any" if key.wallets is None else str(len(key.wallets))


def lines(key: ApiKey, signing_keys: SigningKeys, now: float) -> Sequence[tuple[str, str]]:
    """One key for people, as names and values."""
    shown = [
        ("Id", key.id),
        ("Name", key.name),
        ("State", state(key, now)),
        ("Created", moment(key.created_at) or ""),
        ("Expires", moment(key.expires_at) or "never"),
        ("Revoked", moment(key.revoked_at)),
        ("Streams", limit(key.streams)),
        ("Requests a minute", limit(key.requests)),
        ("Credits a day", limit(key.credits or 0)),
        ("Wallets", "any" if key.wallets is None else " ".join(key.wallets)),
        ("First key", key.family if key.family != key.id else None),
        ("Replaced by", key.successor),
        ("SECRET_KEY", made_under(key, signing_keys)),
    ]
    return [(label, value) for label, value in shown if value is not None]
