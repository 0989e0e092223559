"""`POST /v4/webhooks/helius`: transactions that Helius delivers, stored before they are read."""

from typing import ClassVar, cast

from tornado.web import HTTPError, stream_request_body

from handlers.answers import Delivered
from handlers.base import BaseHandler, Services
from wd_server.http_exchange import HttpExchange
from wd_server.secret import Secret

# Bytes of a delivery. One of 100 of the largest transactions has 10 MB.
DELIVERY_BYTES = 16 * 1024 * 1024
# Bytes of a body that are read and dropped, so that the sender gets the refusal and doesn't just
# find its connection closed.
DROPPED_BYTES = 128 * 1024 * 1024


@stream_request_body
class WebhookHandler(BaseHandler):
    methods: ClassVar[tuple[str, ...]] = ("POST",)

    def initialize(self, services: Services) -> None:
        super().initialize(services)
        self._chunks: list[bytes] = []
        self._size = 0

    async def prepare(self) -> None:
        self.check_body()
        if self.request.method != "POST":
            return
        secret = self.services.settings.webhook_secret
        presented = self.request.headers.get("Authorization", "")
        if secret is None or Secret(presented) != secret:
            # Not 401: Helius would deliver it three times more.
            raise HTTPError(403, reason="This is not the secret that deliveries carry.")
        # Other paths and methods take 64 KB, and so does this one from those without the secret.
        cast(HttpExchange, self.request.connection).set_max_body_size(DROPPED_BYTES)

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= DELIVERY_BYTES:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    async def post(self) -> None:
        if self._size > DELIVERY_BYTES:
            raise HTTPError(413, reason=f"A delivery may have {DELIVERY_BYTES} bytes.")
        stored = await self.services.deliveries.take(b"".join(self._chunks))
        self.send_json(Delivered(stored))
