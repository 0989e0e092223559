"""What the parent and its processes tell each other, a line of JSON each, over pipes. The end of
the parent's pipe is the order to end.

Keys travel here and nowhere else: a process list shows arguments and environment, but no pipe.
"""

from typing import Final

import msgspec
from msgspec import Struct

from wd_tools.load.plan import Assignment
from wd_tools.load.tally import Tally


class Target(Struct, frozen=True):
    """Where to connect. `host` is what the URL names, `address` what it resolved to; `path` has
    `{wallet}` in it."""

    host: str
    address: str
    port: int
    tls: bool
    verify: bool
    path: str


class Habits(Struct, frozen=True):
    """How clients behave. `query` is sent as it is; `trades`: a stream ends itself after so many,
    0: never; `slow_rate` in bytes a second; `churn` is the percentage of streams that drop and
    come back each minute; `history` False: the server replays nothing."""

    follow: bool
    query: str
    trades: int
    slow_rate: int
    churn: float
    history: bool


class Job(Struct, frozen=True):
    """One process's part. `ramp`: streams a second, 0: as fast as they are answered; `in_flight`:
    requests that may wait for their answer at a time. A repr would show `keys`: never print it."""

    target: Target
    habits: Habits
    streams: list[Assignment]
    keys: list[str]
    ramp: float
    in_flight: int
    seed: int

    def __repr__(self) -> str:
        return f"Job({len(self.streams)} streams)"


class Progress(Struct, frozen=True, tag="progress"):
    """`opened`: ever; `open`: now; `over`: those that won't come back, `never`: of these, the ones
    that never were open."""

    opened: int
    open: int
    over: int
    never: int
    events: int
    trades: int
    resumes: int
    lost: int
    duplicates: int
    refused: int


class Result(Struct, frozen=True, tag="result"):
    """What is left when all is over. Times of the processor in seconds, `memory` (resident, at its
    most) in bytes, `busiest` the largest share of a processor it took between two progresses."""

    tally: Tally
    user: float
    system: float
    memory: int
    busiest: float


Message = Progress | Result

job_decoder = msgspec.json.Decoder(Job)
message_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)


def json_line(message: Job | Message) -> bytes:
    return msgspec.json.encode(message) + b"\n"
