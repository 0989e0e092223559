"""All that this process has of one upstream: its history, what it pushes and delivers, and what
that costs."""

import time
from pathlib import Path
from typing import Final

from tornado.curl_httpclient import CurlAsyncHTTPClient

from wd_server.chain import roll
from wd_server.chain.assets import Assets
from wd_server.chain.credits import Credits
from wd_server.chain.deliveries import Deliveries
from wd_server.chain.history import History
from wd_server.chain.live import Live, Pushed
from wd_server.chain.roll import Roll
from wd_server.chain.rpc import RpcClient
from wd_server.chain.spool import Spool
from wd_server.settings import Settings


class Upstream:
    def __init__(self, settings: Settings, http: CurlAsyncHTTPClient) -> None:
        rates, folder = settings.upstream_rates, settings.data_dir
        url, ws_url = settings.helius_rpc_url, settings.helius_ws_url
        self.account: Final = Credits(settings.upstream_daily_credits, time.time)
        self.rpc: Final = RpcClient(
            url.reveal() if url is not None else "",
            http,
            rpc_per_second=rates.rpc,
            das_per_second=rates.das,
            account=self.account,
        )
        self.history: Final = History(self.rpc)
        self.assets: Final = Assets(self.rpc)
        self.live: Final = Live(
            ws_url.reveal() if ws_url is not None else "",
            self.rpc,
            self.account,
            connections_max=rates.connections if ws_url is not None else 0,
        )
        self._roll = Roll(Path(folder, roll.FILE_NAME), self.live.followed)
        self.live.changed = self._roll.changed
        self.deliveries: Final = Deliveries(Spool(folder / "deliveries"), self.account)

    async def open(self, told: Pushed) -> None:
        """Raises StoreUnavailable."""
        self._roll.open()
        await self.deliveries.open(told)

    async def close(self) -> None:
        """After this nothing is told any more."""
        await self.deliveries.close()
        await self.live.close()
        await self._roll.close()
        await self.assets.close()
