"""The caller: what a key, a token or an address stands for, once it was checked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """`who` is the subject whose quotas and streams are counted: the same for a key, for the keys
    that it was rotated to, and for its tokens. `wallets` None: any wallet. Limits of 0: none.
    `expires_at` in unix seconds, None: never. `key_id` and `jti` say what has to be revoked to end
    it."""

    who: str
    wallets: frozenset[str] | None
    requests_a_minute: int
    streams: int
    expires_at: float | None = None
    key_id: str | None = None
    jti: str | None = None
    # Wallets a minute that have to be read for it, and upstream credits a day. 0: no limit.
    wallets_a_minute: int = 0
    credits: int = 0
    # Of this token alone; its key's limit holds for all its tokens together.
    token_streams: int = 0

    @property
    def is_anonymous(self) -> bool:
        return self.key_id is None and self.jti is None

    def may_read(self, wallet: str) -> bool:
        return self.wallets is None or wallet in self.wallets
