"""Whether this process works, for people, load balancers and supervisors."""

from handlers.answers import Liveness, Readiness
from handlers.base import BaseHandler
from wd_server.errors import StoreUnavailable


class HealthHandler(BaseHandler):
    """200 while serving; 503 while draining or when a needed dependency is down."""

    def get(self) -> None:
        health = self.services.health()
        serving = health.status in ("healthy", "degraded")
        self.set_header("Cache-Control", "no-store")
        self.send_json(health, 200 if serving else 503)

    head = get


class LivenessHandler(BaseHandler):
    """Answers as long as the loop turns."""

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.send_json(Liveness("alive"))

    head = get


class ReadinessHandler(BaseHandler):
    """Whether a new stream would be accepted now."""

    def get(self) -> None:
        self.services.registry.check_room()
        if self.services.health().status == "unhealthy":
            raise StoreUnavailable("A store doesn't answer: journal or keys. Ask another server.")
        self.set_header("Cache-Control", "no-store")
        self.send_json(Readiness("ready"))

    head = get
