"""Who a request is taken for, who is refused, and whose streams have to end."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import authenticators
import issuer
import jwt
import pytest
from authenticators import HOME, NOW, OTHER_WALLET, UNKNOWN, WALLET, Setup, credential
from structlog.testing import capture_logs

from wd_server.access import key_sync
from wd_server.access.credentials import Credential
from wd_server.access.principal_resolver import FAILURES_A_MINUTE
from wd_server.access.session_slots import Ending
from wd_server.embedded import keys as sqlite_store
from wd_server.embedded.keys import SqliteKeyStore
from wd_server.errors import (
    AuthRequired,
    ForbiddenWallet,
    InvalidKey,
    InvalidParameter,
    RateLimited,
    StoreUnavailable,
    TokenExpired,
    TooManyStreams,
)
from wd_server.secret import Secret

Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def run(scenario: Callable[[Setup], Awaitable[None]], **environ: str) -> None:
        authenticators.play(scenario, tmp_path, **environ)

    return run


async def ended(setup: Setup, who: Any) -> asyncio.Future[Ending]:
    """Takes a slot as `who`; done when its stream has to end."""
    told: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    await setup.authenticator.take_slot(who, told.set_result)
    return told


# Who is let in


def test_a_new_key_is_known_at_once_and_then_without_waiting(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key(streams=3, requests=7, wallets=(WALLET,))
        principal = await setup.authenticator.check(key, HOME, NOW)
        assert (principal.key_id, principal.who) == (key_id, f"key:{key_id}")
        assert (principal.streams, principal.requests_a_minute) == (3, 7)
        assert principal.may_read(WALLET)
        assert not principal.may_read(OTHER_WALLET)
        assert setup.authenticator.check_in_memory(key, HOME, NOW) == principal

    play(scenario)


def test_a_key_without_limits_of_its_own_has_those_of_the_settings(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        assert (principal.requests_a_minute, principal.streams) == (5, 6)
        assert principal.may_read(WALLET)

    play(scenario, RATE_LIMIT_REQUESTS="5", RATE_LIMIT_STREAMING_CONNECTIONS="6")


def test_without_a_key_nobody_is_let_in_and_told_how(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        with pytest.raises(AuthRequired) as caught:
            await setup.authenticator.check(None, HOME, NOW)
        assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")

    play(scenario)


def test_where_no_key_is_needed_an_address_stands_for_itself(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        principal = await setup.authenticator.check(None, HOME, NOW)
        assert principal.is_anonymous
        assert principal.may_read(WALLET)
        assert principal.who != (await setup.authenticator.check(None, "192.0.2.2", NOW)).who
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(UNKNOWN, HOME, NOW)

    play(scenario, API_KEY_REQUIRED="false")


@pytest.mark.parametrize("change", [str.lower, str.upper, lambda text: text + "x"])
def test_a_key_that_is_nearly_right_is_wrong(play: Play, change: Callable[[str], str]) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        with pytest.raises(InvalidKey) as caught:
            await setup.authenticator.check(
                credential(Secret(change(key.secret.reveal()))), HOME, NOW
            )
        assert "invalid_token" in caught.value.headers["WWW-Authenticate"]

    play(scenario)


def test_an_expired_key_is_refused(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(expires_at=NOW + 10)
        assert await setup.authenticator.check(key, HOME, NOW + 9.9)
        with pytest.raises(InvalidKey, match="expired"):
            await setup.authenticator.check(key, HOME, NOW + 10)

    play(scenario)


def test_a_rotated_key_is_valid_beside_the_new_one_until_its_overlap_ends(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        old_id, old = await setup.new_key(streams=4, wallets=(WALLET,))
        new = await setup.ring.rotate(old_id, 60, NOW)
        before = await setup.authenticator.check(old, HOME, NOW + 59)
        after = await setup.authenticator.check(credential(new.text), HOME, NOW + 59)
        assert (before.who, before.streams, before.wallets) == (
            after.who,
            after.streams,
            after.wallets,
        )
        assert before.key_id != after.key_id
        await setup.authenticator.check(credential(new.text), HOME, NOW + 61)
        await refreshed(setup)
        with pytest.raises(InvalidKey, match="replaced"):
            await setup.authenticator.check(old, HOME, NOW + 60)

    play(scenario)


async def refreshed(setup: Setup) -> None:
    """The authenticator has seen all that is stored now."""
    with pytest.raises(InvalidKey):
        await setup.authenticator.check(UNKNOWN, "198.51.100.9", NOW)


def test_keys_survive_a_new_secret_key_while_the_old_one_is_named(
    play: Play, tmp_path: Path
) -> None:
    keys = []

    async def first_life(setup: Setup) -> None:
        keys.append((await setup.new_key())[1])
        keys.append((await setup.new_key())[1])

    async def second_life(setup: Setup) -> None:
        assert await setup.authenticator.check(keys[0], HOME, NOW)
        await refreshed(setup)

    async def third_life(setup: Setup) -> None:
        assert await setup.authenticator.check(keys[0], HOME, NOW)
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(keys[1], HOME, NOW)

    play(first_life, SECRET_KEY="o" * 32)
    play(second_life, SECRET_KEY="n" * 32, SECRET_KEY_OLD="o" * 32)
    # What was used meanwhile was taken over; what wasn't is lost with the old one.
    play(third_life, SECRET_KEY="n" * 32)


# Guessing


def test_an_address_that_guesses_is_held_back_and_others_are_not(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        await setup.authenticator.check(key, HOME, NOW)
        for _ in range(FAILURES_A_MINUTE):
            with pytest.raises(InvalidKey):
                await setup.authenticator.check(credential(Secret("a.b.c")), HOME, NOW)
        for wrong_or_right in (UNKNOWN, key):
            with pytest.raises(RateLimited) as caught:
                await setup.authenticator.check(wrong_or_right, HOME, NOW)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 0
        assert "RateLimit" in caught.value.headers
        assert await setup.authenticator.check(key, "192.0.2.2", NOW)
        setup.monotonic.now += 120
        assert await setup.authenticator.check(key, HOME, NOW)

    play(scenario)


def test_what_was_right_once_is_no_guess(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        token = setup.authenticator.issue(principal, NOW, seconds=1).token
        await setup.ring.revoke(key_id, NOW)
        await refreshed(setup)
        for _ in range(FAILURES_A_MINUTE + 1):
            with pytest.raises(InvalidKey):
                await setup.authenticator.check(key, HOME, NOW)
            with pytest.raises((InvalidKey, TokenExpired)):
                await setup.authenticator.check(credential(token), HOME, NOW + 10)

    play(scenario)


def test_ten_thousand_wrong_keys_from_everywhere_ask_the_store_a_few_times_only(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite_store._changes

    async def scenario(setup: Setup) -> None:
        looks = []
        monkeypatch.setattr(
            "wd_server.embedded.keys._changes",
            lambda connection, after: looks.append(after) or real(connection, after),
        )
        checks = (
            setup.authenticator.check(credential(Secret(f"wd_{number:032}")), f"10.0.{number}", NOW)
            for number in range(10_000)
        )
        refused = await asyncio.gather(*checks, return_exceptions=True)
        assert {type(each) for each in refused} == {InvalidKey}
        assert len(looks) < 100

    play(scenario)


# Tokens


def test_a_token_stands_for_its_key_with_less(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        issued = setup.authenticator.issue(
            principal, NOW, wallets=frozenset({WALLET}), seconds=60, max_streams=2
        )
        bearer = await setup.authenticator.check(credential(issued.token), HOME, NOW)
        assert (bearer.who, bearer.key_id, bearer.jti) == (principal.who, key_id, issued.jti)
        assert (bearer.wallets, bearer.token_streams) == (frozenset({WALLET}), 2)
        assert bearer.expires_at is not None
        assert issued.expires_at <= bearer.expires_at <= issued.expires_at + 2
        with pytest.raises(TokenExpired):
            await setup.authenticator.check(credential(issued.token), HOME, bearer.expires_at)

    play(scenario)


def test_a_token_never_exceeds_its_key(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(wallets=(WALLET,), expires_at=NOW + 30)
        principal = await setup.authenticator.check(key, HOME, NOW)
        with pytest.raises(ForbiddenWallet):
            setup.authenticator.issue(principal, NOW, wallets=frozenset({WALLET, OTHER_WALLET}))
        bearer = await setup.authenticator.check(
            credential(setup.authenticator.issue(principal, NOW).token), HOME, NOW
        )
        assert bearer.wallets == {WALLET}
        assert bearer.expires_at == NOW + 30

    play(scenario)


def test_a_token_made_with_the_secret_key_does_not_exceed_the_key_it_names(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key(wallets=(WALLET,))
        await setup.authenticator.check(key, HOME, NOW)
        for wallets, readable in ((["*"], {WALLET}), ([OTHER_WALLET], set())):
            claims = {"iss": "wd-server", "aud": "wd-server", "sub": "s", "jti": str(wallets)}
            claims |= {"iat": NOW, "exp": NOW + 60, "wallets": wallets, "key": key_id}
            token = jwt.encode(claims, "s" * 32, "HS256")
            principal = await setup.authenticator.check(credential(Secret(token)), HOME, NOW)
            assert principal.wallets == readable

    play(scenario, SECRET_KEY="s" * 32)


def test_only_a_key_is_exchanged_for_a_token(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        bearer = await setup.authenticator.check(
            credential(setup.authenticator.issue(principal, NOW).token), HOME, NOW
        )
        for who in (bearer, await setup.authenticator.check(None, HOME, NOW)):
            with pytest.raises(InvalidKey):
                setup.authenticator.issue(who, NOW)

    play(scenario, API_KEY_REQUIRED="false")


@pytest.mark.parametrize(
    "asked",
    [
        {"seconds": 0},
        {"seconds": 901},
        {"max_streams": 0},
        {"wallets": frozenset()},
        {"wallets": frozenset(map(str, range(51)))},
    ],
)
def test_a_token_that_can_not_be_is_not_issued(play: Play, asked: dict[str, Any]) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        with pytest.raises(InvalidParameter):
            setup.authenticator.issue(principal, NOW, **asked)

    play(scenario)


def test_tokens_of_a_revoked_key_and_revoked_tokens_are_refused(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        one, other = (setup.authenticator.issue(principal, NOW) for _ in range(2))
        for each in (one, other):
            await setup.authenticator.check(credential(each.token), HOME, NOW)
        await setup.ring.revoke_token(one.jti, NOW)
        await refreshed(setup)
        with pytest.raises(InvalidKey, match="revoked"):
            await setup.authenticator.check(credential(one.token), HOME, NOW)
        assert await setup.authenticator.check(credential(other.token), HOME, NOW)
        await setup.ring.revoke(key_id, NOW)
        await refreshed(setup)
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(credential(other.token), HOME, NOW)

    play(scenario)


def test_another_issuer_s_token_has_the_limits_that_it_says(play: Play, tmp_path: Path) -> None:
    keys = tmp_path / "issuer.pem"
    keys.write_text(issuer.public_pem(issuer.ED_KEY))

    async def scenario(setup: Setup) -> None:
        claims = {"iss": "https://them", "aud": "wd-server", "sub": "someone", "jti": "1"}
        claims |= {"iat": NOW, "exp": NOW + 60, "wallets": [WALLET], "max_streams": 2}
        token = credential(Secret(issuer.signed(claims, "EdDSA")))
        principal = await setup.authenticator.check(token, HOME, NOW)
        assert (principal.streams, principal.wallets) == (2, {WALLET})
        assert "someone" in principal.who
        for issuer_of_another in (None, "https://others"):
            await setup.ring.revoke_token("1", NOW, issuer_of_another)
        await refreshed(setup)
        assert await setup.authenticator.check(token, HOME, NOW) == principal
        leaves = await ended(setup, principal)
        await setup.ring.revoke_token("1", NOW, "https://them")
        await refreshed(setup)
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(token, HOME, NOW)
        assert await leaves is Ending.REVOKED

    play(scenario, JWT_KEYS_FILE=str(keys), JWT_ISSUER="https://them")


def test_another_issuer_can_not_name_a_key_whose_limits_its_token_takes(
    play: Play, tmp_path: Path
) -> None:
    keys = tmp_path / "issuer.pem"
    keys.write_text(issuer.public_pem(issuer.ED_KEY))

    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key(streams=1, wallets=(OTHER_WALLET,))
        await setup.authenticator.check(key, HOME, NOW)
        claims = {"iss": "https://them", "aud": "wd-server", "sub": "someone", "jti": "1"}
        claims |= {"iat": NOW, "exp": NOW + 60, "wallets": [WALLET], "key": key_id}
        token = credential(Secret(issuer.signed(claims, "EdDSA")))
        principal = await setup.authenticator.check(token, HOME, NOW)
        assert principal.key_id is None
        assert principal.who == "token:https://them someone"
        assert (principal.streams, principal.wallets) == (10, {WALLET})

    play(scenario, JWT_KEYS_FILE=str(keys), JWT_ISSUER="https://them")


def test_issuers_of_the_same_name_revoke_each_only_its_own_tokens(
    play: Play, tmp_path: Path
) -> None:
    keys = tmp_path / "issuer.pem"
    keys.write_text(issuer.public_pem(issuer.ED_KEY))

    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        issued = setup.authenticator.issue(await setup.authenticator.check(key, HOME, NOW), NOW)
        claims = {"iss": "wd-server", "aud": "wd-server", "sub": "someone", "jti": issued.jti}
        claims |= {"iat": NOW, "exp": NOW + 60, "wallets": [WALLET]}
        theirs = credential(Secret(issuer.signed(claims, "EdDSA")))
        await setup.ring.revoke_token(issued.jti, NOW, "wd-server")
        await refreshed(setup)
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(theirs, HOME, NOW)
        assert await setup.authenticator.check(credential(issued.token), HOME, NOW)

    play(scenario, JWT_KEYS_FILE=str(keys), JWT_ISSUER="wd-server")


# Clocks


def test_a_clock_that_was_a_day_ahead_holds_nobody_back_when_it_is_right_again(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(requests=1)
        principal = await setup.authenticator.check(key, HOME, NOW)
        for now in (NOW + 86_400, NOW):
            setup.clock.now = now
            setup.monotonic.now += 120
            assert (await setup.authenticator.spend(principal)).remaining == 0
            for _ in range(FAILURES_A_MINUTE):
                with pytest.raises(InvalidKey):
                    await setup.authenticator.check(credential(Secret("a.b.c")), HOME, now)
            with pytest.raises(RateLimited):
                await setup.authenticator.spend(principal)
            with pytest.raises(RateLimited):
                await setup.authenticator.check(key, HOME, now)

    play(scenario)


def test_what_a_clock_ahead_forgot_is_known_again_when_it_is_right(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        token = setup.authenticator.issue(await setup.authenticator.check(key, HOME, NOW), NOW)
        _, short = await setup.new_key(expires_at=NOW + 60)
        await setup.ring.revoke_token(token.jti, NOW)
        setup.clock.now = NOW + 3 * 86_400
        await refreshed(setup)
        setup.clock.now = NOW
        await refreshed(setup)
        await refreshed(setup)
        with pytest.raises(InvalidKey):
            await setup.authenticator.check(credential(token.token), HOME, NOW)
        leaves = await ended(setup, await setup.authenticator.check(short, HOME, NOW))
        setup.clock.now = NOW + 60
        assert await leaves is Ending.EXPIRED

    play(scenario)


# Wallets


def test_wallets_are_counted_for_a_key_and_its_tokens_and_told_apart_from_requests(
    play: Play,
) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(requests=0)
        principal = await setup.authenticator.check(key, HOME, NOW)
        bearer = await setup.authenticator.check(
            credential(setup.authenticator.issue(principal, NOW).token), HOME, NOW
        )
        assert await setup.authenticator.spend_wallets(principal, 2) == 2
        await setup.authenticator.spend_wallet(bearer)
        assert await setup.authenticator.spend_wallets(principal, 2) == 0
        with pytest.raises(RateLimited) as caught:
            await setup.authenticator.spend_wallet(principal)
        assert caught.value.headers["RateLimit-Policy"] == '"wallets";q=3;w=60'
        assert caught.value.retry_after is not None
        setup.monotonic.now += caught.value.retry_after
        await setup.authenticator.wait_for_wallet(principal)
        anonymous = await setup.authenticator.check(None, HOME, NOW)
        assert await setup.authenticator.spend_wallets(anonymous, 5) == 3

    play(scenario, RATE_LIMIT_WALLETS="3", API_KEY_REQUIRED="false")


def test_where_wallets_have_no_limit_none_is_counted(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(credits=7)
        principal = await setup.authenticator.check(key, HOME, NOW)
        assert await setup.authenticator.spend_wallets(principal, 10_000) == 10_000
        assert principal.credits == 7

    play(scenario, RATE_LIMIT_WALLETS="0")


# Limits


def test_requests_beyond_the_limit_are_refused_with_what_clients_need(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(requests=2)
        principal = await setup.authenticator.check(key, HOME, NOW)
        usage = await setup.authenticator.spend(principal)
        assert usage.headers()["RateLimit"].startswith('"default";r=1;')
        await setup.authenticator.spend(principal)
        with pytest.raises(RateLimited) as caught:
            await setup.authenticator.spend(principal)
        assert caught.value.retry_after is not None
        assert caught.value.headers["RateLimit-Policy"] == '"default";q=2;w=60'
        assert setup.authenticator.statistics().refused == {"RATE_LIMIT": 1}

    play(scenario)


def test_a_key_and_its_tokens_share_their_limits(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key(streams=3)
        principal = await setup.authenticator.check(key, HOME, NOW)
        bearers = [
            await setup.authenticator.check(
                credential(setup.authenticator.issue(principal, NOW, max_streams=1).token),
                HOME,
                NOW,
            )
            for _ in range(3)
        ]
        new = await setup.ring.rotate(key_id, 60, NOW)
        successor = await setup.authenticator.check(credential(new.text), HOME, NOW)
        slots = [await setup.authenticator.take_slot(bearers[0], print)]
        with pytest.raises(TooManyStreams):  # its own limit
            await setup.authenticator.take_slot(bearers[0], print)
        slots.append(await setup.authenticator.take_slot(bearers[1], print))
        slots.append(await setup.authenticator.take_slot(successor, print))
        for each in (principal, bearers[2], successor):
            with pytest.raises(TooManyStreams) as caught:
                await setup.authenticator.take_slot(each, print)
        assert caught.value.retry_after
        assert "RateLimit" in caught.value.headers
        slots[0].release()
        slots[0].release()
        await setup.authenticator.take_slot(bearers[2], print)
        with pytest.raises(TooManyStreams):
            await setup.authenticator.take_slot(principal, print)
        assert setup.authenticator.statistics().slots == 3

    play(scenario)


def test_a_limit_of_zero_is_none(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(streams=0, requests=0)
        principal = await setup.authenticator.check(key, HOME, NOW)
        for _ in range(100):
            assert (await setup.authenticator.spend(principal)).headers() == {}
            await setup.authenticator.take_slot(principal, print)

    play(scenario, RATE_LIMIT_REQUESTS="1", RATE_LIMIT_STREAMING_CONNECTIONS="1")


# Who has to leave


def test_streams_of_a_revoked_key_and_of_its_tokens_end_and_no_others(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key()
        _, other_key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        bearer = await setup.authenticator.check(
            credential(setup.authenticator.issue(principal, NOW).token), HOME, NOW
        )
        other = await setup.authenticator.check(other_key, HOME, NOW)
        told = [await ended(setup, who) for who in (principal, principal, bearer)]
        stays = await ended(setup, other)
        await setup.ring.revoke(key_id, NOW)
        assert set(await asyncio.gather(*told)) == {Ending.REVOKED}
        assert not stays.done()
        assert setup.authenticator.statistics().ended == {"revoked": 3}
        with pytest.raises(InvalidKey):
            await setup.authenticator.take_slot(bearer, print)
        assert setup.authenticator.statistics().slots == 4  # those above, which haven't left

    play(scenario)


def test_a_stream_ends_with_its_token(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        short, long = [
            await setup.authenticator.check(
                credential(setup.authenticator.issue(principal, NOW, seconds=seconds).token),
                HOME,
                NOW,
            )
            for seconds in (5, 900)
        ]
        told, stays = await ended(setup, short), await ended(setup, long)
        revoked_jti = await ended(setup, long)
        setup.clock.now = NOW + 8
        assert await told is Ending.EXPIRED
        assert not stays.done()
        assert long.jti is not None
        await setup.ring.revoke_token(long.jti, NOW)
        assert await revoked_jti is Ending.REVOKED

    play(scenario)


def test_a_stream_ends_when_its_key_expires_or_its_overlap_is_over(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key(expires_at=NOW + 60)
        rotated_id, rotated = await setup.new_key()
        told = [
            await ended(setup, await setup.authenticator.check(each, HOME, NOW))
            for each in (key, rotated)
        ]
        new = await setup.ring.rotate(rotated_id, 60, NOW)
        stays = await ended(setup, await setup.authenticator.check(credential(new.text), HOME, NOW))
        setup.clock.now = NOW + 60
        assert await asyncio.gather(*told) == [Ending.EXPIRED, Ending.REVOKED]
        assert not stays.done()

    play(scenario)


def test_a_stream_that_can_not_be_ended_does_not_keep_others_open(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context["message"])
        )
        key_id, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)

        def broken(_: Ending) -> None:
            raise ValueError

        for _ in range(3):
            await setup.authenticator.take_slot(principal, broken)
        told = await ended(setup, principal)
        await setup.ring.revoke(key_id, NOW)
        assert await told is Ending.REVOKED
        await refreshed(setup)
        assert complaints == ["A stream couldn't be ended"] * 3

    play(scenario)


def test_a_stream_that_left_is_not_told(play: Play) -> None:
    async def scenario(setup: Setup) -> None:
        key_id, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        told: list[Ending] = []
        slot = await setup.authenticator.take_slot(principal, told.append)
        stays = await ended(setup, principal)
        slot.release()
        await setup.ring.revoke(key_id, NOW)
        await stays
        assert told == []

    play(scenario)


# A store that doesn't answer


def test_an_authenticator_that_does_not_see_what_changed_accepts_no_key(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(setup: Setup) -> None:
        _, key = await setup.new_key()
        principal = await setup.authenticator.check(key, HOME, NOW)
        stays = await ended(setup, principal)
        monkeypatch.setattr(key_sync, "STALE_SECONDS", -1)
        with pytest.raises(StoreUnavailable) as caught:
            await setup.authenticator.check(key, HOME, NOW)
        assert caught.value.retry_after
        assert setup.authenticator.statistics().stale
        assert not stays.done()
        assert await setup.authenticator.check(None, HOME, NOW)
        monkeypatch.undo()
        assert await setup.authenticator.check(key, HOME, NOW) == principal

    play(scenario, API_KEY_REQUIRED="false")


def test_an_authenticator_closes_also_where_its_store_swallows_the_cancellation(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = asyncio.Event()

    async def swallow(*_: object) -> None:
        reading.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise StoreUnavailable("Swallowed.")

    async def scenario(setup: Setup) -> None:
        monkeypatch.setattr(SqliteKeyStore, "changes", swallow)
        await reading.wait()
        await setup.authenticator.close()

    play(scenario)


@pytest.mark.parametrize("row", [b"{}", b'{"digest":"odd"}'])
def test_a_key_whose_row_cannot_be_read_is_refused_alone_and_named_in_the_log(
    play: Play, tmp_path: Path, row: bytes
) -> None:
    async def scenario(setup: Setup) -> None:
        odd, refused = await setup.new_key()
        _, right = await setup.new_key()
        await setup.authenticator.check(refused, HOME, NOW)
        with capture_logs() as logs, closing(sqlite3.connect(tmp_path / "access.db")) as file:
            file.execute("UPDATE keys SET row = ? WHERE id = ?", (row, odd))
            file.execute("INSERT INTO changes (key_id) VALUES (?)", (odd,))
            file.commit()
            await setup.authenticator.check(right, HOME, NOW)
            with pytest.raises(InvalidKey):
                await refusal(setup, refused)
            await setup.authenticator.check(right, HOME, NOW)
            assert not setup.authenticator.statistics().failing
        lines = [log for log in logs if "can't be read" in log["event"]]
        assert [line["ids"] for line in lines] == [(odd,)]
        assert refused.secret.reveal() not in repr(logs)

    play(scenario)


async def refusal(setup: Setup, refused: Credential) -> None:
    """Ask until it is refused: what changed is read once a second."""
    while True:
        await setup.authenticator.check(refused, HOME, NOW)
        await asyncio.sleep(0.05)
