"""The tables of a run, for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.benchmarks.costs import IDLE_PROCESSES, IDLE_SESSIONS, Cost
from tests.benchmarks.goals import Judged, Promise
from tests.benchmarks.variants import Group

Figures = Mapping[str, Sequence[Mapping[str, float]]]
"""Of each row, by its key: what every round gave."""


def speed_table(group: Group, figures: Figures) -> Table:
    """One group: medians, the ratio as the median of the rounds' own ratios, and the cores of the last column."""
    table = _table(group.title, "", group.unit, "worst .. best", "ratio", "cores: server", "and clients")
    base = [figure[group.figure] for figure in figures[group.rows[0].key]]
    for row in group.rows:
        rounds = figures[row.key]
        values = [figure[group.figure] for figure in rounds]
        ratio = statistics.median(one / other for one, other in zip(values, base, strict=True))
        server, cores = (statistics.median(figure[name] for figure in rounds) for name in ("server", "cores"))
        spread = sorted((min(values), max(values)), reverse=group.figure != "rate")
        table.add_row(
            row.title,
            _number(statistics.median(values)),
            " .. ".join(map(_number, spread)),
            f"{ratio:.2f}x" if ratio < 100 else f"{ratio:.1f}x",
            f"{server:.2f}" if row.server else "",
            f"{cores:.2f}",
        )
    return table


def cost_table(measured: Mapping[str, Cost]) -> Table:
    """Starts and memory, medians."""
    title = f"A CartPole-v1 server: start, and memory with {IDLE_SESSIONS} idle sessions ({IDLE_PROCESSES} processes)"
    table = _table(title, "server", "first observation after", "with one session", "one more", "all / sessions")
    for name, cost in measured.items():
        memory = (f"{mib:,.3f} MiB" for mib in (cost.empty, cost.session, cost.share))
        table.add_row(name, f"{cost.start:.2f} s", *memory)
    return table


def goal_table(judged: Sequence[tuple[Promise, Sequence[Judged]]]) -> Table:
    """What has to be reached, and what is."""
    table = _table("What has to be reached", "work", "at least", "figure", "", "and", "figure", "")
    for promise, results in judged:
        cells = [cell for result in results for cell in (result.goal, result.figure, _verdict(result.reached))]
        table.add_row(promise.work, *cells)
    return table


def _verdict(reached: bool) -> str:
    return "[green]reached[/]" if reached else "[red]missed[/]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _table(title: str, first: str, *headings: str) -> Table:
    table = Table(first, title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
