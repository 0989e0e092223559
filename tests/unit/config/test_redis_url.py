"""REDIS_URL: what each form means, and what is said of one that means nothing."""

import pytest

from wd_server.config.redis_url import RedisKind, RedisUrl
from wd_server.config.variables import Wrong


def test_one_server() -> None:
    url = RedisUrl.parse("redis://me:s%2Fcret@redis.example:6380/3")
    assert (url.kind, url.hosts) == (RedisKind.SERVER, (("redis.example", 6380),))
    assert (url.username, url.password.reveal(), url.database) == ("me", "s/cret", 3)
    assert url.tls is None
    assert "s/cret" not in repr(url)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("redis://a", (("a", 6379),)),
        ("redis://[::1]:1/", (("::1", 1),)),
        ("redis+cluster://a:1,b", (("a", 1), ("b", 6379))),
        ("redis+cluster://a/0", (("a", 6379),)),
        ("rediss+sentinel://:x@a,b:2/main", (("a", 26379), ("b", 2))),
    ],
)
def test_hosts_and_ports(text: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert RedisUrl.parse(text).hosts == hosts


def test_what_sentinels_watch() -> None:
    url = RedisUrl.parse("redis+sentinel://:right@a/main?sentinel_password=other")
    assert (url.kind, url.service, url.database) == (RedisKind.SENTINEL, "main", 0)
    assert (url.password.reveal(), url.sentinel_password.reveal()) == ("right", "other")
    assert "other" not in repr(url)


def test_tls() -> None:
    assert RedisUrl.parse("rediss://a").tls == {}
    url = RedisUrl.parse("rediss+cluster://a?ssl_ca_certs=ca.pem&ssl_check_hostname=false")
    assert url.tls == {"ssl_ca_certs": "ca.pem", "ssl_check_hostname": False}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://secret", "begins otherwise"),
        ("redis://[secret]", "brackets|host or a port"),
        ("redis://[::1", "brackets"),
        ("redis://:secret#1@a", "written %23"),
        ("redis://:secret 1@a", "in no URL"),
        ("redis://", "name a host"),
        ("redis://:secret@", "name a host"),
        ("redis://a:secret", "a port that is none"),
        ("redis://a:0", "a port that is none"),
        ("redis://a:70000", "a port that is none"),
        ("redis://a,b", "several hosts"),
        ("redis://a/secret", "number of a database"),
        ("redis://a/10000", "number of a database"),
        ("redis://a/-1", "number of a database"),
        ("redis+cluster://a/1", "has only number 0"),
        ("redis+cluster://a,", "name a host"),
        ("redis+sentinel://a", "the service that the Sentinels watch"),
        ("redis+sentinel://a/", "the service that the Sentinels watch"),
        ("redis+sentinel://a/b/c", "the service that the Sentinels watch"),
        ("redis://a?ssl_ca_certs=secret", "only rediss:// has"),
        ("rediss://a?password=secret", "options other than ssl_ca_certs"),
        ("rediss://a?ssl_cert_reqs=secret", "required, optional, none"),
        ("rediss://a?ssl_check_hostname=secret", "neither true nor false"),
        ("redis://a?sentinel_password=secret", "no Sentinels"),
    ],
)
def test_what_is_wrong_is_said_without_what_may_be_secret(text: str, problem: str) -> None:
    with pytest.raises(Wrong, match=problem) as refused:
        RedisUrl.parse(text)
    assert "secret" not in str(refused.value).replace("sentinel_password", "")
