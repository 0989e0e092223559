import pytest

from handlers.negotiation import accepted_encoding, takes_event_stream


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "GZip",
        "x-gzip",
        "gzip, deflate, br, zstd",
        "deflate,gzip",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "gzip;q=0.5, identity;q=0.5",
        "gzip ; q=0.001",
        "*",
        "br, *;q=0.2",
        "identity;q=0, *",
        "identity;q=0, gzip;q=0.1",
        "gzip;q=0.3, *;q=0",
    ],
)
def test_who_takes_gzip_at_least_as_gladly_as_nothing_gets_it(header: str) -> None:
    assert accepted_encoding(header) == "gzip"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "identity",
        "br, zstd, deflate",
        "gzip;q=0",
        "gzip;q=0.000, *",
        "x-gzip;q=0, *",
        "*;q=0",
        "gzip;q=0.5, identity",
        "gzip;q=0.5, *;q=0.8",
        "not-gzip, gzipped",
    ],
)
def test_who_does_not_or_likes_it_less_gets_events_as_they_are(header: str) -> None:
    assert accepted_encoding(header) is None


@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0, br", "br;q=1, identity;q=0, gzip;q=0"])
def test_who_refuses_everything_there_is_gets_events_as_they_are(header: str) -> None:
    assert accepted_encoding(header) is None


@pytest.mark.parametrize(
    "header",
    ["gzip;q=2", "gzip;q=-1", "gzip;q=", "gzip;q=x", "gzip;level=1", "gzip;q=0.5555", "gzip;q=nan"],
)
def test_a_weight_that_can_not_be_read_counts_as_a_refusal(header: str) -> None:
    assert accepted_encoding(header) is None


@pytest.mark.parametrize("header", [" , ,gzip,", ";q=1,gzip", "gzip;", "=,gzip;q=1.000"])
def test_empty_items_are_passed_over(header: str) -> None:
    assert accepted_encoding(header) == "gzip"
    assert accepted_encoding(header.replace("gzip", "")) is None


@pytest.mark.parametrize(
    ("accept", "stream"),
    [
        ("", True),
        ("*/*", True),
        ("text/event-stream", True),
        ("text/event-stream, application/json", True),
        ("text/html, */*", True),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/problem+json", False),
        ("APPLICATION/JSON;q=0.9", False),
    ],
)
def test_who_asks_for_json_gets_statuses_and_everybody_else_an_event(
    accept: str, stream: bool
) -> None:
    assert takes_event_stream(accept) is stream
