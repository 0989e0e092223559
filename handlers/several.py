"""`GET /v4/stream?wallet=…&wallet=…`: the events of several wallets on one connection."""

import asyncio
from collections.abc import Mapping

from handlers.admission import StreamingHandler
from handlers.parameters import ERRORS, POSITION, WALLETS, last_id, stream_query
from wd_server.errors import WalletDoctorError
from wd_server.streaming.bundle import Bundle
from wd_server.streaming.bundle_id import Bookmarks, Seal
from wd_server.streaming.channel import Channel, UnreadableId
from wd_server.streaming.view import View


class SeveralHandler(StreamingHandler):
    async def get(self) -> None:
        query = self.query()
        ERRORS.read(query)  # a wrong value is refused, and `write_error` acts on a right one
        wallets = self._wallets()
        batch = self.services.settings.sse_batch_size
        view, heartbeat = stream_query(query, batch if batch > 1 else 0)
        registry = self.services.registry
        with await self.take_slot(wallets) as slot:
            seal = self._seal()
            bookmarks = self._bookmarks(query, seal)
            channels = await registry.channels(wallets)
            try:
                if not view.follow and _has_everything(channels, view, bookmarks):
                    self.send_nothing_new()
                    return
                held = await self._count(channels, bookmarks)
                channels = await registry.channels(wallets)  # some may have been dropped meanwhile
                asked = self.asked(frozenset(held))
                bundle = registry.admit_bundle(channels, view, bookmarks, seal, asked, heartbeat)
            finally:
                for channel in channels:
                    registry.drop_unused(channel)
            slot.give(bundle)
            if held:
                going_on = self._go_on(bundle, held)
                slot.keep(self.services.tasks.spawn("held_wallets", going_on))
        await self.hand_over(bundle)

    async def _count(
        self, channels: list[Channel], bookmarks: Bookmarks | UnreadableId | None
    ) -> list[str]:
        """Count the wallets that have to be read, in the order of the request. Returns those that
        the limit holds back; one that is asked for alone is refused instead. Raises RateLimited,
        StoreUnavailable."""
        known = bookmarks if isinstance(bookmarks, Bookmarks) else Bookmarks()
        asking = [
            self.has_to_be_read(each, known.position(each.wallet, each.epoch)) for each in channels
        ]
        answers = zip(channels, await asyncio.gather(*asking), strict=True)
        wanted = [channel.wallet for channel, has_to_be_read in answers if has_to_be_read]
        authenticator, principal = self.services.authenticator, self.identified()
        if len(channels) == 1 and wanted:
            await authenticator.spend_wallet(principal)
            return []
        return wanted[await authenticator.spend_wallets(principal, len(wanted)) :]

    async def _go_on(self, bundle: Bundle, held: list[str]) -> None:
        """Have the wallets that were held back read, each as soon as the limit allows."""
        sessions, authenticator = self.services.sessions, self.services.authenticator
        principal, follow = self.identified(), bundle.view.follow
        try:
            for wallet in held:
                if not bundle.reads(wallet):
                    continue
                if not await sessions.keeps(wallet):
                    await authenticator.wait_for_wallet(principal)
                sessions.go_on(wallet, follow)
        except WalletDoctorError as error:
            bundle.fail(error)

    def head(self) -> None:
        self.check_wallets(self._wallets())
        self.send_head()

    def encoding(self) -> str | None:
        """No two clients get the same bytes, so there is nothing to compress once for all."""
        return None

    def _wallets(self) -> list[str]:
        """In the order in which they are asked for, each once. Raises InvalidParameter,
        InvalidWallet."""
        return WALLETS.read(self.texts(WALLETS))

    def _bookmarks(self, query: Mapping[str, str], seal: Seal) -> Bookmarks | UnreadableId | None:
        """Where the client was. Raises InvalidParameter."""
        header = self.request.headers.get(POSITION.name)
        return last_id(query, header, lambda text: Bookmarks.parse(text, seal))

    def _seal(self) -> Seal:
        """Of a key and its tokens. Those who need none are nobody in particular, also when their
        address changes on the way."""
        principal = self.identified()
        subject = "" if principal.is_anonymous else principal.who
        return Seal(self.services.authenticator.signing_keys, subject)


def _has_everything(
    channels: list[Channel], view: View, bookmarks: Bookmarks | UnreadableId | None
) -> bool:
    """The client saw every wallet's `complete`, and what it wants of what follows."""
    if not isinstance(bookmarks, Bookmarks):
        return False
    positions = [bookmarks.position(each.wallet, each.epoch) for each in channels]
    return all(
        position is not None and channel.has_ended(view, position)
        for channel, position in zip(channels, positions, strict=True)
    )
