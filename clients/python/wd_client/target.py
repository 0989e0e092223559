"""Where a request goes, and where it may be sent on to (RFC 9110, section 15.4)."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from wd_client.errors import BadAnswer

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Redirects of one request: to https, to the host's other name and to another path are three. Five
# is what the first standard of HTTP/1.1 advised; more are a mistake in some configuration.
MAX_REDIRECTS = 5

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")


class Target(NamedTuple):
    """`authority` is what stands in `Host`; `path` has the query with it."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    def may_hand_on_to(self, other: "Target") -> bool:
        """Whether that one may have a key that was meant for this one: it is the same origin, or
        the same host's encrypted one."""
        if other.host != self.host:
            return False
        upgraded = other.is_secure and not self.is_secure
        return upgraded or (other.scheme, other.port) == (self.scheme, self.port)


def target_of(url: str) -> Target:
    """Of a server; its path ends without `/`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("the URL can't carry a query or a password")
    target = _target(url)
    return target._replace(path=target.path.rstrip("/"))


def sent_on(way: Sequence[Target], location: str | None) -> Target:
    """Where the last of `way` sends a request that came by it. Raises BadAnswer.

    Errors name origins and nothing else: a path or query may hold what isn't to be shown."""
    here = way[-1]
    if len(way) > MAX_REDIRECTS:
        raise BadAnswer(f"{way[0].origin} redirects more than {MAX_REDIRECTS} times{_REMEDY}")
    try:
        target = _target(urljoin(here.origin + here.path, location) if location else "")
    except ValueError:
        raise BadAnswer(f"{here.origin} redirects to no http or https URL{_REMEDY}") from None
    if here.is_secure and not target.is_secure:
        raise BadAnswer(
            f"{here.origin} redirects to {target.origin}, where everything would be sent in the"
            f" clear. This isn't followed{_REMEDY}"
        )
    if target in way:
        raise BadAnswer(f"{here.origin} redirects in a circle{_REMEDY}")
    return target


_REMEDY = ": is this the URL of a wd-server, and is the proxy before it set up for it?"


def _target(url: str) -> Target:
    """Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or not _VISIBLE.fullmatch(url):
        raise ValueError(f"{url!r} is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL can't carry a query or a password")
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    port = parts.port or _PORTS[parts.scheme]
    return Target(parts.scheme, parts.hostname, port, parts.netloc, path)
