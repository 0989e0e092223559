"""`GET /v4/wallet/{address}/stream`: one wallet's events."""

from handlers.admission import StreamingHandler
from handlers.parameters import ADDRESS, ERRORS, POSITION, last_id, stream_query
from wd_server.events.ids import EventId
from wd_server.streaming.channel import Channel, UnreadableId
from wd_server.streaming.view import View


class StreamHandler(StreamingHandler):
    async def get(self, text: str) -> None:
        query = self.query()
        ERRORS.read(query)  # a wrong value is refused, and `write_error` acts on a right one
        wallet = ADDRESS.parse(text)
        batch = self.services.settings.sse_batch_size
        view, heartbeat = stream_query(query, batch if batch > 1 else 0)
        last = last_id(query, self.request.headers.get(POSITION.name), EventId.parse)
        registry = self.services.registry
        with await self.take_slot((wallet,)) as slot:
            channel = await registry.channel(wallet)
            try:
                if not view.follow and _has_everything(channel, view, last):
                    self.send_nothing_new()
                    return
                if await self.has_to_be_read(channel, last):
                    await self.services.authenticator.spend_wallet(self.identified())
                channel = await registry.channel(wallet)  # it may have been dropped meanwhile
                stream = registry.admit(channel, view, last, self.asked(), heartbeat)
            finally:
                registry.drop_unused(channel)
            slot.give(stream)
        await self.hand_over(stream)

    def head(self, text: str) -> None:
        self.check_wallets((ADDRESS.parse(text),))
        self.send_head()


def _has_everything(channel: Channel, view: View, last: EventId | UnreadableId | None) -> bool:
    """The client saw the wallet's `complete`, and what it wants of what follows."""
    return isinstance(last, EventId) and channel.has_ended(view, last)
