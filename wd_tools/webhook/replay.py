"""Hands deliveries from the quarantine to a server again, as Helius would."""

from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.request import Request

import msgspec
from msgspec import Struct

from wd_server import __version__
from wd_server.chain.payloads import UNREADABLE
from wd_server.chain.quarantine import Quarantined
from wd_server.errors import UpstreamError, UpstreamRejected, UpstreamUnavailable
from wd_server.secret import Secret
from wd_tools.webhook.direct import send

# Seconds for one. The server answers when it is stored.
REPLAY_SECONDS = 30.0
# Bytes of an answer. The server's is one number.
ANSWER_BYTES = 4096


class DeliveryRefused(UpstreamRejected):
    """The server doesn't take this delivery. It may take others."""


class _Stored(Struct):
    """What the server answers: how many transactions it stored."""

    stored: int


def replay(kept: Quarantined, url: str, secret: Secret) -> None:
    """Deliver it to `url` and, once the server says that it is stored, remove it from the
    quarantine. If it fails there again, it comes back under another name. Raises DeliveryRefused,
    UpstreamRejected, UpstreamUnavailable, OSError (the file)."""
    request = Request(
        url,
        data=kept.path.read_bytes(),
        headers={
            "Authorization": secret.reveal(),
            "Content-Type": "application/json",
            "User-Agent": f"wd-server/{__version__}",
        },
        method="POST",
    )
    name = kept.path.name
    try:
        msgspec.json.decode(send(request, REPLAY_SECONDS, ANSWER_BYTES), type=_Stored)
    except HTTPError as error:
        raise _refusal(name, error.code) from None
    except URLError as error:
        raise UpstreamUnavailable(f"{name}: the server can't be reached: {error.reason}.") from None
    except UNREADABLE:
        raise UpstreamRejected(
            f"{name}: what answers isn't the webhook's endpoint of a wd-server."
        ) from None
    kept.path.unlink(missing_ok=True)


def _refusal(name: str, status: int) -> UpstreamError:
    text = f"{name}: the server answered {status}."
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return DeliveryRefused(text)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return UpstreamRejected(f"{text} Name the URL that it redirects to.")
    if status == HTTPStatus.FORBIDDEN:
        return UpstreamRejected(f"{text} WEBHOOK_SECRET isn't the server's.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UpstreamUnavailable(text)
    return UpstreamRejected(text)
