"""What a differential cannot see: the checks of the contract of `gymnasium.Env` that a remote environment can break.

Each check takes a `Subject` and raises where the contract is broken; `CHECKS` has them all, by name.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

import interop
from tests.exact import assert_identical

Env = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Subject:
    """An environment that is here, and the bridge to it.

    Attributes:
        local: Builds the environment itself; takes `render_mode`.
        remote: Builds the bridge's; takes `render_mode`.
        outside: Makes an action that is not in the action space of one that is.
        failing: Options with which `reset` raises, if there are any.
    """

    local: Callable[..., Env]
    remote: Callable[..., Env]
    outside: Callable[[Any], Any]
    failing: dict[str, Any] | None = None

    def actions(self, seed: int) -> Iterator[Any]:
        with closing(self.local()) as env:
            space = copy.deepcopy(env.action_space)
        space.seed(seed)
        while True:
            yield space.sample()


def _follow(local: Env, remote: Env, actions: Iterator[Any], steps: int, where: str = "") -> None:
    """Assert that both take the same steps; episodes that end are reset."""
    for index in range(steps):
        action = next(actions)
        expected = local.step(copy.deepcopy(action))
        assert_identical(remote.step(action), expected, f"{where} step {index}")
        if expected[2] or expected[3]:
            assert_identical(remote.reset(), local.reset(), f"{where} reset after {index}")


def _modes(subject: Subject) -> list[str]:
    """The render modes that have a frame."""
    with closing(subject.local()) as env:
        return [mode for mode in env.metadata["render_modes"] if mode != "human"]


def closes_twice(subject: Subject) -> None:
    """`close` may be called again, before and after the first reset."""
    unused = subject.remote()
    unused.close()
    unused.close()
    used = subject.remote()
    used.reset(seed=0)
    used.close()
    used.close()


def is_closed_for_good(subject: Subject) -> None:
    """A closed environment raises; it does not begin another session."""
    env = subject.remote()
    env.reset(seed=0)
    env.close()
    _assert_raises(interop.InteropError, env.reset, "reset after close")


def stays_lost(subject: Subject) -> None:
    """A lost connection is an error of every later call, never a new episode in silence."""
    with closing(subject.remote()) as env:
        env.reset(seed=0)
        env.unwrapped.session._connection.abort()  # type: ignore[attr-defined]
        action = next(subject.actions(0))
        _assert_raises(interop.SessionLost, lambda: env.step(action), "step after the connection is gone")
        _assert_raises(interop.SessionLost, env.reset, "reset after the connection is gone")


def pickles(subject: Subject) -> None:
    """A pickled environment works, also one in the middle of an episode, and is what it was made as."""
    for mode in (None, *_modes(subject)[:1]):
        with closing(subject.remote(render_mode=mode)) as env:
            for when in ("unused", "in an episode"):
                with closing(pickle.loads(cloudpickle.dumps(env))) as again, closing(subject.local()) as local:
                    assert type(again) is type(env)
                    assert again.render_mode == mode, f"render_mode is {again.render_mode}, not {mode}"
                    assert again.spec == env.spec
                    assert_identical(again.reset(seed=4), local.reset(seed=4), when)
                    _follow(local, again, subject.actions(4), 10, when)
                env.reset(seed=1)
                env.step(next(subject.actions(1)))


def data_is_fresh(subject: Subject) -> None:
    """What a call returns is the caller's: it can be written to, and no later call changes it."""
    with closing(subject.remote()) as env:
        actions = subject.actions(2)
        results: list[Any] = [env.reset(seed=2)]
        copies = [copy.deepcopy(results[0])]
        for index in range(4):
            results.append(env.step(next(actions)) if index != 2 else env.reset())
            copies.append(copy.deepcopy(results[-1]))
        assert_identical(results, copies, "earlier results")
        arrays = [list(_arrays(result)) for result in results]
        assert all(array.flags.writeable for found in arrays for array in found), "an array is read-only"
        for left, right in ((l, r) for i, one in enumerate(arrays) for other in arrays[i + 1 :]
                            for l in one for r in other):  # fmt: skip  # noqa: E741
            assert not np.shares_memory(left, right), "two results share memory"


def sessions_are_apart(subject: Subject) -> None:
    """Two clients of one server have an environment each, whatever the other does."""
    with closing(subject.local()) as a, closing(subject.local()) as b:
        with closing(subject.remote()) as ours, closing(subject.remote()) as theirs:
            assert_identical(ours.reset(seed=1), a.reset(seed=1), "the first session")
            assert_identical(theirs.reset(seed=2), b.reset(seed=2), "the second session")
            one, two = subject.actions(1), subject.actions(2)
            for _ in range(8):
                _follow(a, ours, one, 1, "the first session")
                _follow(b, theirs, two, 2, "the second session")
            theirs.close()
            _follow(a, ours, one, 8, "the session that is left")


