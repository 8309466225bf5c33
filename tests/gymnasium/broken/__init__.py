"""Bridges that are broken on purpose: they prove that each check of the oracle and of the contract can fail.

`python -m tests.gymnasium.broken` prints the kill table. Thirty of them are those of the survey that found which of
Gymnasium's own tests see them (`DESIGN.md`, reference); `roundtrip` and `contract` together must see all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.gymnasium.expose import OpenEnvEnv
from tests.gymnasium.broken import client as c
from tests.gymnasium.broken import server as s
from tests.gymnasium.broken.bridge import Bridge

__all__ = ["BRIDGES", "HEALTHY", "Bridge"]

HEALTHY = (
    Bridge("healthy, binary"),
    Bridge("healthy, JSON", binary=False),
)


def _flags(name: str, breaks: str, killed_by: tuple[str, ...], alter: Any) -> Bridge:
    return Bridge(
        name,
        breaks,
        killed_by,
        c.each_step(lambda o, r, terminated, truncated, i: (o, r, *alter(terminated, truncated), i)),
    )


def _reward(name: str, breaks: str, alter: Any) -> Bridge:
    killed_by = ("differential.reward",)
    return Bridge(name, breaks, killed_by, c.each_step(lambda o, r, a, b, i: (o, alter(r, a or b), a, b, i)))


def _obs(name: str, breaks: str, alter: Any, *killed_by: str) -> Bridge:
    return Bridge(name, breaks, killed_by or ("differential.obs",), c.each_value(obs=alter))


def _info(name: str, breaks: str, alter: Any) -> Bridge:
    return Bridge(name, breaks, ("differential.info",), c.each_value(info=alter))


def _space(name: str, breaks: str, alter: Any) -> Bridge:
    return Bridge(name, breaks, ("differential.spaces",), c.with_spaces(alter))


def _client(name: str, client: type[OpenEnvEnv], *killed_by: str) -> Bridge:
    return Bridge(name, (client.__doc__ or "").rstrip("."), killed_by, client)


def _server(name: str, server: Any, *killed_by: str, binary: bool = True) -> Bridge:
    return Bridge(name, (server.__doc__ or "").rstrip("."), killed_by, server=server, binary=binary)


def _document(name: str, breaks: str, killed_by: str, alter: Any) -> Bridge:
    return Bridge(name, breaks, (killed_by,), document=alter)


def _alter_space(place: int, **changes: Any) -> Any:
    def alter(document: dict[str, Any]) -> dict[str, Any]:
        space = document["observation_space"]
        pairs = [[key, {**inner, **changes} if index == place else inner]
                 for index, (key, inner) in enumerate(space["spaces"])]  # fmt: skip
        return {**document, "observation_space": {**space, "spaces": pairs}}

    return alter


def _without(name: str) -> Any:
    return lambda document: {**document, "metadata": {k: v for k, v in document["metadata"].items() if k != name}}


BRIDGES = (
    # Flags
    _flags("truncation lost", "truncated is always False", ("differential.truncated",), lambda a, b: (a, False)),
    _flags("flags swapped", "terminated is truncated", ("differential.terminated", "differential.truncated"),
           lambda a, b: (b, a)),
    _flags("done only", "terminated is done", ("differential.terminated",), lambda a, b: (a or b, False)),
    _flags("termination truncates", "both flags are done", ("differential.terminated",), lambda a, b: (a or b, a or b)),
    _flags("numpy bools", "flags are np.bool_", ("contract.passes_check_env", "differential.terminated"),
           lambda a, b: (np.bool_(a), np.bool_(b))),
    _flags("integer flags", "flags are 0 and 1", ("differential.truncated",), lambda a, b: (int(a), int(b))),
    # Observations
    _obs("six decimals", "observations are rounded to 6 decimals", c.leaves(c.rounded)),
    _obs("float64", "float32 comes back as float64", c.leaves(c.widened)),
    _obs("int64 via float", "integers past 2**53 are rounded", c.leaves(c.via_float)),
    _obs("negative zero", "-0.0 comes back as 0.0", c.leaves(c.without_negative_zero)),
    _obs("read-only arrays", "arrays are views of the message", c.leaves(c.read_only), "contract.data_is_fresh"),
    _obs("plain integers", "np.int64 comes back as int", c.plain_discrete),
    _obs("0-d for scalars", "np.int64 comes back as an array", c.scalar_as_array),
    _obs("scalars for 0-d", "an array of shape () comes back as a scalar", c.zero_dimensional_lost),
    _obs("transposed image", "height and width change places", c.transposed),
    _obs("sorted keys", "the observation's keys are sorted", c.sorted_keys),
    _client("stale observation", c.StaleObservation, "differential.obs"),
    _client("reused buffer", c.ReusedBuffer, "contract.data_is_fresh"),
    _client("reused image", c.SharedMemory, "contract.data_is_fresh"),
    # Rewards
    _reward("integer reward", "rewards are int", lambda r, done: int(r)),
    _reward("float reward", "rewards are float", lambda r, done: float(r)),
    _reward("np.float64 reward", "rewards are np.float64", lambda r, done: np.float64(r)),
    _reward("float32 reward", "rewards lose half their bits", lambda r, done: float(np.float32(r))),
    _reward("no terminal reward", "the last reward is 0", lambda r, done: 0.0 if done else r),
    _reward("reward lost", "the reward is missing", lambda r, done: None),
    _client("summed reward", c.SummedReward, "differential.reward"),
    _client("late reward", c.LateReward, "differential.reward"),
    # Infos
    _info("no info", "info is empty", lambda info: {}),
    _info("lists for arrays", "arrays in info come back as lists", c.leaves(c.lists_for_arrays)),
    _info("plain scalars", "NumPy scalars in info come back as Python's", c.leaves(c.plain_scalars)),
    _info("null for NaN", "NaN and the infinities in info come back as None", c.leaves(c.null_for_nan)),
    _info("lists for tuples", "tuples in info come back as lists", c.lists_for_tuples),
    _info("text keys", "keys in info come back as text", c.text_keys),
    _info("text for bytes", "bytes in info come back as text", c.leaves(c.text_for_bytes)),
    _info("big via float", "big integers in info are rounded", c.leaves(c.big_via_float)),
    _info("sorted info", "info's keys are sorted", c.sorted_keys),
    _client("no reset info", c.DropsResetInfo, "differential.resets"),
    # Resets
    _client("seed ignored", c.IgnoresSeed, "differential.resets"),
    _client("seeded always", c.SeedsAlways, "differential.resets"),
    _client("options dropped", c.DropsOptions, "differential.obs"),
    _client("no options", c.NoOptions, "contract.names_its_arguments", "differential.raises"),
    _client("no np_random", c.NoOwnRandomNumbers, "contract.has_random_numbers", "differential.rng"),
    _client("a session each reset", c.NewSessionEachReset, "differential.resets"),
    _server("an environment each reset", s.FreshEnvironment, "differential.resets"),
    _server("seed 0 for none", s.FillsDefaultSeed, "differential.resets"),
    # Actions
    Bridge("off by one", "discrete actions are one further", ("differential.obs",), c.each_action(c.off_by_one)),
    Bridge("rounded actions", "actions have two decimals", ("differential.obs",), c.each_action(c.rounded_action)),
    Bridge("swapped actions", "an action's elements change places", ("differential.obs",),
           c.each_action(c.swapped_action)),
    Bridge("clipped actions", "the client moves actions into the space", ("contract.refuses_actions_outside",),
           c.each_action(c.clipped)),
    Bridge("action changed in place", "the caller's action is written to", ("contract.leaves_arguments_alone",),
           c.each_action(c.clipped_in_place)),
    _server("server clips", s.ClipsActions, "contract.refuses_actions_outside"),
    _server("any action", s.TakesAnything, "contract.refuses_actions_outside"),
    _server("refused and taken", s.StepsBeforeItLooks, "contract.refuses_actions_outside"),
    _server("refused and reset", s.EndsOnRefusal, "contract.refuses_actions_outside"),
    _client("each step twice", c.Retries, "differential.obs"),
    # Errors
    _client("errors swallowed", c.SwallowsErrors, "contract.refuses_actions_outside"),
    _client("stale after an error", c.StaleAfterError, "contract.refuses_actions_outside"),
    _server("errors hidden", s.HidesErrors, "contract.passes_errors_on"),
    # Ends
    _client("client auto-reset", c.ResetsItself, "differential.obs"),
    _server("server auto-reset", s.AutoReset, "differential.obs"),
    _server("server auto-reset, a step later", s.NextStepAutoReset, "differential.obs"),
    _client("closes once", c.ClosesOnce, "contract.closes_twice"),
    _client("opens again", c.Reopens, "contract.is_closed_for_good"),
    _client("reconnects", c.Reconnects, "contract.stays_lost"),
    _client("not picklable", c.HoldsALock, "contract.pickles"),
    _client("pickle forgets", c.ForgetsRenderMode, "contract.pickles"),
    _client("shared session", c.SharesASession, "contract.sessions_are_apart"),
    Bridge("shared environment", "all sessions have one environment", ("contract.sessions_are_apart",), shared=True),
    # Rendering
    _client("stale frame", c.StaleFrame, "contract.renders"),
    _client("wide frame", c.WideFrame, "contract.renders"),
    _client("swapped colours", c.SwappedColours, "contract.renders"),
    _client("rendering steps", c.RendersAStep, "contract.renders"),
    _server("black frame", s.RendersNothing, "contract.renders"),
    # Spaces and what stands beside them
    _space("finite bounds", "infinite bounds come back as the largest float", c.finite),
    _space("int64 Discrete", "the dtype of Discrete is lost", c.int64_discrete),
    _space("Discrete from zero", "the start of Discrete is lost", c.from_zero),
    _space("rounded bounds", "bounds have four decimals", c.rounded_bounds),
    _space("sorted charset", "the characters of Text are sorted", c.sorted_charset),
    _client("sorted spaces", c.SortsSpaces, "differential.spaces"),
    _document("wrong shape", "the server says a Box of another size", "differential.spaces",
              _alter_space(6, shape=[4, 5, 4])),
    _document("too few", "the server says one element less", "differential.spaces", _alter_space(3, n=6)),
    _client("no metadata", c.NoMetadata, "differential.metadata"),
    _client("human offered", c.OffersHuman, "differential.metadata"),
    _document("no render_fps", "render_fps is lost", "differential.metadata", _without("render_fps")),
    _document("no spec", "the spec is lost", "differential.metadata", lambda document: {**document, "spec": None}),
    _document("wrong spec", "the time limit of the spec is lost", "differential.metadata",
              lambda document: {**document, "spec": {**document["spec"], "max_episode_steps": None}}),
    # JSON
    _server("JSON null", s.NullForNan, "differential.info", binary=False),
    _server("JSON without types", s.ForgetsTypes, "differential.info", binary=False),
    _server("JSON with six decimals", s.RoundsJson, "differential.obs", binary=False),
)  # fmt: skip
"""All of them, by what they break."""
