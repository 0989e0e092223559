"""The routes that manage webhooks: /v0/webhooks and /v0/webhooks/ID."""

from collections.abc import Callable
from typing import Any

import msgspec
from tornado.web import RequestHandler

from wd_tools.simulator.upstream import Upstream
from wd_tools.simulator.webhooks import SimulatedWebhook, WebhookError


class WebhookHandler(RequestHandler):
    def initialize(self, upstream: Upstream, **_: Any) -> None:
        self._upstream = upstream
        self._webhooks = upstream.webhooks

    def prepare(self) -> None:
        refusal = self._upstream.wrong_key(self.get_query_argument("api-key", None))
        if refusal is not None:
            self.set_status(refusal.status)
            self._show({"error": "unauthorized"})
            return
        self._upstream.rpc.requests["webhooks"] += 1
        self._upstream.bill.webhook_call()

    def get(self, name: str | None = None) -> None:
        if name is None:
            self._show(self._webhooks.all())
        else:
            self._answer(lambda: self._webhooks.get(name))

    def post(self, name: str | None = None) -> None:
        self._answer(lambda: self._webhooks.create(self.request.body))

    def put(self, name: str = "") -> None:
        self._answer(lambda: self._webhooks.replace(name, self.request.body))

    def patch(self, name: str = "") -> None:
        self._answer(lambda: self._webhooks.change(name, self.request.body))

    def delete(self, name: str = "") -> None:
        self._answer(lambda: self._webhooks.remove(name))

    def _answer(self, action: Callable[[], SimulatedWebhook | None]) -> None:
        try:
            result = action()
        except WebhookError as error:
            self.set_status(error.status)
            self._show({"error": str(error)})
            return
        if result is None:
            self.set_status(204)
            self.finish()
        else:
            self._show(result)

    def _show(self, what: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(what))
