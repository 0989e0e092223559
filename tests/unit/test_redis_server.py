"""The real Redis that other tests run on does what they take for granted."""

import subprocess

import pytest
from redis_server import RedisServer, redis_cluster, redis_sentinel, redis_server


def test_a_server_that_keeps_has_everything_after_a_kill() -> None:
    with redis_server() as server:
        server.call("SET", "a", "1")
        server.stop()
        server.start()
        assert server.call("GET", "a") == "1"


def test_a_server_takes_options_and_a_password() -> None:
    with redis_server(options=("--maxmemory", "2mb"), password="wrong is right") as server:
        assert server.call("CONFIG", "GET", "maxmemory").split() == ["maxmemory", "2097152"]
        assert ":wrong%20is%20right@" in server.url.reveal()
        refused = ["redis-cli", "-e", "-p", str(server.port), "PING"]
        assert subprocess.run(refused, capture_output=True, check=False).returncode


def test_a_server_with_tls_takes_nothing_else() -> None:
    with redis_server(tls=True) as server:
        assert server.call("PING") == "PONG"
        assert server.url.reveal().startswith(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs=")
        plain = ["redis-cli", "-e", "-p", str(server.port), "PING"]
        assert subprocess.run(plain, capture_output=True, check=False).returncode


def test_a_cluster_serves_every_slot_and_goes_on_without_one_of_its_primaries() -> None:
    with redis_cluster() as cluster:
        assert len(cluster.primaries()) == 3
        first = cluster.owner("a")
        first.call("SET", "a", "1")

        second = cluster.fail_over(first)
        cluster.wait_until_whole()
        assert cluster.owner("a") is second

        second.stop()
        cluster.wait_until_whole()
        assert cluster.owner("a") is first
        assert first.call("GET", "a") == "1"

        second.start()
        cluster.wait_until_whole()
        assert cluster.replica(first) is second

        target = next(node for node in cluster.primaries() if node is not first)
        cluster.move("a", target, finish=False)
        assert answer(first, "GET", "a").startswith("ASK ")
        cluster.move("a", target)
        assert answer(first, "GET", "a").startswith("MOVED ")
        assert target.call("GET", "a") == "1"


def test_a_cluster_can_have_a_password_and_tls() -> None:
    with redis_cluster(password="secret", tls=True) as cluster:
        assert cluster.url.reveal().startswith("rediss+cluster://:secret@127.0.0.1:")


def answer(server: RedisServer, *command: str) -> str:
    with pytest.raises(AssertionError) as refused:
        server.call(*command)
    return str(refused.value).rpartition(": ")[2]


def test_a_server_that_stands_still_goes_on_afterwards() -> None:
    with redis_server() as server:
        with server.stopped():
            command = ["redis-cli", "-p", str(server.port), "PING"]
            asking = subprocess.Popen(command, stdout=subprocess.PIPE)
        with asking:
            assert asking.stdout is not None
            assert asking.stdout.read() == b"PONG\n"


def test_a_sentinel_makes_the_replica_primary_when_the_primary_is_dead() -> None:
    with redis_sentinel() as watched:
        watched.primary.call("SET", "a", "1")
        watched.replica.wait_until_has("a")
        watched.primary.stop()
        watched.wait_until_taken_over()
        assert watched.replica.call("GET", "a") == "1"
