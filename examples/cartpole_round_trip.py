"""Serve CartPole over OpenEnv, play it through ordinary Gymnasium code, and compare with the local environment.

Every observation, reward, flag and info that comes over the wire must equal the local one bit for bit.
"""

import subprocess
import sys
import time
from json import loads

import gymnasium as gym
from rich.console import Console
from rich.progress import track
from rich.table import Table

import interop

ID = "CartPole-v1"
EPISODES = 100
SECONDS = 2.0


def same(local, remote) -> bool:
    """Whether two results of reset or step are the same values of the same types."""
    return all(
        type(a) is type(b) and (a.dtype == b.dtype and a.tobytes() == b.tobytes() if hasattr(a, "dtype") else a == b)
        for a, b in zip(local, remote, strict=True)
    )


def compare(local: gym.Env, remote: gym.Env) -> tuple[int, int]:
    """Play seeded episodes in both; the number of results compared and of those that differ."""
    compared = different = 0
    for seed in track(range(EPISODES), description="Comparing seeded episodes", transient=True):
        results = [(local.reset(seed=seed), remote.reset(seed=seed))]
        local.action_space.seed(seed)
        done = False
        while not done:
            action = local.action_space.sample()
            results.append((local.step(action), remote.step(action)))
            done = results[-1][0][2] or results[-1][0][3]
        compared += len(results)
        different += sum(not same(a, b) for a, b in results)
    return compared, different


def rate(env: gym.Env) -> float:
    """Steps per second."""
    env.reset(seed=0)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for _ in range(50):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        steps += 50
    return steps / (time.perf_counter() - start)


def main() -> int:
    console = Console()
    # A server in a process of its own, as a user would start it.
    command = [sys.executable, "-m", "interop", "serve", f"gym:{ID}", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = loads(server.stdout.readline())["url"]
            console.print(f"[bold]{ID}[/] is an OpenEnv server at {url}")
            with gym.make(ID) as local, interop.make(url) as remote, interop.make(url, binary=False) as plain:
                table = Table("connection", "results compared", "different", "steps/s", "in-process steps/s")
                in_process = rate(local)
                failures = 0
                for name, env in (("binary (interop.msgpack.v1)", remote), ("plain OpenEnv JSON", plain)):
                    compared, different = compare(local, env)
                    failures += different
                    table.add_row(name, f"{compared:,}", f"{different}", f"{rate(env):,.0f}", f"{in_process:,.0f}")
            console.print(table)
        finally:
            server.terminate()
    if failures:
        console.print(f"[red]{failures} results differ from the local environment[/]")
        return 1
    console.print("[green]Every observation, reward, flag and info equals the local environment bit for bit.[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
