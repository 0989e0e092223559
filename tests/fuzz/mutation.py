"""A text and what becomes of it: bytes put in, left out, changed, moved and said twice."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


def mutated(
    originals: st.SearchStrategy[bytes], pieces: Sequence[bytes], most: int = 4
) -> st.SearchStrategy[bytes]:
    """One to `most` changes. `pieces` are what mischief is made of in this grammar."""
    change = st.tuples(
        st.sampled_from(("insert", "delete", "replace", "repeat", "swap")),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.sampled_from(pieces) | st.binary(min_size=1, max_size=3),
    )
    return st.builds(_changed, originals, st.lists(change, min_size=1, max_size=most))


def _changed(text: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    for kind, one, other, piece in changes:
        start, end = sorted((one % (len(text) + 1), other % (len(text) + 1)))
        end = min(end, start + 40)
        match kind:
            case "insert":
                text = text[:start] + piece + text[start:]
            case "delete":
                text = text[:start] + text[end:]
            case "replace":
                text = text[:start] + piece + text[start + len(piece) :]
            case "repeat":
                text = text[:end] + text[start:end] + text[end:]
            case _:
                middle = (start + end) // 2
                text = text[:start] + text[middle:end] + text[start:middle] + text[end:]
    return text


# Values of JSON, small ones and those at the ends of what numbers and texts can be.
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((0, -1, 2**31, 2**53, 2**63, 2**64, 10**30, 1e308, -1e308, 1e-308))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
