"""Tokens: signed statements of who may read which wallets until when (JWT, RFC 7519 and 8725).

The algorithm belongs to the key that verifies, never to the token: HS256 to SECRET_KEY, one of
RS256, ES256 and EdDSA to each public key.
"""

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from wd_server.access.issuers import VerifyingKey
from wd_server.access.keys import SigningKeys
from wd_server.errors import InvalidKey, InvalidWallet, TokenExpired
from wd_server.secret import Secret
from wd_server.trading.wallet import WalletAddress

# Clocks of issuers and nodes differ by this many seconds at most; small, because a stream has to
# end within 5 seconds of its token.
LEEWAY_SECONDS = 2
# As many as may be asked for on one connection.
WALLETS_MAX = 50
ANY_WALLET: Final = "*"
JTI_CHARACTERS_MAX = 200
# Far beyond what anybody may have open; keeps sums exact.
STREAMS_MAX = 1_000_000
# RFC 7518, section 3.2. Shorter secrets (in development) are filled up with zeros, as HMAC does it
# anyway, because PyJWT warns of them.
_HMAC_KEY_BYTES = 32
# Written in hex: a name that begins with a dash would be an option to `wd-keys revoke-token`.
_JTI_BYTES = 16

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=JTI_CHARACTERS_MAX)]


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """`key` is the id of the API key that this was made from. Another issuer's `key` says nothing
    here and is dropped."""

    iss: str
    aud: str | list[str]
    sub: _Name
    exp: float
    iat: float
    jti: _Name
    wallets: Annotated[list[str], msgspec.Meta(min_length=1, max_length=WALLETS_MAX)]
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=STREAMS_MAX)] | None = None
    nbf: float | None = None
    key: str | None = None

    @property
    def ends_at(self) -> float:
        """Unix seconds, with the leeway."""
        return self.exp + LEEWAY_SECONDS

    def readable(self) -> frozenset[str] | None:
        """None: any wallet."""
        return None if self.wallets == [ANY_WALLET] else frozenset(self.wallets)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """`issuer` of our own tokens; `other_issuer` of those that `other_keys` verify."""

    issuer: str
    audience: str
    max_seconds: int
    other_issuer: str | None = None
    other_keys: tuple[VerifyingKey, ...] = ()


class _TrustedKey(NamedTuple):
    kid: str | None
    algorithm: str
    key: Any
    issuer: str


class Issued(NamedTuple):
    token: Secret
    jti: str
    expires_at: int


class Tokens:
    def __init__(self, signing_keys: SigningKeys, rules: TokenRules) -> None:
        self._rules = rules
        ours = [
            _TrustedKey(
                key.fingerprint, "HS256", key.reveal().ljust(_HMAC_KEY_BYTES, b"\0"), rules.issuer
            )
            for key in signing_keys.all
        ]
        self._ours, self._signing = ours, ours[0]
        others = [_TrustedKey(*key, rules.other_issuer or "") for key in rules.other_keys]
        self._sources = (*ours, *others)
        self._jws = PyJWS(algorithms=sorted({source.algorithm for source in self._sources}))
        self._decoder = msgspec.json.Decoder(Claims)

    def issue(
        self,
        *,
        subject: str,
        key_id: str,
        wallets: Iterable[str],
        seconds: int,
        max_streams: int | None,
        now: float,
    ) -> Issued:
        """`wallets` is what `Claims.wallets` may be, `seconds` is at most the rules' maximum."""
        issued_at, jti = int(now), secrets.token_hex(_JTI_BYTES)
        claims = Claims(
            iss=self._rules.issuer,
            aud=self._rules.audience,
            sub=subject,
            iat=issued_at,
            exp=issued_at + seconds,
            jti=jti,
            wallets=sorted(map(str, wallets)),
            max_streams=max_streams,
            key=key_id,
        )
        signing = self._signing
        token = self._jws.encode(
            msgspec.json.encode(claims), signing.key, signing.algorithm, {"kid": signing.kid}
        )
        return Issued(Secret(token), jti, issued_at + seconds)

    def verify(self, token: Secret, now: float) -> Claims:
        """Its claims; `jti` as a revocation names it. Raises InvalidKey, TokenExpired."""
        text = token.reveal()
        try:
            header = self._jws.get_unverified_header(text)
        except (PyJWTError, ValueError):
            raise InvalidKey("This is neither an API key nor a token.") from None
        for source in self._sources:
            if header.get("alg") != source.algorithm or not _may_be(source.kid, header.get("kid")):
                continue
            try:
                payload = self._jws.decode(text, source.key, [source.algorithm])
                claims = self._decoder.decode(payload)
            except PyJWTError:
                continue
            except msgspec.MsgspecError as error:
                raise InvalidKey(f"The token's claims aren't right: {_reason(error)}") from None
            except (UnicodeDecodeError, RecursionError):  # signed, and still no JSON that is read
                raise InvalidKey("The token's claims can't be read.") from None
            self._check(claims, source.issuer, now)
            return claims if source in self._ours else _foreign(claims)
        raise InvalidKey("The token isn't signed by anybody who is believed here.")

    def _check(self, claims: Claims, issuer: str, now: float) -> None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        times = [claims.exp, claims.iat, claims.nbf or 0.0]
        if claims.iss != issuer:
            raise InvalidKey("The token is from another issuer (`iss`).")
        if self._rules.audience not in audiences:
            raise InvalidKey("The token is for another audience (`aud`).")
        if not all(math.isfinite(time) for time in times) or claims.exp <= claims.iat:
            raise InvalidKey("The token's times (`exp`, `iat`, `nbf`) make no sense.")
        if claims.exp - claims.iat > self._rules.max_seconds:
            raise InvalidKey(f"The token lasts longer than {self._rules.max_seconds} seconds.")
        if max(times[1:]) > now + LEEWAY_SECONDS:
            raise InvalidKey("The token isn't valid yet (`iat`, `nbf`).")
        if now >= claims.ends_at:
            raise TokenExpired("The token has expired. Get a new one.")
        if claims.wallets != [ANY_WALLET]:
            for wallet in claims.wallets:
                _check_wallet(wallet)


def revocation(jti: str, issuer: str | None) -> str:
    """The name under which a revoked token is stored. Each issuer names its own tokens, so theirs
    can't collide. `issuer` None: this server; its tokens' `jti` stands alone, as in stores of
    0.1.0."""
    return jti if issuer is None else f"{issuer}\n{jti}"


def _foreign(claims: Claims) -> Claims:
    """Only this server's own tokens may name a key, whose limits are theirs then."""
    return msgspec.structs.replace(claims, key=None, jti=revocation(claims.jti, claims.iss))


def _may_be(kid: str | None, wanted: object) -> bool:
    """A key or a token that names none fits any."""
    return kid is None or wanted is None or kid == wanted


def _reason(error: msgspec.MsgspecError) -> str:
    """Names the claim; the value is never part of msgspec's text, except as its type."""
    return f"{error}."


def _check_wallet(wallet: str) -> None:
    try:
        WalletAddress.parse(wallet)
    except InvalidWallet:
        raise InvalidKey('`wallets` in the token has to be addresses, or ["*"].') from None
