"""The verdict on a harbor task that was played twice: by its solution and by nobody.

harbor has no scale of rewards. So a task is *sound* if nothing is wrong with its files (no finding is an error), its
solution plays it to the end in its time, is graded, and is graded better than doing nothing, which is graded too.
*Better* is a higher `reward`, or a higher only reward; where there are several and none is named `reward`, none may be
lower and one must be higher. A solution below 1.0 is a warning: it may be the most that there is, or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from converters.harbor.lint import Finding
from converters.harbor.tasks import HarborTask

RULES = {
    "name-taken": "error",
    "unplayable": "error",
    "oracle-fails": "error",
    "oracle-timeout": "error",
    "oracle-ends-early": "error",
    "oracle-not-better": "error",
    "oracle-below-one": "warning",
    "nop-fails": "error",
}
"""The rules on what was played, with their severities; those on files are in `lint`."""
TIMEOUT = "AgentTimeoutError"
"""harbor's exception of an agent whose time has run out; what it has done is graded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trial.

    Attributes:
        agent: "oracle" or "nop".
        rewards: What the verifier gave; None if nothing that is valid.
        error: harbor's exception, `Type: message`.
        steps: How many steps were graded, in a task that has them.
        seconds: How long it took.
        log: The first lines that the verifier has written, or else the solution.
    """

    agent: str
    rewards: Mapping[str, float] | None = None
    error: str | None = None
    steps: int = 0
    seconds: float = 0.0
    log: tuple[str, ...] = ()


def finding(rule: str, message: str, fix: str, file: str = "") -> Finding:
    return Finding(rule, RULES[rule], file, None, message, fix)


def judge(task: HarborTask, oracle: Run, nop: Run) -> Iterator[Finding]:
    """The findings on what was played; the rule is what this module begins with."""
    if oracle.error and oracle.error.startswith(TIMEOUT):
        fix = "set a longer agent.timeout_sec, or mend the solution"
        yield finding("oracle-timeout", f"the solution is not done in time: {_line(oracle.error)}", fix)
    elif not oracle.rewards:
        yield finding("oracle-fails", f"the solution has no reward: {_why(oracle)}", "mend the tests or the solution")
    elif oracle.steps < len(task.steps):
        last = task.steps[oracle.steps - 1]
        message = f"the solution ends with step {last!r}, {oracle.steps} of {len(task.steps)}: {_why(oracle)}"
        yield finding("oracle-ends-early", message, "mend the step's solution, its tests or its min_reward")
    if not nop.rewards:
        yield finding("nop-fails", f"doing nothing has no reward: {_why(nop)}", "write a reward whatever was done")
    if oracle.rewards and nop.rewards:
        yield from _compared(oracle, nop)


def _compared(oracle: Run, nop: Run) -> Iterator[Finding]:
    best, least = dict(oracle.rewards or {}), dict(nop.rewards or {})
    if "reward" in best or len(best) == 1:
        key = "reward" if "reward" in best else next(iter(best))
        best, least = {key: best[key]}, {key: least.get(key, 0)}
    worse = [key for key in best | least if best.get(key, 0) < least.get(key, 0)]
    if worse or all(best.get(key, 0) <= least.get(key, 0) for key in best | least):
        message = f"the solution has {shown(oracle.rewards)}, doing nothing has {shown(nop.rewards)}{_said(oracle)}"
        yield finding("oracle-not-better", message, "mend the solution, or tests that are content with anything")
    elif below := {key: value for key, value in best.items() if value < 1}:
        fix = "nothing, if that is all there is to have; else mend the solution"
        yield finding("oracle-below-one", f"the solution has {shown(below)}, less than 1", fix)


def shown(rewards: Mapping[str, float] | None) -> str:
    """Rewards in a few words."""
    if not rewards:
        return "none"
    if list(rewards) == ["reward"]:
        return f"{rewards['reward']:g}"
    return ", ".join(f"{key} {value:g}" for key, value in rewards.items())


def _why(run: Run) -> str:
    """The reason and the first lines of output, in one line."""
    return f"{_line(run.error)}{_output(run)}" if run.error else f"it has {shown(run.rewards)}{_output(run)}"


def _said(run: Run) -> str:
    error = f"; {_line(run.error)}" if run.error else ""
    return f"{error}{_output(run)}"


def _output(run: Run) -> str:
    return f"; output: {' | '.join(run.log)}" if run.log else ""


def _line(text: str) -> str:
    return " ".join(text.split())[:400]
