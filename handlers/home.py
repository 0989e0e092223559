"""`GET /`: what this is and where to go on."""

from handlers.base import BaseHandler
from wd_server import __version__


class HomeHandler(BaseHandler):
    def get(self) -> None:
        self.send_json(
            {
                "name": "wd-server",
                "version": __version__,
                "links": {
                    "stream": "/v4/wallet/{address}/stream",
                    "wallet": "/v4/wallet/{address}",
                    "trades": "/v4/wallet/{address}/trades",
                    "several": "/v4/stream?wallet={address}&wallet={address}",
                    "streams": "/v4/streams",
                    "token": "/v4/auth/token",
                    "health": "/health",
                    "metrics": "/metrics",
                    "docs": "/docs",
                    "openapi": "/openapi.json",
                    "asyncapi": "/asyncapi.json",
                },
            }
        )

    head = get
