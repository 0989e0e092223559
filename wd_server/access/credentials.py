"""Finds the key or token of a request in its headers and parameters. Pure."""

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from wd_server.errors import InvalidParameter
from wd_server.secret import Secret

# How every key begins; no token does, since those begin with `{"` in base64url.
KEY_BEGINNING: Final = "wd_"
# Characters of a token with 50 wallets and an RSA signature of 4096 bits, and some more.
CREDENTIAL_CHARACTERS_MAX = 4096


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
    header or parameter. Another scheme than Bearer in `Authorization` isn't ours and is
    ignored. Raises InvalidParameter if there are several that differ, or one that can't be any."""
    texts = {*map(_bearer, authorization), *x_api_key, *api_key, *access_token} - {"", None}
    if len(texts) > 1:
        raise InvalidParameter("Two different keys or tokens came with this request. Send one.")
    for text in texts:
        return _credential(text or "")
    return None


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
