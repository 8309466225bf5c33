"""What has to be reached, as data; and the judgement of a run by it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Series = Mapping[str, Sequence[float]]
"""Figures of a run by name, one for each round; the k-th of all belong together."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of one figure: a median, or the median of the rounds' ratios to another's.

    Attributes:
        of: Names of series; the best counts.
        text: What the figure is, for people, with a place for it.
        to: The series that it is compared with; nothing for none.
        side: If given, the best is the one of the highest median, and what counts is its series with this name behind.
        least: It is reached from this figure on.
        most: It is reached up to this one.
    """

    of: tuple[str, ...]
    text: str
    to: str = ""
    side: str = ""
    least: float | None = None
    most: float | None = None

    def figure(self, series: Series) -> float | None:
        """What the run has; None where it did not measure it."""
        names = [name for name in self.of if name in series]
        if not names or (self.to and self.to not in series):
            return None
        if self.side:
            names = [max(names, key=lambda name: statistics.median(series[name])) + self.side]
        medians = [statistics.median(self._compared(series, name)) for name in names]
        return max(medians) if self.most is None else min(medians)

    def reached(self, figure: float) -> bool:
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)

    @property
    def bound(self) -> str:
        limit = self.least if self.most is None else self.most
        assert limit is not None
        return ("≥ " if self.most is None else "≤ ") + self.text.format(f"{limit:g}")

    def said(self, figure: float) -> str:
        return self.text.format(f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}")

    def _compared(self, series: Series, name: str) -> list[float]:
        if not self.to:
            return list(series[name])
        return [one / other for one, other in zip(series[name], series[self.to], strict=True)]


@dataclass(frozen=True, slots=True)
class Promise:
    """A row of the table: some work, and one or two goals."""

    work: str
    first: Goal
    second: Goal | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal with the run's figure."""

    work: str
    goal: str
    figure: str
    value: float
    reached: bool


def judge(promises: Sequence[Promise], series: Series) -> list[tuple[Promise, list[Judged]]]:
    """Each promise of which something was measured."""
    rows = []
    for promise in promises:
        judged = []
        for goal in (promise.first, promise.second):
            figure = goal.figure(series) if goal else None
            if goal is not None and figure is not None:
                judged.append(Judged(promise.work, goal.bound, goal.said(figure), figure, goal.reached(figure)))
        if judged:
            rows.append((promise, judged))
    return rows


def _times(of: str | tuple[str, ...], to: str, least: float, *, text: str = "{}x official") -> Goal:
    return Goal((of,) if isinstance(of, str) else of, text, to, least=least)


def _sessions(count: int) -> Promise:
    ours = f"sessions-{count}-halves", f"sessions-{count}-threads"
    return Promise(
        f"{count} separate sessions, aggregate",
        _times(ours, f"sessions-{count}-official", 6),
        # Of the server and its clients, which share this machine's two.
        Goal(ours, "{} cores used", side=" cores", least=1.5),
    )


PROMISES = [
    Promise(
        "CartPole, one session, interop.make",
        _times("make", "official", 6),
        _times("make", "async-1", 1, text="{}x AsyncVectorEnv(1)"),
    ),
    Promise("CartPole, official client on our server", _times("official-ours", "official", 1.4)),
    Promise("CartPole, interop.connect on the official server", _times("connect-official", "official", 1.6)),
    Promise(
        "84x84x4 uint8, one session",
        _times("frames", "frames-official", 70),
        _times("frames", "frames-floor", 0.6, text="{}x a bare WebSocket"),
    ),
    Promise(
        "ALE/Pong-v5 rgb, one session",
        _times("pong", "pong-official", 60),
        _times("pong", "pong-local", 0.5, text="{}x in-process"),
    ),
    Promise(
        "8 sub-environments, make_vec",
        _times(("vec-sync", "vec-native"), "vec-official", 30),
        _times(("vec-sync", "vec-native"), "async-8", 1, text="{}x AsyncVectorEnv(8)"),
    ),
    _sessions(8),
    _sessions(64),
    Promise(
        "memory of an idle CartPole session", Goal(("session ours",), "{}x official", "session official", most=0.25)
    ),
    Promise("start to the first observation", Goal(("start ours",), "{}x official", "start official", most=0.5)),
    Promise(
        "p99 of 63 busy sessions, one more sleeps 2 s a step",
        Goal(("p99-sleeping",), "{}x without", "p99-busy", most=1.1),
    ),
    Promise("import interop", Goal(("import",), "{} ms", most=60)),
]
