"""Decides who a request comes from, what it may use, and when its streams have to end.

All keys are in memory and one task reads once a second what changed, so a check waits for nothing.
When the store can't be read for some seconds, every key and token is refused, since some of them
may have been revoked meanwhile. Open streams stay.
"""

import time
from collections.abc import Callable
from typing import Self

from wd_server.access import issuers
from wd_server.access import session_slots as slots
from wd_server.access.credentials import Credential, CredentialKind
from wd_server.access.key_index import DefaultLimits, KeyIndex
from wd_server.access.key_sync import REFRESH_SECONDS, KeySync
from wd_server.access.keys import SigningKeys
from wd_server.access.principal import Principal
from wd_server.access.principal_resolver import AuthRules, PrincipalResolver
from wd_server.access.quotas import Counters, Quotas
from wd_server.access.secret_file import signing_keys
from wd_server.access.session_slots import OnEnd, SessionSlot, SessionSlots
from wd_server.access.statistics import AccessStatistics
from wd_server.access.store import KeyStore
from wd_server.access.tokens import ANY_WALLET, STREAMS_MAX, WALLETS_MAX, Issued, TokenRules, Tokens
from wd_server.access.windows import Usage
from wd_server.config.settings import Settings
from wd_server.errors import (
    ForbiddenWallet,
    InvalidKey,
    InvalidParameter,
    StoreUnavailable,
    WalletDoctorError,
)
from wd_server.tasks import Tasks


