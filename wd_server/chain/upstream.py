"""All that this process has of one upstream: history, pushes, deliveries, and what they cost."""

import time
from pathlib import Path
from typing import Final

from tornado.curl_httpclient import CurlAsyncHTTPClient

from wd_server.chain.accounts import Accounts
from wd_server.chain.assets import Assets
from wd_server.chain.credits import Credits
from wd_server.chain.deliveries import Deliveries
from wd_server.chain.followed_wallets import FILE_NAME, FollowedWalletsFile
from wd_server.chain.history import History
from wd_server.chain.live import LiveTransactions, PushObserver
from wd_server.chain.quarantine import FOLDER_NAME, Quarantine
from wd_server.chain.rpc import RpcClient
from wd_server.chain.spool import Spool
from wd_server.config.settings import Settings
from wd_server.tasks import Tasks


class Upstream:
    def __init__(self, settings: Settings, http: CurlAsyncHTTPClient, tasks: Tasks) -> None:
        rates, folder = settings.upstream_rates, settings.data_dir
        url, ws_url = settings.helius_rpc_url, settings.helius_ws_url
        self.account: Final = Credits(settings.upstream_daily_credits, time.time)
        self.rpc: Final = RpcClient(
            url.reveal() if url is not None else "",
            http,
            rpc_per_second=rates.rpc,
            das_per_second=rates.das,
            account=self.account,
            tasks=tasks,
        )
        self.history: Final = History(self.rpc)
        self.accounts: Final = Accounts(self.rpc, self.history.transactions)
        self.assets: Final = Assets(self.rpc, tasks=tasks)
        self.live: Final = LiveTransactions(
            ws_url.reveal() if ws_url is not None else "",
            self.rpc,
            self.account,
            connections_max=rates.connections if ws_url is not None else 0,
            tasks=tasks,
        )
        self.followed_wallets: Final = FollowedWalletsFile(
            Path(folder, FILE_NAME), self.live.followed, tasks
        )
        self.live.changed = self.followed_wallets.changed
        quarantine = Quarantine(folder / FOLDER_NAME)
        self.deliveries: Final = Deliveries(
            Spool(folder / "deliveries", quarantine), self.account, tasks
        )

    async def open(self, observer: PushObserver) -> None:
        """Raises StoreUnavailable."""
        self.followed_wallets.open()
        await self.deliveries.open(observer)

    async def close(self) -> None:
        """After this nothing is pushed any more."""
        await self.deliveries.close()
        await self.live.close()
        await self.followed_wallets.close()
        await self.assets.close()