def has_random_numbers(subject: Subject) -> None:
    """`np_random` is the environment's own, seeded by `reset(seed=...)` as Gymnasium seeds it."""
    with closing(subject.remote()) as env:
        env.reset(seed=11)
        assert env.unwrapped._np_random is not None, "reset(seed=11) left np_random unset"
        assert env.np_random_seed == 11, f"np_random_seed is {env.np_random_seed}"
        expected = gymnasium.utils.seeding.np_random(11)[0]
        assert env.np_random.bit_generator.state == expected.bit_generator.state


def names_its_arguments(subject: Subject) -> None:
    """`reset` takes `seed` and `options` by these names, and `step` one action."""
    with closing(subject.remote()) as env:
        parameters = inspect.signature(env.reset).parameters
        assert {"seed", "options"} <= parameters.keys() or "kwargs" in parameters, f"reset takes {list(parameters)}"
        env.reset(seed=None, options={})
        env.reset(seed=3, options=None)


def leaves_arguments_alone(subject: Subject) -> None:
    """Actions and options that are handed in are not changed."""
    with closing(subject.remote()) as env:
        options = {"start": 0.5, "nested": {"values": [1, 2]}}
        before = copy.deepcopy(options)
        env.reset(seed=5, options=options)
        assert_identical(options, before, "options")
        for action, _ in zip(subject.actions(5), range(4), strict=False):
            before = copy.deepcopy(action)
            env.step(action)
            assert_identical(action, before, "action")


def refuses_actions_outside(subject: Subject) -> None:
    """An action outside the space is an error, and the episode goes on as if it had not been."""
    with closing(subject.local()) as local, closing(subject.remote()) as remote:
        assert_identical(remote.reset(seed=6), local.reset(seed=6), "reset")
        actions = subject.actions(6)
        _follow(local, remote, actions, 3)
        for _ in range(2):
            bad = subject.outside(next(actions))
            _assert_raises(interop.InteropError, lambda bad=bad: remote.step(bad), f"step({bad!r})")
            _follow(local, remote, actions, 4, "after a refused action:")


def passes_errors_on(subject: Subject) -> None:
    """What the environment raises is an error of that call alone; the next call works."""
    action = next(subject.actions(7))
    with closing(subject.local()) as local, closing(subject.remote()) as remote:
        expected = _assert_raises(Exception, lambda: local.step(action), "step before reset")
        actual = _assert_raises(interop.ExecutionError, lambda: remote.step(action), "step before reset")
        assert str(expected) in str(actual)
        assert_identical(remote.reset(seed=7), local.reset(seed=7), "reset after an error")
        if subject.failing is not None:
            expected = _assert_raises(Exception, lambda: local.reset(options=subject.failing), "a failing reset")
            actual = _assert_raises(
                interop.ExecutionError, lambda: remote.reset(options=subject.failing), "a failing reset"
            )
            assert str(expected) in str(actual)
            assert_identical(remote.reset(seed=8), local.reset(seed=8), "reset after a failing reset")
        _follow(local, remote, subject.actions(7), 8)


def renders(subject: Subject) -> None:
    """In each render mode, each frame is the local environment's, and rendering changes nothing."""
    for mode in _modes(subject):
        with closing(subject.local(render_mode=mode)) as local, closing(subject.remote(render_mode=mode)) as remote:
            assert remote.render_mode == mode
            assert_identical(remote.reset(seed=8), local.reset(seed=8), "reset")
            actions = subject.actions(8)
            for index in range(6):
                assert_identical(remote.render(), local.render(), f"{mode} frame {index}")
                _follow(local, remote, actions, 1, f"{mode} {index}")
            assert_identical(remote.render(), local.render(), f"{mode} frame 6")
            assert_identical(remote.render(), local.render(), f"{mode} frame 6 again")
    with closing(subject.remote()) as remote:
        remote.reset(seed=8)
        assert remote.render() is None, "there is a frame without a render mode"


def passes_check_env(subject: Subject) -> None:
    """Gymnasium's own `check_env` accepts it."""
    with closing(subject.remote()) as env, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped)


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        closes_twice,
        is_closed_for_good,
        stays_lost,
        pickles,
        data_is_fresh,
        sessions_are_apart,
        has_random_numbers,
        names_its_arguments,
        leaves_arguments_alone,
        refuses_actions_outside,
        passes_errors_on,
        renders,
        passes_check_env,
    )
}


def failure(check: Callable[[Subject], None], subject: Subject) -> str | None:
    """Why a subject fails a check; None if it passes."""
    try:
        check(subject)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def _assert_raises(kind: type[Exception], call: Callable[[], Any], what: str) -> Exception:
    try:
        result = call()
    except kind as exc:
        return exc
    raise AssertionError(f"{what} returned {result!r:.200} and should have raised {kind.__name__}")


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _arrays(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _arrays(item)
