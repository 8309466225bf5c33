"""Nim by two seats: each takes one to three stones; who takes the last one wins. There are hands without end."""

from itertools import count

import verifiers.v1 as vf

__all__ = ["NimEnv", "NimTaskset"]


class NimConfig(vf.EnvConfig):
    first: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})
    second: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})


class NimData(vf.TaskData):
    stones: int


class NimTask(vf.Task[NimData]):
    pass


class NimEnv(vf.Env[NimConfig]):
    async def run(self, task, agents):
        stones, turn = task.data.stones, 0
        seat = vf.Task(vf.TaskData(idx=task.data.idx, system_prompt="Say how many stones you take: 1, 2 or 3."))
        async with agents.first.interaction(seat) as first, agents.second.interaction(seat) as second:
            while stones > 0:
                segment = await (first, second)[turn % 2].turn(f"There are {stones} stones.")
                reply = segment.last_reply
                if reply not in ("1", "2", "3"):
                    turn += 1  # an illegal move loses
                    break
                stones -= int(reply)
                turn += 1
            winner = (turn + 1) % 2 if stones <= 0 else turn % 2
        for at, trace in enumerate((first.trace, second.trace)):
            trace.record_reward("won", 1.0 if at == winner else -1.0)
            trace.record_metric("left", float(max(stones, 0)))


class NimTaskset(vf.Taskset[NimTask, vf.TasksetConfig]):
    INFINITE = True

    def load(self):
        for at in count():
            yield NimTask(NimData(idx=at, name=f"hand {at}", stones=4 + at % 3))
