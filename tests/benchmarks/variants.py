"""What is measured: the rows of the detailed tables, and their servers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from tests.benchmarks import processes
from tests.benchmarks.frames import SIZE
from tests.benchmarks.windows import Load

CARTPOLE = "gym:CartPole-v1"
PROCESS = ("--isolation", "process")

SERVERS = {
    "official": processes.official("cartpole"),
    "official-frames": processes.official("frames"),
    "official-pong": processes.official("pong"),
    "ours": processes.ours(CARTPOLE),
    "ours-process": processes.ours(CARTPOLE, *PROCESS),
    "ours-frames": processes.ours("gym:tests.benchmarks.frames:Frames-v0"),
    "ours-pong": processes.ours("gym:ale_py:ALE/Pong-v5?obs_type=rgb"),
    "ours-sleepy": processes.ours("gym:tests.benchmarks.sleepy:SleepyCartPole-v0"),
    "floor": [sys.executable, "-m", "tests.benchmarks.serve_floor"],
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a load against a server.

    Attributes:
        key: What goals name it by.
        title: What is measured, for people.
        load: Who steps.
        server: A key of `SERVERS`, or nothing for no server.
        settle: As a window's.
        seconds: The window's length where it is this row's own.
    """

    key: str
    title: str
    load: Load
    server: str = ""
    settle: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one table, compared with its first.

    Attributes:
        figure: What is compared, a name of `Loads.measure`.
        unit: What a figure is, for people.
    """

    title: str
    rows: list[Row] = field(repr=False)
    figure: str = "rate"
    unit: str = "steps/s"


def _sessions(count: int) -> list[Row]:
    """Separate sessions, shared by two client processes; each has one environment."""
    official, halves, threads = (
        Load(name, variant, sessions=count)
        for name, variant in (("official", "sessions"), ("ours", "halves"), ("ours", "threads"))
    )
    return [
        Row(
            f"sessions-{count}-official", "official server, official sync clients, a thread each", official, "official"
        ),
        Row(f"sessions-{count}-halves", "our server, interop.connect, by send and receive", halves, "ours"),
        Row(f"sessions-{count}-threads", "our server, interop.connect, a thread each", threads, "ours"),
    ]


def _latency(key: str, title: str, sleep: float) -> Row:
    load = Load("bare", "latency", {"sessions": 64, "sleep": sleep})
    return Row(key, title, load, "ours-sleepy", seconds=3.0)


GROUPS = [
    Group(
        "CartPole-v1, one session",
        [
            Row("official", "official server, official sync client", Load("official", "sync"), "official"),
            Row("official-async", "official server, official async client", Load("official", "async"), "official"),
            Row("connect-official", "official server, interop.connect", Load("ours", "session"), "official"),
            Row("make-official", "official server, interop.make", Load("ours", "env"), "official"),
            Row("official-ours", "our server, official sync client", Load("official", "sync"), "ours"),
            Row("official-async-ours", "our server, official async client", Load("official", "async"), "ours"),
            Row("make", "our server, interop.make", Load("ours", "env"), "ours"),
            Row("make-json", "our server, interop.make(binary=False)", Load("ours", "env-json"), "ours"),
            Row("connect", "our server, interop.connect", Load("ours", "session"), "ours"),
            Row("connect-json", "our server, interop.connect(binary=False)", Load("ours", "session-json"), "ours"),
            Row("connect-async", "our server, interop.connect_async", Load("ours", "async"), "ours"),
            Row(
                "make-process",
                "our server (isolation=process), interop.make",
                Load("ours", "env"),
                "ours-process",
                settle=2.0,
            ),
            Row("async-1", "gymnasium AsyncVectorEnv(1), no server", Load("local", "async-1")),
            Row("local", "gymnasium.make, in-process", Load("local", "env")),
        ],
    ),
    Group(
        "84x84x4 uint8 frames, one session",
        [
            Row("frames-official", "official server, official client", Load("official", "frames"), "official-frames"),
            Row("frames", "our server, interop.make", Load("ours", "frames"), "ours-frames"),
            Row("frames-json", "our server, interop.make(binary=False)", Load("ours", "frames-json"), "ours-frames"),
            Row(
                "frames-floor",
                "floor: bare WebSocket, 28,224 raw bytes",
                Load("bare", "floor", {"size": SIZE}),
                "floor",
            ),
        ],
    ),
    Group(
        "ALE/Pong-v5, rgb frames of 210x160x3, one session",
        [
            Row("pong-official", "official server, official client", Load("official", "frames"), "official-pong"),
            Row("pong", "our server, interop.make", Load("ours", "frames"), "ours-pong"),
            Row("pong-local", "gymnasium.make, in-process", Load("local", "pong")),
        ],
    ),
    Group(
        "CartPole-v1, 8 sub-environments (their steps)",
        [
            # Measured once more, beside what it is compared with.
            Row("vec-official", "official server, official client, one session", Load("official", "sync"), "official"),
            Row("vec-sync", "our server, make_vec, SyncVectorEnv", Load("ours", "vector-sync"), "ours"),
            Row("vec-native", "our server, make_vec, native", Load("ours", "vector-native"), "ours"),
            Row("vec-sessions", "our server, make_vec, 8 sessions", Load("ours", "vector-sessions"), "ours"),
            Row(
                "vec-sessions-official",
                "official server, make_vec, 8 sessions",
                Load("ours", "vector-sessions"),
                "official",
            ),
            Row("async-8", "gymnasium AsyncVectorEnv(8), no server", Load("local", "async-8")),
            Row("sync-8", "gymnasium SyncVectorEnv(8), in-process", Load("local", "sync-8")),
        ],
    ),
    Group(
        "CartPole-v1, 8 sessions of 2 client processes",
        [
            *_sessions(8),
            Row(
                "sessions-8-process",
                "our server (isolation=process), by send and receive",
                Load("ours", "halves", sessions=8),
                "ours-process",
                settle=2.0,
            ),
        ],
    ),
    Group("CartPole-v1, 64 sessions of 2 client processes", _sessions(64)),
    Group(
        "Latency of steps of 63 busy CartPole sessions beside one more",
        [
            _latency("p99-busy", "our server, the one as busy as they", 0),
            _latency("p99-sleeping", "our server, the one sleeps 2 s in each step", 2),
        ],
        figure="p99",
        unit="p99, ms",
    ),
]
