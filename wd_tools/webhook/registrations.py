"""The webhooks that Helius has for a key: made, listed, changed and deleted.

Each call costs 100 credits. The key is in the URL, so nothing of what a call says is repeated.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Literal, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request

import msgspec
from msgspec import Struct

from wd_server import __version__
from wd_server.chain import faults
from wd_server.chain.payloads import UNREADABLE
from wd_server.errors import UpstreamRejected
from wd_server.secret import Secret
from wd_tools.webhook.direct import send

# Addresses of one webhook by Helius' rule.
WALLETS_MAX = 100_000
CALL_SECONDS = 30.0  # 100,000 addresses are 4.6 MB
ANSWER_BYTES = 64 * 1024 * 1024

T = TypeVar("T")
Kind = Literal["raw", "enhanced"]


class Webhook(Struct, rename={"id": "webhookID", "url": "webhookURL", "kind": "webhookType"}):
    """What is shown in a terminal; the id becomes a part of URLs, too."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z-]{1,64}\Z")]
    url: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,2048}\Z")]
    kind: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z]{1,32}\Z")]
    wallets: list[str] = msgspec.field(name="accountAddresses", default_factory=list)
    active: bool = True


class Registrations:
    """`url` is Helius' API, with the key in its query."""

    def __init__(self, url: Secret) -> None:
        self._url = url

    def all(self) -> list[Webhook]:
        """Raises the four upstream errors, as all here do."""
        return self._call("GET", "", list[Webhook])

    def create(self, url: str, secret: Secret, kind: Kind, wallets: Collection[str]) -> Webhook:
        return self._call("POST", "", Webhook, _wanted(url, secret, kind, wallets))

    def replace(
        self, known: Webhook, secret: Secret, kind: Kind, wallets: Collection[str]
    ) -> Webhook:
        wanted = _wanted(known.url, secret, kind, wallets)
        return self._call("PUT", known.id, Webhook, wanted)

    def delete(self, webhook_id: str) -> None:
        self._send("DELETE", webhook_id)

    def _call(self, method: str, webhook_id: str, answer: type[T], body: object = None) -> T:
        try:
            return msgspec.json.decode(self._send(method, webhook_id, body), type=answer)
        except UNREADABLE:
            raise faults.unavailable("broken answer") from None

    def _send(self, method: str, webhook_id: str, body: object = None) -> bytes:
        parts = urlsplit(self._url.reveal())
        path = "/".join(filter(None, (parts.path.rstrip("/"), "v0/webhooks", webhook_id)))
        request = Request(
            urlunsplit(parts._replace(path=path)),
            data=None if body is None else msgspec.json.encode(body),
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"wd-server/{__version__}",
            },
            method=method,
        )
        try:
            return send(request, CALL_SECONDS, ANSWER_BYTES)
        except HTTPError as error:
            raise _refused(error, method) from None
        except URLError:
            raise faults.unavailable("no connection") from None


def _wanted(url: str, secret: Secret, kind: Kind, wallets: Collection[str]) -> dict[str, object]:
    if len(wallets) > WALLETS_MAX:
        raise UpstreamRejected(f"A webhook is for {WALLETS_MAX} wallets at most.")
    return {
        "webhookURL": url,
        "webhookType": kind,
        "accountAddresses": sorted(wallets),
        "transactionTypes": ["ANY"],
        "authHeader": secret.reveal(),
        "txnStatus": "success",
    }


def _refused(error: HTTPError, method: str) -> Exception:
    if error.code == HTTPStatus.NOT_FOUND:
        return UpstreamRejected("Helius has no such webhook.")
    return faults.status_failure(error.code, {}, None, f"{method} webhooks")
