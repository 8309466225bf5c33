"""The oracle of the round trip: a remote environment against the local one, with an equality that forgives nothing.

    found = compare(local, remote, steps=200, seed=3)
    assert not found.differences

Each difference begins with the id of what differs (`spaces`, `metadata`, `resets`, `obs`, `reward`, `terminated`,
`truncated`, `info`, `rng`, `raises`), so that a table can say which comparison has seen it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space, spaces

from converters.gymnasium.spaces import OpaqueSpace
from tests.exact import assert_identical

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("MUJOCO_GL", "egl")

SAMPLES = 20
STEP_FIELDS = ("obs", "reward", "terminated", "truncated", "info")
KINDS = (*STEP_FIELDS, "spaces", "metadata", "resets", "rng", "raises")


class Difference(AssertionError):
    """The first differences of a comparison."""


@dataclass
class Comparison:
    """What a comparison has found, and how much it has seen.

    Attributes:
        differences: One text for each thing that differs, the place and both values in it.
        steps: Steps compared.
        terminations: Episodes that the local environment terminated.
        truncations: Episodes that the local environment truncated.
    """

    differences: list[str] = field(default_factory=list)
    steps: int = 0
    terminations: int = 0
    truncations: int = 0

    @property
    def episodes(self) -> int:
        return self.terminations + self.truncations

    @property
    def kinds(self) -> set[str]:
        """The ids of what differs."""
        return {text.split(":", 1)[0].split(" ", 1)[0] for text in self.differences}

    def check(self, kind: str, where: str, compare_them: Callable[[], None]) -> None:
        """Run one comparison; what it raises is a difference."""
        try:
            compare_them()
        except AssertionError as exc:
            self.differences.append(f"{kind} {where}: {exc}")
        except Exception as exc:
            self.differences.append(f"raises {where}: {type(exc).__name__}: {exc}")


def compare(
    local: gymnasium.Env[Any, Any],
    remote: gymnasium.Env[Any, Any],
    *,
    steps: int = 200,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare two environments of the same kind; both go on to be used, none is closed.

    Args:
        local: What is right by definition.
        remote: What has to be the same.
        steps: Length of the trajectory; it goes over the ends of episodes and abandons some.
        seed: Of the environments and of the actions.
        options: Passed to some of the resets.
    """
    found = Comparison()
    _compare_spaces(found, local, remote)
    _compare_metadata(found, local, remote)
    _compare_resets(found, local, remote, seed)
    _compare_trajectory(found, local, remote, steps, seed, None if options is None else dict(options))
    return found


def assert_same(local: gymnasium.Env[Any, Any], remote: gymnasium.Env[Any, Any], **arguments: Any) -> Comparison:
    """As `compare`. Raises `Difference` with all it has found."""
    found = compare(local, remote, **arguments)
    if found.differences:
        raise Difference("\n".join(found.differences))
    return found


# Spaces


def _compare_spaces(found: Comparison, local: Any, remote: Any) -> None:
    for name in ("observation_space", "action_space"):
        ours, theirs = getattr(remote, name), getattr(local, name)
        found.check("spaces", name, lambda ours=ours, theirs=theirs: assert_same_space(ours, theirs))


def assert_same_space(actual: Space[Any], expected: Space[Any], path: str = "") -> None:
    """Assert that two spaces are equal, have the same bounds bit by bit, and the same sample stream for a seed."""
    assert actual == expected, f"{path or 'the space'}: {actual} is not {expected}"
    _assert_same_structure(actual, expected, path)
    if any(isinstance(part, OpaqueSpace) for part in parts(actual)):
        # The foreign class cannot know its stand-in: it is not equal from that side, and samples otherwise.
        for sample in _stream(actual):
            assert expected.contains(sample), f"{path}: {sample!r} is not in {expected}"
        return
    assert expected == actual, f"{path or 'the space'}: {expected} is not {actual}"
    assert_identical(_stream(actual), _stream(expected), f"{path}<samples>")


def _assert_same_structure(actual: Any, expected: Any, path: str) -> None:
    if isinstance(actual, OpaqueSpace):
        return
    known = next(kind for kind in type(expected).__mro__ if kind.__module__.startswith("gymnasium.spaces"))
    assert isinstance(actual, known), f"{path or 'the space'}: {type(actual)} is not {type(expected)}"
    for name in _ATTRIBUTES:
        if hasattr(expected, name):
            assert_identical(getattr(actual, name, None), getattr(expected, name), f"{path}.{name}")
    for name in ("bounded_below", "bounded_above"):
        # For the shape () Gymnasium has an array here or a scalar, as the bounds were given.
        if hasattr(expected, name):
            ours, theirs = (np.asarray(getattr(space, name, None)) for space in (actual, expected))
            assert_identical(ours, theirs, f"{path}.{name}")
    ours, theirs = list(_children(actual)), list(_children(expected))
    assert_identical([key for key, _ in ours], [key for key, _ in theirs], f"{path}<keys>")
    for (key, left), (_, right) in zip(ours, theirs, strict=True):
        _assert_same_structure(left, right, f"{path}/{key}")


