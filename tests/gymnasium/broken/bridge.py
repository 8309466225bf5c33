"""A bridge from the probe to a remote environment: the server's half, the client's half, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium

import interop
from converters.gymnasium.expose import OpenEnvEnv
from converters.gymnasium.wrap import GymnasiumEnvironment, GymnasiumSource
from tests.gymnasium import contract, roundtrip
from tests.gymnasium.broken import probe

STEPS = 60
SEED = 3

Document = dict[str, Any]


def make_probe(render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(probe.ID, disable_env_checker=True, render_mode=render_mode)


def outside(action: Mapping[str, Any]) -> dict[str, Any]:
    """An action of the probe that is not in its space."""
    return {"turn": action["turn"], "push": action["push"] * 0 + 2}


@dataclass(frozen=True)
class Bridge:
    """One bridge.

    Attributes:
        name: Its name in the kill table.
        breaks: What is wrong with it, in a few words; nothing for a healthy one.
        killed_by: The checks that must see it, one at least: `contract.NAME` or `differential.KIND`.
        client: Builds the Gymnasium environment of a URL.
        server: The environment of a session.
        document: Alters the body of `GET /gymnasium`.
        shared: Whether all sessions have one environment.
        binary: Whether the client offers the binary codec.
    """

    name: str
    breaks: str = ""
    killed_by: tuple[str, ...] = ()
    client: Callable[..., gymnasium.Env[Any, Any]] = OpenEnvEnv
    server: Callable[..., GymnasiumEnvironment] = GymnasiumEnvironment
    document: Callable[[Document], Document] | None = None
    shared: bool = False
    binary: bool = True

    @contextmanager
    def serve(self) -> Iterator[contract.Subject]:
        """Serve the probe over this bridge."""
        with interop.serve(_Source(self)) as server:

            def remote(render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
                return self.client(server.url, render_mode=render_mode, binary=self.binary)

            yield contract.Subject(make_probe, remote, outside, failing={"fail": True})


class _Source(GymnasiumSource):
    def __init__(self, bridge: Bridge) -> None:
        super().__init__(make_probe, name=probe.ID)
        self._bridge = bridge
        self._first: Any = None

    def describe(self) -> interop.Description:
        description = super().describe()
        if self._bridge.document is None:
            return description
        document = self._bridge.document({**description.extensions["gymnasium"]})
        return dataclasses.replace(description, extensions={"gymnasium": document})

    def create(self) -> interop.Environment:
        if self._first is None or not self._bridge.shared:
            self._first = self._bridge.server(self._make, None, close=not self._bridge.shared)
        return self._first


def judge(bridge: Bridge, only: Collection[str] | None = None) -> dict[str, str]:
    """The checks that a bridge fails, by id, with what each has seen.

    Args:
        bridge: What is judged.
        only: The ids of the checks to run; all where there are none.
    """
    failures: dict[str, str] = {}
    with bridge.serve() as subject:
        for name, check in contract.CHECKS.items():
            if only is None or f"contract.{name}" in only:
                why = contract.failure(check, subject)
                if why is not None:
                    failures[f"contract.{name}"] = why
        if only is None or any(name.startswith("differential.") for name in only):
            failures |= _compare(subject)
    return failures


def _compare(subject: contract.Subject) -> dict[str, str]:
    with closing(subject.local()) as local:
        try:
            remote = subject.remote()
        except Exception as exc:
            return {"differential.raises": f"{type(exc).__name__}: {exc}"}
        with closing(remote):
            found = roundtrip.compare(local, remote, steps=STEPS, seed=SEED, options=probe.OPTIONS)
    if not found.differences:
        # A comparison that has not seen both ends has proved too little.
        assert found.steps == STEPS
        assert found.terminations
        assert found.truncations
    return {"differential." + text.split(" ", 1)[0]: text for text in reversed(found.differences)}
