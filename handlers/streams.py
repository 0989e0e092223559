"""`/v4/streams`: a key's own open streams on this server. Nobody sees or closes another's."""

from time import monotonic
from typing import ClassVar

from tornado.web import HTTPError

from handlers.answers import SHOWN_MAX, OwnStream, OwnStreams
from handlers.base import GuardedHandler
from wd_server.access.principal import Principal
from wd_server.errors import AuthRequired, InvalidKey
from wd_server.streaming.connection import Connection
from wd_server.streaming.lifecycle import CloseReason


class StreamsHandler(GuardedHandler):
    def get(self) -> None:
        streams = self.services.registry.owned_by(_owner(self.identified()))
        now = monotonic()
        shown = [_shown(stream, now) for stream in streams[:SHOWN_MAX]]
        self.send_json(OwnStreams(shown, len(streams)))

    head = get


class OwnStreamHandler(GuardedHandler):
    methods: ClassVar[tuple[str, ...]] = ("DELETE",)

    def delete(self, stream_id: str) -> None:
        owner = _owner(self.identified())
        stream = self.services.registry.find(stream_id)
        if stream is None or stream.tenant.name != owner:
            raise HTTPError(404, reason="You have no open stream of this id here.")
        stream.send_away(CloseReason.CLOSED_BY_OWNER)
        self.set_status(204)


def _owner(principal: Principal) -> str:
    """A token is handed on to somebody who may read something, not to who owns the streams; an
    address may be many people's."""
    if principal.is_anonymous:
        raise AuthRequired("Streams belong to an API key. Send yours.")
    if principal.jti is not None:
        raise InvalidKey("A token doesn't own streams. Send the API key it was made from.")
    return principal.who


def _shown(stream: Connection, now: float) -> OwnStream:
    wallets = list(stream.wallets)
    return OwnStream(
        stream_id=stream.stream_id,
        wallet=wallets[0] if len(wallets) == 1 else None,
        wallets=wallets,
        state=stream.state.value,
        age=round(now - (stream.opened_at or stream.asked_at), 1),
        events=stream.events_sent,
        bytes=stream.bytes_sent,
        lag=stream.lag,
    )
