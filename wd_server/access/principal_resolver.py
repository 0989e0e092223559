"""From a credential to its principal, by what is in memory. Waits for nothing, stores nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from wd_server.access.credentials import Credential, CredentialKind
from wd_server.access.key_index import DefaultLimits, KeyIndex
from wd_server.access.principal import Principal
from wd_server.access.tokens import Claims, Tokens
from wd_server.access.windows import Windows
from wd_server.errors import AuthRequired, InvalidKey, RateLimited, TokenExpired

# Verified tokens that are remembered, about 700 bytes each: as many as a process' callers use in a
# while. Verifying one again takes 50 to 200 µs.
TOKENS_REMEMBERED = 10_000
# Wrong keys and tokens a minute from one address. A mistaken client gets that far, a guesser with
# 2^142 keys to try doesn't.
FAILURES_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class AuthRules:
    """`required`: requests without a key or token are refused."""

    required: bool
    limits: DefaultLimits
    token_max_seconds: int


class PrincipalResolver:
    """`monotonic` in seconds: failures are counted by it, so that a wrong time of day refuses
    nobody."""

    def __init__(
        self, key_index: KeyIndex, tokens: Tokens, rules: AuthRules, monotonic: Callable[[], float]
    ) -> None:
        self._key_index = key_index
        self._tokens = tokens
        self._rules = rules
        self._monotonic = monotonic
        self._failures = Windows()
        self._remembered: dict[bytes, Principal] = {}

    def anonymous(self, address: str) -> Principal:
        """Raises AuthRequired."""
        if self._rules.required:
            raise AuthRequired(
                "Send an API key or a token: `Authorization: Bearer …`, or `X-API-Key: …`."
            )
        limits = self._rules.limits
        return Principal(
            f"ip:{address}",
            None,
            limits.requests_a_minute,
            limits.streams,
            wallets_a_minute=limits.wallets_a_minute,
        )

    def resolve(self, credential: Credential, address: str, now: float) -> Principal | None:
        """None if its key isn't known (yet). Raises InvalidKey, TokenExpired, RateLimited."""
        usage = self._failures.peek(address, FAILURES_A_MINUTE, self._monotonic())
        if not usage.allowed:
            raise RateLimited(
                f"Too many wrong keys or tokens came from your address. Wait {usage.seconds} s.",
                retry_after=usage.seconds,
                headers=usage.headers(),
            )
        if credential.kind is CredentialKind.KEY:
            indexed = self._key_index.find(credential.secret)
            principal = None if indexed is None else indexed.principal
        else:
            principal = self._of_token(credential, address, now)
        if principal is not None:
            self.refuse_ended(principal, now)
        return principal

    def failed(self, message: str, address: str) -> InvalidKey:
        """Counts against the address. A credential that was right once (expired, revoked) isn't a
        guess and doesn't count."""
        self._failures.spend(address, FAILURES_A_MINUTE, self._monotonic())
        return InvalidKey(message)

    def refuse_ended(self, principal: Principal, now: float) -> None:
        """Raises InvalidKey, TokenExpired if the principal's key or token has ended."""
        indexed = None if principal.key_id is None else self._key_index.by_id(principal.key_id)
        if principal.key_id is not None and (indexed is None or not indexed.key.is_live(now)):
            if principal.jti is not None:
                raise InvalidKey("The API key that this token was made from isn't valid any more.")
            if indexed is None or indexed.key.revoked_at is not None:
                raise InvalidKey("This API key was revoked.")
            if indexed.key.successor is not None:
                raise InvalidKey("This API key was replaced by a new one. Use that.")
            raise InvalidKey("This API key has expired.")
        if principal.jti is not None:
            if self._key_index.is_token_revoked(principal.jti):
                raise InvalidKey("This token was revoked.")
            if principal.expires_at is not None and now >= principal.expires_at:
                raise TokenExpired("The token has expired. Get a new one.")

    def _of_token(self, credential: Credential, address: str, now: float) -> Principal | None:
        digest = sha256(credential.secret.reveal().encode()).digest()
        principal = self._remembered.get(digest)
        if principal is not None:
            return principal
        try:
            claims = self._tokens.verify(credential.secret, now)
        except InvalidKey as error:
            raise self.failed(error.message, address) from None
        principal = self._principal(claims)
        if principal is not None:
            if len(self._remembered) >= TOKENS_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = principal
        return principal

    def _principal(self, claims: Claims) -> Principal | None:
        wallets = claims.readable()
        if claims.key is None:  # its issuer answers for what it says
            limits = self._rules.limits
            return Principal(
                who=f"token:{claims.iss} {claims.sub}",
                wallets=wallets,
                requests_a_minute=limits.requests_a_minute,
                streams=claims.max_streams or limits.streams,
                expires_at=claims.ends_at,
                jti=claims.jti,
                wallets_a_minute=limits.wallets_a_minute,
            )
        indexed = self._key_index.by_id(claims.key)
        if indexed is None:
            return None
        of_key = indexed.principal
        if of_key.wallets is not None:  # never more than its key may
            wallets = of_key.wallets if wallets is None else wallets & of_key.wallets
        return replace(
            of_key,
            wallets=wallets,
            expires_at=min(claims.ends_at, of_key.expires_at or claims.ends_at),
            jti=claims.jti,
            token_streams=claims.max_streams or 0,
        )
