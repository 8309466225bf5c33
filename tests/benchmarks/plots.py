"""The images of the scaling law: log-log, each curve labelled at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

Curves = Mapping[str, Mapping[int, float]]
"""Steps per second by what they depend on, for each system."""

OURS, OFFICIAL, FLOOR = "ours", "official", "bare WebSocket"
COLOURS = {OURS: "#0b6bcb", OFFICIAL: "#c0392b", FLOOR: "#8a8a8a"}
UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def draw_sessions(curves: Curves, path: Path) -> None:
    """All sessions' steps together, by the number of sessions."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    points = sorted(curves[OURS])
    _curves(axes, curves, points, [str(point) for point in points])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # there is little more than one decade
    axes.set(xlabel="sessions", title="CartPole-v1: steps per second of all sessions together")
    figure.savefig(path, dpi=200)


def draw_sizes(curves: Curves, path: Path) -> None:
    """Steps and megabytes per second of one session, by the size of its observations."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    steps, volume = figure.subplots(1, 2)
    points = sorted(curves[OURS])
    # Every third label has room.
    labels = [_size(point) if index % 3 == 0 else "" for index, point in enumerate(points)]
    volumes = {name: {size: rate * size / 1e6 for size, rate in curve.items()} for name, curve in curves.items()}
    for axes, drawn, title in ((steps, curves, "steps per second"), (volume, volumes, "MB per second")):
        _curves(axes, drawn, points, labels)
        axes.set(xlabel="bytes of an observation (uint8)", title=title)
    figure.savefig(path, dpi=200)


def _curves(axes: Axes, curves: Curves, points: list[int], labels: list[str]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for name, curve in curves.items():
        style = "--" if name == FLOOR else "-"
        axes.plot(points, [curve[point] for point in points], style, color=COLOURS[name], marker="o", markersize=3.5)
    axes.xaxis.set_major_locator(FixedLocator(points))
    axes.xaxis.set_major_formatter(FixedFormatter(labels))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _label(axes, {name: curve[points[-1]] for name, curve in curves.items()}, points)


def _label(axes: Axes, ends: Mapping[str, float], points: list[int]) -> None:
    """A name behind each curve, moved apart where they would touch."""
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    places = _spread({name: (math.log10(value) - low) / (high - low) for name, value in ends.items()}, gap=0.09)
    for name, place in places.items():
        axes.annotate(
            name.replace(" ", "\n"),
            (points[-1], place),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            color=COLOURS[name],
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )


def _spread(places: Mapping[str, float], gap: float) -> dict[str, float]:
    """The same order from below, at least `gap` apart."""
    moved: dict[str, float] = {}
    floor = -math.inf
    for name in sorted(places, key=lambda name: places[name]):
        moved[name] = floor = max(places[name], floor + gap)
    return moved


def _size(size: int) -> str:
    factor, unit = next((factor, unit) for factor, unit in UNITS if size >= factor)
    return f"{size // factor} {unit}"
