"""What can go wrong at the upstream as four errors: rate limit, quota, unavailable, rejected.

The upstream's own words are read here and never repeated: they may hold the key.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated

import msgspec

from wd_server.errors import (
    UpstreamError,
    UpstreamQuota,
    UpstreamRateLimit,
    UpstreamRejected,
    UpstreamUnavailable,
)

# Seconds without calls once the credits are used up. They are renewed monthly or by hand, and a
# failed probe costs nothing.
QUOTA_SECONDS = 600.0
MAX_RETRY_AFTER = 3600.0  # seconds; a longer one is a mistake of the other side's clock
# A refusal is short; text inside a long answer may be anybody's (memos, token names).
MAX_REFUSAL_BYTES = 4096
QUOTA_TEXT = "max usage reached"

# Error codes: JSON-RPC 2.0, Agave's rpc_custom_error.rs, and the upstream's own of the form -32xxx
# with a HTTP status in it. Any other is taken for a node's trouble, which passes.
RATE_LIMIT_CODES = frozenset({-32429})
KEY_CODES = frozenset({-32401})
METHOD_CODES = frozenset({-32601, -32403, -32011})  # -32011: node keeps no transaction history
VERSION_CODES = frozenset({-32015})
REJECTED_CODES = frozenset({-32700, -32600, -32602, -32010, -32013})
CODE_MAX = 2**31 - 1
FINAL_CODES = RATE_LIMIT_CODES | KEY_CODES | METHOD_CODES | VERSION_CODES | REJECTED_CODES


class MethodUnavailable(UpstreamRejected):
    """The upstream has no such method, or not on this plan: there may be another way."""


class KeyRefused(UpstreamRejected):
    """The upstream doesn't know the key: nothing will work until the operator corrects it."""


class BatchRefused(UpstreamRejected):
    """The upstream refused a batch as a whole: a smaller one may pass."""


class VersionUnsupported(UpstreamRejected):
    """A transaction is of a newer version than was asked for: the others may be had without it."""


class Fault(msgspec.Struct, gc=False):
    """`code` is repeated to clients, so it is bounded; JSON-RPC's own have five digits."""

    code: Annotated[int, msgspec.Meta(ge=-CODE_MAX, le=CODE_MAX)] = 0
    message: str = ""


def rate_limited(retry_after: float | None = None) -> UpstreamRateLimit:
    return UpstreamRateLimit(
        "The Solana RPC takes no more requests for now; try again in a moment.",
        retry_after=retry_after,
    )


def unavailable(reason: str, retry_after: float | None = None) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"The Solana RPC is not usable right now ({reason}); try again later.",
        retry_after=retry_after,
    )


def quota_exhausted(retry_after: float = QUOTA_SECONDS) -> UpstreamQuota:
    return UpstreamQuota(
        "The credits of this server's Solana RPC plan are used up; the operator has to renew them.",
        retry_after=retry_after,
    )


def says_quota(text: str) -> bool:
    return QUOTA_TEXT in text.lower()


def failure(fault: Fault, method: str) -> UpstreamError:
    """A JSON-RPC error as one of ours."""
    if says_quota(fault.message):
        return quota_exhausted()
    if fault.code in RATE_LIMIT_CODES:
        return rate_limited()
    if fault.code in KEY_CODES:
        return _key_refused()
    if fault.code in METHOD_CODES:
        return _method_unavailable(method)
    if fault.code in VERSION_CODES:
        return VersionUnsupported(f"The Solana RPC refused {method} (error {fault.code}).")
    if fault.code in REJECTED_CODES:
        return UpstreamRejected(f"The Solana RPC refused {method} (error {fault.code}).")
    return unavailable(f"error {fault.code}")


def status_failure(
    status: int, headers: Mapping[str, str], fault: Fault | None, method: str
) -> UpstreamError:
    """A HTTP status other than 200 as one of ours, with the JSON-RPC error in its body, if any."""
    retry_after = _retry_after(headers)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return rate_limited(retry_after)
    if fault is not None and fault.code in FINAL_CODES:
        return failure(fault, method)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return unavailable(f"HTTP status {status}", retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        return _key_refused()
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return _method_unavailable(method)
    return UpstreamRejected(f"The Solana RPC refused {method} (HTTP status {status}).")


def _key_refused() -> KeyRefused:
    return KeyRefused("The Solana RPC refused this server's key; the operator has to correct it.")


def _method_unavailable(method: str) -> MethodUnavailable:
    return MethodUnavailable(f"The Solana RPC doesn't offer {method}, or not on this plan.")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the upstream asks to wait. A date is compared with the answer's own, so that only
    one clock counts (RFC 9110, section 10.2.3)."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            until, since = (parsedate_to_datetime(each) for each in (text, headers["Date"]))
            seconds = (until - since).total_seconds()
        except (KeyError, TypeError, ValueError):
            return None
    return min(seconds, MAX_RETRY_AFTER) if seconds >= 0 else None


def outcome(error: UpstreamError) -> str:
    """A word for it in statistics."""
    if isinstance(error, UpstreamRateLimit):
        return "rate_limited"
    if isinstance(error, UpstreamQuota):
        return "quota"
    return "rejected" if isinstance(error, UpstreamRejected) else "unavailable"
