import pytest
from wd_client.errors import BadAnswer
from wd_client.target import MAX_REDIRECTS, Target, sent_on, target_of

HERE = target_of("http://a.example/base/x")


def url(target: Target) -> str:
    return target.origin + target.path


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://A.example", ("http", "a.example", 80, "A.example", "")),
        ("https://a.example:8443/x/", ("https", "a.example", 8443, "a.example:8443", "/x")),
        ("http://[::1]:5000", ("http", "::1", 5000, "[::1]:5000", "")),
    ],
)
def test_a_url_is_taken_apart(text: str, target: tuple[object, ...]) -> None:
    assert target_of(text) == target


@pytest.mark.parametrize(
    ("location", "whole"),
    [
        ("https://a.example/base/x", "https://a.example/base/x"),
        ("/other?last_event_id=7-1#top", "http://a.example/other?last_event_id=7-1"),
        ("y?a=1", "http://a.example/base/y?a=1"),
        ("../y", "http://a.example/y"),
        ("?a=1", "http://a.example/base/x?a=1"),
        ("//b.example:81", "http://b.example:81/"),
        ("https://b.example?a=1", "https://b.example/?a=1"),
    ],
)
def test_a_location_is_read_from_where_it_was_said(location: str, whole: str) -> None:
    assert url(sent_on([HERE], location)) == whole


@pytest.mark.parametrize(
    "location",
    [
        *(None, "", "ftp://a.example/", "https://", "https://u:p@a.example/", "http://[::1/"),
        *("http://a.example:x/", "/a b", "/a\nX-Injected: 1", "/\xe4", "https://a.example\\@b/"),
    ],
)
def test_a_location_that_leads_nowhere_is_said_so_and_not_shown(location: str | None) -> None:
    with pytest.raises(
        BadAnswer, match=r"^http://a\.example redirects to no http or https URL: is"
    ):
        sent_on([HERE], location)


def test_nothing_that_was_encrypted_goes_on_in_the_clear() -> None:
    secure = target_of("https://a.example/x")
    with pytest.raises(BadAnswer, match=r"to http://a\.example, where .* in the clear") as refused:
        sent_on([HERE, secure], "http://a.example/y?access_token=t")
    assert "access_token" not in str(refused.value)


def test_a_circle_is_seen_whoever_is_in_it() -> None:
    secure = sent_on([HERE], "https://a.example/y")
    there = sent_on([HERE, secure], "/z")
    for location in ("/y", "/z"):
        with pytest.raises(BadAnswer, match="in a circle"):
            sent_on([HERE, secure, there], location)


def test_a_way_without_an_end_is_left() -> None:
    way = [HERE]
    for number in range(MAX_REDIRECTS):
        way.append(sent_on(way, f"/{number}"))
    with pytest.raises(BadAnswer, match=f"more than {MAX_REDIRECTS} times"):
        sent_on(way, "/more")


@pytest.mark.parametrize(
    ("first", "then", "may"),
    [
        ("http://a.example", "http://a.example:80/x", True),
        ("http://a.example", "https://a.example", True),
        ("http://a.example:5000", "https://A.example:8443", True),
        ("https://a.example", "https://a.example/x", True),
        ("http://a.example", "http://a.example:81", False),
        ("https://a.example", "https://a.example:444", False),
        ("https://a.example", "http://a.example", False),
        ("http://a.example", "https://www.a.example", False),
        ("http://a.example", "https://a.example.b", False),
    ],
)
def test_a_key_goes_to_the_same_origin_or_to_the_same_host_encrypted(
    first: str, then: str, may: bool
) -> None:
    assert target_of(first).may_hand_on_to(target_of(then)) == may
