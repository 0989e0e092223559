"""The health document, section 6 of the public contract, as `/health` sends it."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Status = Literal["healthy", "degraded", "unhealthy", "draining"]
Helius = Literal["configured", "simulated", "missing", "unavailable"]
Redis = Literal["configured", "embedded", "unavailable"]
Persistence = Literal["aof", "rdb", "none", "unknown"]

Count = Annotated[int, Meta(ge=0)]


class StreamingHealth(Struct):
    active_streams: Annotated[Count, Meta(description="Streams that are open.")]
    total_streams: Annotated[Count, Meta(description="Streams since the start.")]
    error_rate: Annotated[
        float, Meta(description="Percentage of streams with an error, two decimals.")
    ]


class Dependencies(Struct):
    helius: Annotated[Helius, Meta(description="The chain's RPC.")]
    redis: Annotated[
        Redis, Meta(description="`embedded`: everything is stored on the server's own disk.")
    ]


class Failing(Struct):
    failing: Annotated[list[str], Meta(description="Names; empty while all work.")]


class RedisKeeping(Struct):
    policy: Annotated[str, Meta(description="Its `maxmemory-policy`.")]
    may_evict: Annotated[bool, Meta(description="Whether it throws journals away when it is full.")]
    persistence: Annotated[Persistence, Meta(description="How it keeps data over a restart.")]


class HealthDocument(Struct):
    status: Annotated[
        Status, Meta(description="`healthy` and `degraded` servers serve; others answer with 503.")
    ]
    version: Annotated[str, Meta(description="The server's version.")]
    timestamp: Annotated[int, Meta(description="Unix seconds.")]
    uptime: Annotated[float, Meta(description="Seconds since the start.")]
    streaming: Annotated[StreamingHealth, Meta(description="The streams of this process.")]
    dependencies: Annotated[Dependencies, Meta(description="What the server needs of others.")]
    stores: Annotated[Failing, Meta(description="Stores that can't be written or read.")]
    tasks: Annotated[Failing, Meta(description="Background tasks that failed lately.")]
    redis: Annotated[
        RedisKeeping | UnsetType,
        Meta(description="What Redis does with what it is given; missing without Redis."),
    ] = UNSET