class Authenticator:
    """`clock` in unix seconds, `monotonic` in seconds of a clock that nobody sets. `signing_keys`
    also seal what other packages hand out and get back, such as the ids of several wallets."""

    def __init__(
        self,
        store: KeyStore,
        counters: Counters,
        signing_keys: SigningKeys,
        tokens: Tokens,
        rules: AuthRules,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        tasks: Tasks,
    ) -> None:
        self.signing_keys = signing_keys
        self._quotas = Quotas(counters)
        self._tokens = tokens
        self._rules = rules
        self._clock = clock
        self._key_index = KeyIndex(signing_keys, rules.limits)
        self._resolver = PrincipalResolver(self._key_index, tokens, rules, monotonic)
        self._slots = SessionSlots(self._quotas.leave)
        self._key_sync = KeySync(store, self._key_index, self._end_slots, tasks)
        self._statistics = AccessStatistics()

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        store: KeyStore,
        counters: Counters,
        clock: Callable[[], float],
        tasks: Tasks,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Not open yet. Raises InvalidSettings (JWT_KEYS_FILE), StoreUnavailable (no SECRET_KEY and
        no place to keep one)."""
        keys = signing_keys(settings)
        path = settings.jwt_keys_file
        rules = TokenRules(
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            max_seconds=settings.token_max_seconds,
            other_issuer=settings.jwt_issuer,
            other_keys=() if path is None else issuers.read(path),
        )
        limits = DefaultLimits(
            settings.rate_limit_requests,
            settings.rate_limit_streaming_connections,
            settings.rate_limit_wallets,
        )
        auth_rules = AuthRules(
            required=settings.api_key_required,
            limits=limits,
            token_max_seconds=settings.token_max_seconds,
        )
        tokens = Tokens(keys, rules)
        return cls(store, counters, keys, tokens, auth_rules, clock, monotonic, tasks)

    async def open(self) -> None:
        """The store and the counters are open before, and closed after. Raises
        StoreUnavailable."""
        await self._key_sync.open()

    async def close(self) -> None:
        """Closing twice is no error."""
        await self._key_sync.close()

    # Who a request comes from

    def check_in_memory(
        self, credential: Credential | None, address: str, now: float
    ) -> Principal | None:
        """The caller, without waiting; None where only `check` can say. `address` is what
        `client_address` returns, `now` unix seconds. Raises AuthRequired, InvalidKey, TokenExpired,
        RateLimited (too many wrong ones came from there), StoreUnavailable."""
        if credential is None:
            return self._resolver.anonymous(address)
        if self._key_sync.is_stale:
            raise StoreUnavailable(
                "Keys can't be checked now, because their store doesn't answer. Try again.",
                retry_after=REFRESH_SECONDS,
            )
        principal = self._resolver.resolve(credential, address, now)
        if principal is not None and credential.kind is CredentialKind.KEY:
            upgrade = self._key_index.upgrade(credential.secret)
            if upgrade is not None:
                self._key_sync.upgrade(upgrade)
        return principal

    async def check(self, credential: Credential | None, address: str, now: float) -> Principal:
        """The caller. Waits only where a key is unknown: 0.1 s or so, since it may be new. Raises
        what `check_in_memory` raises."""
        self._statistics.checks += 1
        with self._statistics.refusals():
            principal = self.check_in_memory(credential, address, now)
            if principal is None and await self._key_sync.refresh():
                principal = self.check_in_memory(credential, address, now)
            if principal is None:
                raise self._resolver.failed("This API key isn't known here.", address)
            return principal

    # What the caller may use

    async def spend(self, principal: Principal) -> Usage:
        """Count one request; the answer's headers are in `Usage.headers()`. Raises RateLimited,
        StoreUnavailable."""
        with self._statistics.refusals():
            return await self._quotas.spend(principal)

    async def spend_wallet(self, principal: Principal) -> None:
        """Count one wallet that has to be read. Raises RateLimited, StoreUnavailable."""
        with self._statistics.refusals():
            await self._quotas.spend_wallet(principal)

    async def spend_wallets(self, principal: Principal, wanted: int) -> int:
        """Count so many wallets of a set, as far as the limit allows. Returns how many were
        counted; the others have to wait. Raises StoreUnavailable."""
        return await self._quotas.spend_wallets(principal, wanted)

    async def wait_for_wallet(self, principal: Principal) -> None:
        """Count one wallet as soon as the limit allows."""
        await self._quotas.wait_for_wallet(principal)

    async def take_slot(self, principal: Principal, end: OnEnd) -> SessionSlot:
        """Count one open stream until `SessionSlot.release()`, which the caller has to call in
        every case. `end` is called within 5 seconds after its key or token ended. Raises
        TooManyStreams, InvalidKey, TokenExpired, StoreUnavailable."""
        with self._statistics.refusals():
            await self._quotas.enter(principal)
            slot = self._slots.add(principal, end)
            try:  # it may have ended while the counters were asked
                self._resolver.refuse_ended(principal, self._clock())
            except WalletDoctorError:
                slot.release()
                raise
            return slot

    def issue(
        self,
        principal: Principal,
        now: float,
        *,
        wallets: frozenset[str] | None = None,
        seconds: int | None = None,
        max_streams: int | None = None,
    ) -> Issued:
        """A token for a caller with a key. None: all wallets that the key may read; as long as
        tokens may last; as many streams as the key. Raises InvalidKey (the caller has a token, or
        nothing), InvalidParameter, ForbiddenWallet."""
        if principal.key_id is None or principal.jti is not None:
            raise InvalidKey("Only an API key can be exchanged for a token.")
        longest = self._rules.token_max_seconds
        seconds = longest if seconds is None else seconds
        if not 1 <= seconds <= longest:
            raise InvalidParameter(f"seconds must be a whole number from 1 to {longest}.")
        if max_streams is not None and not 1 <= max_streams <= STREAMS_MAX:
            raise InvalidParameter(f"max_streams must be a whole number from 1 to {STREAMS_MAX}.")
        if wallets is not None and not all(map(principal.may_read, wallets)):
            raise ForbiddenWallet("The key may not read all of these wallets.")
        wallets = principal.wallets if wallets is None else wallets
        if wallets is not None and not 1 <= len(wallets) <= WALLETS_MAX:
            raise InvalidParameter(f"wallets must be 1 to {WALLETS_MAX} addresses.")
        return self._tokens.issue(
            subject=principal.who,
            key_id=principal.key_id,
            wallets=(ANY_WALLET,) if wallets is None else wallets,
            seconds=seconds,
            max_streams=max_streams,
            now=now,
        )

    async def _end_slots(self) -> None:
        now = self._clock()
        due = self._slots.due(self._key_index.ended(now), now)
        self._statistics.ended.update(reason.value for _, reason in due)
        await slots.end(due)

    def statistics(self) -> AccessStatistics:
        """Totals since the start, from memory; the authenticator goes on counting in it."""
        self._statistics.keys = len(self._key_index)
        self._statistics.slots = self._slots.count
        self._statistics.failing = self._key_sync.failing
        self._statistics.stale = self._key_sync.is_stale
        return self._statistics
