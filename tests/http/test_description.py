"""The interface as it is described: complete, well-formed, and kept to by the server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource, read_event
from jsonschema_rs import Draft7Validator, Draft202012Validator, ValidationError, meta
from processes import ROOT, Server, Simulator, server
from wire import exchange

from wd_server.events import event
from wd_server.events import schema as reference
from wd_server.events.kinds import EVENTS
from wd_server.events.meanings import MEANINGS

# Seconds for all of Schemathesis' requests; it takes 30 on a quiet machine with two cores.
SCHEMATHESIS_SECONDS = 240
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
)


@pytest.fixture(scope="module")
def openapi(served: Server) -> Any:
    return served.get("/openapi.json")


@pytest.fixture(scope="module")
def asyncapi(served: Server) -> Any:
    return served.get("/asyncapi.json")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_every_reference_leads_somewhere_and_every_schema_is_one(
    name: str, request: pytest.FixtureRequest
) -> None:
    document = request.getfixturevalue(name)
    for reference_text in set(references(document)):
        found = document
        for part in reference_text.removeprefix("#/").split("/"):
            found = found[part]
    for schema in document["components"]["schemas"].values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_it_is_asyncapi_as_its_makers_define_it(asyncapi: Any) -> None:
    """Schemathesis says so of OpenAPI."""
    schemas = ROOT / "tests/others/node_modules/@asyncapi/specs/schemas"
    definition = json.loads((schemas / f"{asyncapi['asyncapi']}-without-$id.json").read_text())
    Draft7Validator(definition).validate(asyncapi)


def test_every_path_that_is_served_is_described(openapi: Any) -> None:
    served = re.findall(r'\(r"(/[^"]*)", \w+\)', (ROOT / "wd_server/app.py").read_text())
    interface = {
        path for path in served if re.match(r"/($|v4|health|metrics|docs|\w+\.json)", path)
    }
    described = {re.sub(r"\{\w+\}", "([^/]+)", path) for path in openapi["paths"]}
    assert interface == described


def test_every_event_and_every_field_has_a_meaning(openapi: Any) -> None:
    described = {each.data for each in EVENTS}
    assert described >= set(event.Event.__subclasses__())
    schemas = openapi["components"]["schemas"]
    structs = set(MEANINGS) - {"Event"}
    for each in EVENTS:
        structs.discard(each.data.__name__)
        names = {name for name in schemas[each.component]["properties"] if name != "wallet"}
        assert names - {"wallet"} == set(MEANINGS[each.data.__name__]) - {"wallet"}
    for name in structs:
        published = schemas[reference.PUBLISHED.get(name, name)]
        assert set(published["properties"]) == set(MEANINGS[name]), name


def test_schemas_keep_the_names_they_are_published_under(openapi: Any) -> None:
    """Types that were generated from them have these names."""
    schemas = openapi["components"]["schemas"]
    assert {"Health", "RunMetrics"} <= schemas.keys()
    assert not reference.PUBLISHED.keys() & schemas.keys()
    health = openapi["paths"]["/health"]["get"]["responses"]["200"]["content"]
    assert health["application/json"]["schema"] == {"$ref": "#/components/schemas/Health"}
    assert schemas["Health"]["title"] == "Health"


def test_what_is_not_described_is_found() -> None:
    validator = Draft202012Validator(reference.validated("gap"))
    gap = {"reason": "expired", "from": "7-1", "to": None}
    validator.validate(gap)
    for wrong in ({**gap, "more": 1}, {**gap, "reason": "mood"}, {"reason": "expired"}):
        with pytest.raises(ValidationError):
            validator.validate(wrong)


def test_a_test_that_reads_an_event_which_is_not_as_described_fails() -> None:
    with pytest.raises(ValidationError):
        read_event(b'event: heartbeat\ndata: {"timestamp":"now"}')


def test_the_page_is_a_page_of_its_own(served: Server) -> None:
    answer = exchange(served.url, "/docs")
    assert answer.media_type == "text/html"
    text = answer.body.decode()
    assert not re.search(r"(src|href)=\"(?!/|#)|url\(|@import|<script", text)
    assert re.search(r"style-src 'sha256-[^']+'", answer.headers["content-security-policy"])
    for each in EVENTS:
        assert f"<h3><code>{each.name}</code></h3>" in text
    tag = answer.headers["etag"]
    assert exchange(served.url, "/docs", headers=[("If-None-Match", tag)]).status == 304
    assert exchange(served.url, "/docs", method="HEAD").status == 200


def test_who_needs_a_key_is_told_so_in_the_description(chain: Simulator, tmp_path: Path) -> None:
    with server(tmp_path / "data", chain.url, API_KEY_REQUIRED="true") as guarded:
        document = guarded.get("/openapi.json")
    paths = document["paths"]
    assert {} not in paths["/v4/streams"]["get"]["security"]
    assert "security" not in paths["/health"]["get"]


def test_schemathesis_finds_the_server_as_it_is_described(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """Each operation, with what is allowed and what isn't; a stream that follows ends soon."""
    (tmp_path / "schemathesis.toml").write_text(
        f'[parameters]\n"path.address" = "{wallet}"\n"query.wallet" = ["{wallet}"]\n'
    )
    with server(tmp_path / "data", chain.url, SSE_MAX_STREAM_DURATION=1) as tried:
        with EventSource(tried.stream(wallet)) as source:
            source.until("complete")
        key = tried.key("--requests", "0", "--streams", "0")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{tried.url}/openapi.json"),
                *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
                *("--max-examples", "10", "--workers", "1", "--seed", "1", "--no-color"),
                *("--header", f"X-API-Key: {key}"),
                *("--request-timeout", "20", "--continue-on-failure"),
                *("--suppress-health-check", "too_slow"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SCHEMATHESIS_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert not [line for line in tried.logged_lines() if line["level"] == "error"]
        assert tried.get("/health")["status"] == "healthy"
