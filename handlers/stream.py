"""`GET /v4/wallet/{address}/stream`: one wallet's events."""

from handlers.admission import StreamingHandler
from handlers.query import StreamQuery, errors_as_events, stream_query
from wd_server.streaming.channel import Channel
from wd_server.trading.wallet import WalletAddress


class StreamHandler(StreamingHandler):
    async def get(self, text: str) -> None:
        query = self.query()
        errors_as_events(query)
        wallet = str(WalletAddress.parse(text))
        batch = self.services.settings.sse_batch_size
        last_event_id = self.request.headers.get("Last-Event-ID")
        wish = stream_query(query, last_event_id, batch if batch > 1 else 0)
        registry = self.services.registry
        with await self.enter((wallet,)) as entrance:
            channel = await registry.channel(wallet)
            try:
                if _has_everything(channel, wish):
                    self.send_nothing_new()
                    return
                if await self.has_to_be_read(channel, wish.last_event_id):
                    await self.services.door.spend_wallet(self.identified())
                channel = await registry.channel(wallet)  # it may have been dropped meanwhile
                stream = registry.admit(channel, wish.view, wish.last_event_id, self.asked())
            finally:
                registry.drop_unused(channel)
            entrance.give(stream)
        await self.hand_over(stream)

    def head(self, text: str) -> None:
        self.check_wallets((str(WalletAddress.parse(text)),))
        self.send_head()


def _has_everything(channel: Channel, wish: StreamQuery) -> bool:
    """The client saw the `complete` of a stream that doesn't follow."""
    position = wish.last_event_id
    return (
        position is not None
        and not wish.view.follow
        and channel.finished
        and position == (channel.run, channel.head)
    )
