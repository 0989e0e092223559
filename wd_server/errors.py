"""What can go wrong, whose fault it is and what to do about it.

Every error a client may see is one of these. `code` is the closed vocabulary of the public
contract, `status` the HTTP status to answer with where no stream is open yet, and the message a
sentence without internals. Foreign exceptions become one of these at the border where they enter.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

# Seconds after which a client that was told of a newer version may ask again: until then a proxy
# has had time to choose another server.
NEWER_RETRY_SECONDS: Final = 5.0

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class WalletDoctorError(Exception):
    """An error that may be shown to a client.

    `retry_after` is in seconds: when it makes sense to try again, None when it doesn't. `headers`
    belong on the answer, besides those that every answer has.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.headers = headers


class InternalError(WalletDoctorError):
    """Our fault. The log has the cause; the client learns only that it happened."""


class InvalidWallet(WalletDoctorError):
    code = "INVALID_WALLET"
    status = 400


class InvalidParameter(WalletDoctorError):
    code = "INVALID_PARAMETER"
    status = 400


class UnknownWallet(WalletDoctorError):
    """The wallet was never analysed here."""

    code = "UNKNOWN_WALLET"
    status = 404


class AtCapacity(WalletDoctorError):
    """The process holds `MAX_STREAMS` streams already."""

    code = "AT_CAPACITY"
    status = 503


class Draining(WalletDoctorError):
    """The process is shutting down and takes no new stream."""

    code = "DRAINING"
    status = 503


class StreamingDisabled(AtCapacity):
    """The operator switched streaming off."""


class NotAuthenticated(WalletDoctorError):
    """Nobody is let in with that. `challenge` is what stands in `WWW-Authenticate` (RFC 6750)."""

    code = "AUTH_REQUIRED"
    status = 401
    challenge: ClassVar[str] = 'Bearer realm="wd-server"'

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": self.challenge})


class AuthRequired(NotAuthenticated):
    """No key and no token where one is needed."""


class InvalidKey(NotAuthenticated):
    """A key or token that isn't one of ours, or is revoked."""

    code = "INVALID_KEY"
    challenge = 'Bearer realm="wd-server", error="invalid_token"'


class TokenExpired(NotAuthenticated):
    """It was right once: fetch a new one."""

    code = "TOKEN_EXPIRED"
    challenge = (
        'Bearer realm="wd-server", error="invalid_token", error_description="it has expired"'
    )


class ForbiddenWallet(WalletDoctorError):
    """The key or token is right, and not for this wallet."""

    code = "FORBIDDEN_WALLET"
    status = 403


class RateLimited(WalletDoctorError):
    """More requests in a minute, or more failed ones, than the caller may send."""

    code = "RATE_LIMIT"
    status = 429


class TooManyStreams(WalletDoctorError):
    """The caller has as many open streams as it may."""

    code = "TOO_MANY_STREAMS"
    status = 429


class UpstreamError(WalletDoctorError):
    """The Solana RPC didn't give what was asked for."""


class UpstreamRateLimit(UpstreamError):
    """Too many requests for now: wait `retry_after` seconds and go on."""

    code = "UPSTREAM_RATE_LIMIT"
    status = 503


class UpstreamQuota(UpstreamError):
    """The plan's credits are used up: nothing will work for long."""

    code = "UPSTREAM_QUOTA"
    status = 503


class CreditsSpent(UpstreamQuota):
    """The caller's key has spent what it may on this day. Others are served."""


class UpstreamUnavailable(UpstreamError):
    """No usable answer: connection, timeout, 5xx, broken body."""

    code = "UPSTREAM_UNAVAILABLE"
    status = 503


class UpstreamRejected(UpstreamError):
    """The upstream understood and refused: bad key, plan, parameter."""

    code = "UPSTREAM_REJECTED"
    status = 502


class StoreUnavailable(WalletDoctorError):
    """A store (journal, keys, counters) can't store or read right now: full, locked, gone."""

    code = "STORE_UNAVAILABLE"
    status = 503


class StoreAway(StoreUnavailable):
    """The store can't be reached now. What waits for it may go on when it is back."""


class StoreFull(StoreUnavailable):
    """The store has as much as it may hold."""


class WrittenByNewer(StoreUnavailable):
    """A newer server wrote this wallet's journal, and only such a one may go on with it."""

    def __init__(self) -> None:
        super().__init__(
            "A newer version of the server wrote this wallet's events; this one can't go on with "
            "them. Connect again to reach the newer one.",
            retry_after=NEWER_RETRY_SECONDS,
        )
