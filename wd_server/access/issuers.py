"""Public keys of another issuer of tokens, from a PEM or a JWKS."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from wd_server.config.settings import InvalidSettings

# Issuers have the present key, the last and the next one.
KEYS_MAX = 16
# NIST SP 800-131A.
RSA_BITS_LEAST = 2048
FILE_BYTES_MAX = 64 * 1024

_SAYS: Final = "JWT_KEYS_FILE: "
_ALLOWED: Final = "RSA (2048 bits or more), EC on P-256 and Ed25519 are taken."

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class VerifyingKey(NamedTuple):
    """A key and the one algorithm that it is for. `kid` None: its issuer doesn't name it."""

    kid: str | None
    algorithm: str
    key: PublicKey


def read(path: Path) -> tuple[VerifyingKey, ...]:
    """Raises InvalidSettings."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text"
        raise InvalidSettings([f"{_SAYS}{path} can't be read: {reason}."]) from error
    if len(text) > FILE_BYTES_MAX:
        raise InvalidSettings([f"{_SAYS}{path} is larger than {FILE_BYTES_MAX} bytes."])
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidSettings([f"{_SAYS}{path}: {error}"]) from error


def parse(text: str) -> tuple[VerifyingKey, ...]:
    """Raises ValueError, which says what is wrong."""
    if "PRIVATE KEY" in text:
        raise ValueError("This is a private key. The public one belongs here.")
    keys = _jwks(text) if text.lstrip().startswith("{") else (_pem(text),)
    if not 0 < len(keys) <= KEYS_MAX:
        raise ValueError(f"There are {len(keys)} usable keys, not 1 to {KEYS_MAX}. {_ALLOWED}")
    return keys


def _pem(text: str) -> VerifyingKey:
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("It is neither a public key in PEM nor a JWKS.") from error
    algorithm = _algorithm(key)
    if algorithm is None:
        raise ValueError(f"Keys of this kind can't be used. {_ALLOWED}")
    return VerifyingKey(None, algorithm, key)  # type: ignore[arg-type]


def _jwks(text: str) -> tuple[VerifyingKey, ...]:
    try:
        jwks = json.loads(text)["keys"]
    except (ValueError, KeyError, RecursionError) as error:
        raise ValueError('It isn\'t a JWKS: {"keys": […]}.') from error
    if not isinstance(jwks, list) or not all(isinstance(each, dict) for each in jwks):
        raise ValueError("`keys` isn't a list of keys.")
    if any("d" in each or each.get("kty") == "oct" for each in jwks):
        raise ValueError("It has a private or shared key. Only public ones belong here.")
    return tuple(key for each in jwks if (key := _jwk(each)) is not None)


def _jwk(jwk: dict[str, Any]) -> VerifyingKey | None:
    """None for a key that is for something else."""
    if jwk.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK(jwk).key
    except (PyJWTError, ValueError, TypeError):
        return None
    algorithm, kid = _algorithm(key), jwk.get("kid")
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    return VerifyingKey(kid if isinstance(kid, str) else None, algorithm, key)


def _algorithm(key: object) -> str | None:
    if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS_LEAST:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None
