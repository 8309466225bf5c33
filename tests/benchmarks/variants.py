"""What is measured: the rows of the table, their servers, and the goals."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks import processes

CARTPOLE = "gym:CartPole-v1"
FRAMES = "gym:tests.benchmarks.frames:Frames-v0"

SERVERS = {
    "official": processes.official("cartpole"),
    "official-frames": processes.official("frames"),
    "ours": processes.ours(CARTPOLE),
    "ours-process": processes.ours(CARTPOLE, "process"),
    "ours-frames": processes.ours(FRAMES),
    "floor": [processes.sys.executable, "-m", "tests.benchmarks.serve_floor"],
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a load generator's variant against a server.

    Attributes:
        title: What is measured, for people.
        generator: `official`, `ours` or `local`.
        variant: A name that the generator knows.
        server: A key of `SERVERS`, or nothing for no server.
        goal: The ratio to the group's first row that is aimed at.
        settle: Seconds between connecting and measuring, for a server that starts a spare process when it is connected.
    """

    title: str
    generator: str
    variant: str
    server: str = ""
    goal: float | None = None
    settle: float = 0.0


GROUPS: dict[str, list[Row]] = {
    "CartPole-v1, one session": [
        Row("official server, official sync client", "official", "sync", "official"),
        Row("official server, official async client", "official", "async", "official"),
        Row("official server, interop.connect", "ours", "session", "official"),
        Row("official server, interop.make", "ours", "env", "official"),
        Row("our server, official sync client", "official", "sync", "ours", goal=1.0),
        Row("our server, official async client", "official", "async", "ours"),
        Row("our server, interop.make", "ours", "env", "ours", goal=3.0),
        Row("our server, interop.make(binary=False)", "ours", "env-json", "ours"),
        Row("our server, interop.connect", "ours", "session", "ours"),
        Row("our server, interop.connect(binary=False)", "ours", "session-json", "ours"),
        Row("our server, interop.connect_async", "ours", "async", "ours"),
        Row("our server (isolation=process), interop.make", "ours", "env", "ours-process", settle=5.0),
        Row("gymnasium AsyncVectorEnv(1), no server", "local", "async-1"),
        Row("gymnasium.make, in-process", "local", "env"),
    ],
    "84x84x4 uint8 frames, one session": [
        Row("official server, official sync client", "official", "frames", "official-frames"),
        Row("our server, interop.make", "ours", "frames", "ours-frames", goal=30.0),
        Row("our server, interop.make(binary=False)", "ours", "frames-json", "ours-frames"),
        Row("floor: bare WebSocket, 28,224 raw bytes", "ours", "floor", "floor"),
    ],
    "CartPole-v1, 8 sub-environments (their steps)": [
        # Measured once more, beside what it is compared with.
        Row("official server, official sync client, one session", "official", "sync", "official"),
        Row("our server, make_vec, SyncVectorEnv", "ours", "vector-sync", "ours", goal=15.0),
        Row("our server, make_vec, native", "ours", "vector-native", "ours", goal=15.0),
        Row("our server, make_vec, 8 sessions", "ours", "vector-sessions", "ours"),
        Row("our server (isolation=process), 8 sessions", "ours", "vector-sessions", "ours-process", settle=5.0),
        Row("official server, make_vec, 8 sessions", "ours", "vector-sessions", "official"),
        Row("gymnasium AsyncVectorEnv(8), no server", "local", "async-8"),
        Row("gymnasium SyncVectorEnv(8), in-process", "local", "sync-8"),
    ],
}
