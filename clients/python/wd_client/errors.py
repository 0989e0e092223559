"""What can go wrong with a stream, by what to do about it.

`retry_after` is in seconds, None where coming back is of no use or nobody said when.
"""


class StreamError(Exception):
    """`passing`: another try may succeed, and the client makes it by itself."""

    passing = False
    retry_after: float | None = None


class Unreachable(StreamError):
    """No server, no answer, or a connection that broke or fell silent."""

    passing = True


class BadAnswer(StreamError):
    """Something answers, and it is no wd-server that can be trusted: the URL or the certificate is
    wrong, or a proxy is in the way."""


class Mismatch(StreamError):
    """The history that came isn't the one that the server proves. The client yields a `Gap` and
    reads it once more from the beginning; when that doesn't match either, this is raised."""

    passing = True

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"The history that came is not the one that the server proves: {difference}. Something"
            " between the server and this client loses or alters events: discard what came, and"
            " read it anew by another way."
        )


class Refused(StreamError):
    """The server says why: `code` as the contract lists them, `status` 200 if it was said within
    the stream, `wallet` where it is about one of several."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 200,
        retry_after: float | None = None,
        wallet: str | None = None,
        passing: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.wallet = wallet
        self.passing = passing


class NotAllowed(Refused):
    """No key, a wrong or expired one, or one that isn't for this wallet."""


class SentAway(StreamError):
    """A `bye`: `reason` as the contract lists them. A client comes back after `retry_after`; after
    `revoked` and `closed_by_owner` that is so late that most give up."""

    passing = True

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(f"The server ended the stream: {reason}.")
        self.reason = reason
        self.retry_after = retry_after


# Another try may be answered otherwise: too many requests, and what proxies and full or draining
# servers say.
PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
NOT_ALLOWED_CODES = frozenset({"AUTH_REQUIRED", "INVALID_KEY", "TOKEN_EXPIRED", "FORBIDDEN_WALLET"})


def refused(
    message: str,
    code: str,
    *,
    status: int = 200,
    retry_after: float | None = None,
    wallet: str | None = None,
) -> Refused:
    """The kind of refusal that fits the code."""
    kind = NotAllowed if code in NOT_ALLOWED_CODES else Refused
    return kind(
        message,
        code=code,
        status=status,
        retry_after=retry_after,
        wallet=wallet,
        passing=status in PASSING_STATUSES or retry_after is not None,
    )
