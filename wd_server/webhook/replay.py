"""Hands deliveries from the quarantine to a server again, as Helius would."""

from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from wd_server import __version__
from wd_server.chain.quarantine import Quarantined
from wd_server.errors import UpstreamRejected, UpstreamUnavailable
from wd_server.secret import Secret

# Seconds for one. The server answers when it is stored.
REPLAY_SECONDS = 30.0


def replay(kept: Quarantined, url: str, secret: Secret) -> None:
    """Deliver it to `url` and remove it from the quarantine. If it fails there again, it comes back
    under another name. Raises UpstreamRejected, UpstreamUnavailable, OSError (the file)."""
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
        with urlopen(request, timeout=REPLAY_SECONDS):
            pass
    except HTTPError as error:
        phrase = f"{error.code} {HTTPStatus(error.code).phrase}"
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UpstreamUnavailable(f"{name}: the server answered {phrase}.") from None
        raise UpstreamRejected(f"{name}: the server refused it with {phrase}.") from None
    except (URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise UpstreamUnavailable(f"{name}: the server can't be reached: {reason}.") from None
    kept.path.unlink(missing_ok=True)
