"""`POST /v4/auth/token`: an API key for a token that lasts minutes and reads less."""

from typing import ClassVar, NoReturn

import msgspec

from handlers.answers import Token
from handlers.base import GuardedHandler
from handlers.endpoints import JSON
from handlers.parameters import TokenRequest
from wd_server.access.tokens import ANY_WALLET
from wd_server.errors import AuthRequired, InvalidParameter
from wd_server.trading.wallet import WalletAddress

_decoder = msgspec.json.Decoder(TokenRequest)


class TokenHandler(GuardedHandler):
    methods: ClassVar[tuple[str, ...]] = ("POST",)

    def post(self) -> None:
        principal = self.identified()
        if principal.is_anonymous:
            raise AuthRequired("A token is made from an API key. Send one.")
        asked = self._asked()
        issued = self.services.authenticator.issue(
            principal,
            self.services.clock(),
            wallets=_wallets(asked.wallets),
            seconds=asked.seconds,
            max_streams=asked.max_streams,
        )
        self.set_header("Cache-Control", "no-store")
        self.send_json(
            Token(
                access_token=issued.token.reveal(),
                token_type="Bearer",
                expires_in=issued.expires_at - int(self.services.clock()),
                expires_at=issued.expires_at,
                jti=issued.jti,
            )
        )

    def _asked(self) -> TokenRequest:
        kind = self.request.headers.get("Content-Type", JSON)
        if kind.partition(";")[0].strip().lower() != JSON:
            _refuse("The body must be JSON: send `Content-Type: application/json`.")
        if not self.request.body:
            return TokenRequest()
        try:
            return _decoder.decode(self.request.body)
        except msgspec.ValidationError as error:
            if "unknown field" in str(error):  # whose name may be a key in the wrong place
                _refuse("The body may have `wallets`, `seconds` and `max_streams`, nothing else.")
            _refuse(f"The body isn't what is asked for: {error}.")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            _refuse("The body isn't JSON that can be read.")


def _wallets(texts: list[str] | None) -> frozenset[str] | None:
    if texts is None or texts == [ANY_WALLET]:
        return None
    return frozenset(str(WalletAddress.parse(text)) for text in texts)


def _refuse(message: str) -> NoReturn:
    raise InvalidParameter(message)
