"""`GET /metrics`: Prometheus text, for the networks that may read it."""

from ipaddress import ip_address

from tornado.web import HTTPError

from handlers.base import BaseHandler


class MetricsHandler(BaseHandler):
    def get(self) -> None:
        address = ip_address(self.request.remote_ip or "0.0.0.0")
        allowed = self.services.settings.metrics_allow
        if not address.is_loopback and not any(address in network for network in allowed):
            raise HTTPError(403, reason="This address may not read the metrics: METRICS_ALLOW.")
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.services.metrics())

    head = get