_ATTRIBUTES = (
    "shape", "dtype", "low", "high", "n", "start", "nvec", "min_length", "max_length", "character_list", "stack",
)  # fmt: skip


def _children(space: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(space, spaces.Dict):
        yield from space.spaces.items()
    elif isinstance(space, (spaces.Tuple, spaces.OneOf)):
        yield from enumerate(space.spaces)
    elif isinstance(space, spaces.Sequence):
        yield "feature", space.feature_space
    elif isinstance(space, spaces.Graph):
        yield "nodes", space.node_space
        if space.edge_space is not None:
            yield "edges", space.edge_space


def parts(space: Space[Any]) -> Iterator[Space[Any]]:
    """A space and all inside it."""
    yield space
    for _, child in _children(space):
        yield from parts(child)


def _stream(space: Space[Any]) -> list[Any]:
    sampled = copy.deepcopy(space)
    sampled.seed(7)
    return [sampled.sample() for _ in range(SAMPLES)]


# What stands beside the values


def _compare_metadata(found: Comparison, local: Any, remote: Any) -> None:
    expected = {key: value for key, value in local.metadata.items() if not callable(value)}
    expected["render_modes"] = [mode for mode in expected.get("render_modes", []) if mode != "human"]
    found.check("metadata", "", lambda: assert_identical(remote.metadata, expected))

    def spec() -> None:
        ours, theirs = getattr(remote.unwrapped, "remote_spec", None), local.spec
        if theirs is not None:
            assert ours is not None, "there is no remote_spec"
            # A server never runs the passive checker, whatever the spec says.
            left, right = (json.loads(spec.to_json()) | {"disable_env_checker": None} for spec in (ours, theirs))
            assert_identical(left, right, "the spec")

    found.check("metadata", "spec", spec)


# Values


def _compare_resets(found: Comparison, local: Any, remote: Any, seed: int) -> None:
    """Seeds are honoured, the same twice, and no seed goes on with the stream there is."""
    before = len(found.differences)
    for index, value in enumerate((seed, None, seed, None, seed + 1, None)):
        where = f"{index} (seed={value})"

        def reset(value: int | None = value, where: str = where) -> None:
            assert_identical(remote.reset(seed=value), local.reset(seed=value), where)

        found.check("resets", where, reset)
        if value is not None:
            found.check("rng", where, lambda value=value: _check_rng(local, remote, value))
        if len(found.differences) > before:
            return


def _check_rng(local: Any, remote: Any, seed: int) -> None:
    assert isinstance(remote.np_random, np.random.Generator), f"np_random is {remote.np_random!r}"
    assert remote.unwrapped._np_random is not None, "reset(seed=...) leaves np_random unset"
    assert remote.np_random_seed == seed, f"np_random_seed is {remote.np_random_seed}, not {seed}"


def _compare_trajectory(
    found: Comparison, local: Any, remote: Any, steps: int, seed: int, options: dict[str, Any] | None
) -> None:
    actions = copy.deepcopy(local.action_space)
    actions.seed(seed)
    abandon = {steps // 3: None, 2 * steps // 3: seed + 2}
    if not _same_reset(found, local, remote, "first", seed=seed, options=options):
        return
    for index in range(steps):
        action = actions.sample()
        expected = local.step(copy.deepcopy(action))
        if not _same_step(found, remote, action, expected, index):
            return
        found.steps += 1
        ended = expected[2] or expected[3]
        found.terminations += bool(expected[2])
        found.truncations += bool(expected[3])
        if ended:
            # Every other episode has options, where there are any.
            arguments = {"options": options} if options is not None and found.episodes % 2 == 0 else {}
            if not _same_reset(found, local, remote, f"after step {index}", **arguments):
                return
        elif index in abandon and not _same_reset(found, local, remote, f"at step {index}", seed=abandon[index]):
            return


def _same_reset(found: Comparison, local: Any, remote: Any, when: str, **arguments: Any) -> bool:
    expected = local.reset(**copy.deepcopy(arguments))
    before = len(found.differences)
    actual: list[Any] = []
    found.check("resets", when, lambda: actual.append(remote.reset(**copy.deepcopy(arguments))))
    if actual:
        found.check("resets", when, lambda: assert_identical((type(actual[0]), len(actual[0])), (tuple, 2)))
        for kind, ours, theirs in zip(("obs", "info"), actual[0], expected, strict=False):
            found.check(kind, f"of reset {when}", lambda o=ours, t=theirs: assert_identical(o, t))
    return len(found.differences) == before


def _same_step(found: Comparison, remote: Any, action: Any, expected: Any, index: int) -> bool:
    before = len(found.differences)
    actual: list[Any] = []
    found.check("raises", f"step {index}", lambda: actual.append(remote.step(action)))
    if actual:
        found.check("raises", f"step {index}", lambda: assert_identical((type(actual[0]), len(actual[0])), (tuple, 5)))
        for kind, ours, theirs in zip(STEP_FIELDS, actual[0], expected, strict=False):
            found.check(kind, f"of step {index}", lambda o=ours, t=theirs: assert_identical(o, t))
    return len(found.differences) == before
