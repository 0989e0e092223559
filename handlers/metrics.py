"""`GET /metrics`: Prometheus text, for the networks that may read it or with the token for it."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tornado.web import HTTPError

from handlers.base import BaseHandler
from wd_server.access.addresses import client_address
from wd_server.config.variables import Network
from wd_server.secret import Secret

# A request with one of these came through a proxy, which most often is on loopback itself.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_FORBIDDEN = (
    "You may not read the metrics from this address: METRICS_ALLOW, METRICS_TOKEN and, behind a "
    "proxy, TRUSTED_PROXIES say who may."
)


class MetricsHandler(BaseHandler):
    def get(self) -> None:
        if not self._has_token() and not self._is_near():
            raise HTTPError(403, reason=_FORBIDDEN)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(self.services.metrics())

    head = get

    def _has_token(self) -> bool:
        token = self.services.settings.metrics_token
        scheme, _, presented = self.request.headers.get("Authorization", "").partition(" ")
        return token is not None and scheme.lower() == "bearer" and Secret(presented) == token

    def _is_near(self) -> bool:
        """Whether it comes from loopback or METRICS_ALLOW. What was forwarded comes from where the
        proxy says, if that is trusted, and else from anywhere: most proxies are on loopback."""
        settings, headers = self.services.settings, self.request.headers
        peer = ip_address(self.request.remote_ip or "0.0.0.0")
        forwarded = headers.get("X-Forwarded-For")
        if not any(name in headers for name in _FORWARDING):
            return peer.is_loopback or any(peer in each for each in settings.metrics_allow)
        if forwarded is None or not any(peer in each for each in settings.trusted_proxies):
            return False
        client = ip_network(client_address(str(peer), forwarded, settings.trusted_proxies))
        return client.is_loopback or any(_within(client, each) for each in settings.metrics_allow)


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
