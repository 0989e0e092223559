"""What a request presents to be let in, wherever it stands. Pure: strings in, a credential out."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from wd_server.errors import InvalidParameter
from wd_server.secret import MASK, Secret

# How every key begins; no token does, since those begin with `{"` in base64url.
KEY_BEGINNING: Final = "wd_"
# Characters of a token with 50 wallets and an RSA signature of 4096 bits, with room.
CREDENTIAL_CHARACTERS_MAX = 4096

# Parameters that carry a credential. `%61pi_key` is one of them too, hence the lenient match.
_IN_QUERY: Final = re.compile(r"(?i)(?<=[?&;])([^=&;#]*)=([^&;#]*)")
_NAMES: Final = frozenset({"api_key", "access_token"})
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")


class CredentialKind(Enum):
    KEY = "key"
    TOKEN = "token"


class Credential(NamedTuple):
    kind: CredentialKind
    secret: Secret


def presented(
    *,
    authorization: Iterable[str] = (),
    x_api_key: Iterable[str] = (),
    api_key: Iterable[str] = (),
    access_token: Iterable[str] = (),
) -> Credential | None:
    """The one credential of a request, None if it has none. Each argument has all values of its
    header or parameter. Another scheme than Bearer in `Authorization` isn't ours and is passed
    over. Raises InvalidParameter if there are several that differ, or one that can't be any."""
    texts = {*map(_bearer, authorization), *x_api_key, *api_key, *access_token} - {"", None}
    if len(texts) > 1:
        raise InvalidParameter("Two different keys or tokens came with this request. Send one.")
    for text in texts:
        return _credential(text or "")
    return None


def without_credentials(uri: str) -> str:
    """A request's URI as it may be logged: the values of parameters with credentials are masked."""
    return _IN_QUERY.sub(_masked, uri)


def _bearer(header: str) -> str | None:
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def _credential(text: str) -> Credential:
    if len(text) > CREDENTIAL_CHARACTERS_MAX:
        raise InvalidParameter(
            f"The key or token is longer than {CREDENTIAL_CHARACTERS_MAX} characters."
        )
    if not (text.isascii() and text.isprintable()) or " " in text or "," in text:
        raise InvalidParameter("The key or token has characters that none has.")
    is_key = text.startswith(KEY_BEGINNING)
    return Credential(CredentialKind.KEY if is_key else CredentialKind.TOKEN, Secret(text))


def _masked(found: re.Match[str]) -> str:
    name = found[1]
    # What isn't plainly another parameter may be one of ours in disguise (percent signs).
    hides = name.lower() in _NAMES or not _PLAIN.fullmatch(name)
    return f"{name}={MASK}" if hides else found[0]
