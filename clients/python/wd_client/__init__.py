"""A client of wd-server that needs nothing but Python:

async for event in stream("http://127.0.0.1:5000", address, follow=True): ...
"""

from wd_client.chain import Bookmark
from wd_client.errors import (
    BadAnswer,
    Mismatch,
    NotAllowed,
    Refused,
    SentAway,
    StreamError,
    Unreachable,
)
from wd_client.events import (
    Away,
    Bye,
    Complete,
    Connected,
    Event,
    Gap,
    Heartbeat,
    Movement,
    Other,
    PostedAmount,
    Preview,
    Progress,
    Retract,
    Summary,
    Token,
    Trade,
    Trades,
)
from wd_client.stream import stream, stream_sync

__all__ = [
    "Away",
    "BadAnswer",
    "Bookmark",
    "Bye",
    "Complete",
    "Connected",
    "Event",
    "Gap",
    "Heartbeat",
    "Mismatch",
    "Movement",
    "NotAllowed",
    "Other",
    "PostedAmount",
    "Preview",
    "Progress",
    "Refused",
    "Retract",
    "SentAway",
    "StreamError",
    "Summary",
    "Token",
    "Trade",
    "Trades",
    "Unreachable",
    "stream",
    "stream_sync",
]
