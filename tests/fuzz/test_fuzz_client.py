"""Data of events as the Python client reads them: anything may come from whoever answers."""

import json
from contextlib import suppress
from dataclasses import fields

from budget import examples
from hypothesis import given
from hypothesis import strategies as st
from wd_client.errors import BadAnswer
from wd_client.events import EVENTS, Event, made, parsed

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@examples(100, drawn=True)
@given(st.sampled_from([*EVENTS, "weather"]), st.data())
def test_whatever_comes_is_an_event_or_said_to_be_none(name: str, data: st.DataObject) -> None:
    kind = EVENTS.get(name, Event)
    names = [each.metadata.get("name", each.name) for each in fields(kind)]
    value = data.draw(ANYTHING | st.fixed_dictionaries(dict.fromkeys(names, ANYTHING)))
    with suppress(BadAnswer):
        text = json.dumps(value).encode()
        assert isinstance(made(name, parsed(name, text), id=None), Event)
