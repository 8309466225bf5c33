"""What users of Gymnasium expect of an environment, of one that is on a server."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, OneOf, Sequence, Tuple
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics, RenderCollection, TimeLimit

import interop
from converters.gymnasium.infer import MAX_TEXT, Labels, infer
from converters.gymnasium.spaces import UnicodeText
from tests.exact import assert_identical
from tests.gymnasium import contract, foreign
from tests.gymnasium.roundtrip import assert_same

TEXT = UnicodeText(MAX_TEXT)
INT64 = np.iinfo(np.int64)


@pytest.fixture(scope="module")
def cartpole() -> Iterator[str]:
    """A server of CartPole-v1."""
    with interop.serve("gym:CartPole-v1") as server:
        yield server.url


@pytest.fixture(params=[True, False], ids=["msgpack", "json"])
def binary(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def local_cartpole(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1", disable_env_checker=True, **kwargs)


def follow(local: Any, remote: Any, steps: int = 40, seed: int = 0, reset: bool = True) -> None:
    """Assert that two environments take the same steps, from a reset with a seed."""
    actions = copy.deepcopy(local.action_space)
    actions.seed(seed)
    if reset:
        assert_identical(remote.reset(seed=seed), local.reset(seed=seed), "reset")
    for index in range(steps):
        action = actions.sample()
        expected = local.step(action)
        assert_identical(remote.step(action), expected, f"step {index}")
        if expected[2] or expected[3]:
            assert_identical(remote.reset(), local.reset(), f"reset after {index}")


# Making


def run(code: str, *arguments: str) -> str:
    """The output of a program in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error::UserWarning"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("imports", ["import gymnasium", "import gymnasium, interop", "import interop, gymnasium"])
def test_gymnasium_makes_it_by_its_id(cartpole: str, imports: str) -> None:
    """`make` and `make_vec` know `interop:OpenEnv-v0`, whichever package is imported first, and warn of nothing."""
    code = f"""
import sys
{imports}
env = gymnasium.make("interop:OpenEnv-v0", url=sys.argv[1])
print(env.reset(seed=3)[0].tolist(), env.spec.id)
venv = gymnasium.make_vec("interop:OpenEnv-v0", num_envs=8, url=sys.argv[1])
print(venv.reset(seed=3)[0].shape, type(venv.unwrapped).__name__)
env.close(); venv.close()
"""
    with closing(local_cartpole()) as local:
        first = local.reset(seed=3)[0].tolist()
    assert run(code, cartpole).splitlines() == [f"{first} OpenEnv-v0", "(8, 4) OpenEnvVectorEnv"]


def test_importing_the_package_imports_no_ecosystem() -> None:
    """`import interop` imports neither Gymnasium nor NumPy."""
    code = "import interop, sys; print({name.partition('.')[0] for name in sys.modules} & {'gymnasium', 'numpy'})"
    assert run(code) == "set()"


def test_the_id_survives_a_spec_of_json(cartpole: str) -> None:
    """The spec of a made environment goes through JSON and makes it again."""
    with closing(gymnasium.make("interop:OpenEnv-v0", url=cartpole)) as made:
        assert made.spec is not None
        spec = gymnasium.envs.registration.EnvSpec.from_json(made.spec.to_json())
    with closing(gymnasium.make(spec)) as again, closing(local_cartpole()) as local:
        follow(local, again)


def test_a_registered_server_has_the_environments_own_spec(cartpole: str) -> None:
    """`register` gives a server an id with its environment's threshold and determinism; the id makes both kinds."""
    id = "interop-tests/Registered-v2"
    interop.register(cartpole, id=id)
    try:
        spec = gymnasium.spec(id)
        assert (spec.reward_threshold, spec.nondeterministic) == (475.0, False)
        assert spec.max_episode_steps is None  # the time limit is on the server
        with closing(gymnasium.make(id)) as remote, closing(local_cartpole()) as local:
            assert remote.unwrapped.remote_spec.max_episode_steps == 500  # type: ignore[attr-defined]
            follow(local, remote)
        with closing(gymnasium.make_vec(id, num_envs=3)) as vector:
            assert vector.reset(seed=0)[0].shape == (3, 4)
        with closing(gymnasium.make(id, render_mode="rgb_array_list")) as remote:
            remote.reset(seed=0)
            assert len(remote.render()) == 1  # type: ignore[arg-type]
    finally:
        del gymnasium.registry[id]


def test_it_serves_what_it_is_given() -> None:
    """`make` of a source has a server of its own, which ends with it and keeps it from being pickled."""
    env = interop.make("gym:CartPole-v1")
    with closing(local_cartpole()) as local:
        follow(local, env)
    with pytest.raises(TypeError, match="a server of its own cannot be pickled"):
        pickle.dumps(env)
    env.close()
    env.close()
    with pytest.raises(interop.ConnectError):
        interop.make(env.unwrapped.url)  # type: ignore[attr-defined]


def test_nothing_answers_there() -> None:
    """A URL without a server is a `ConnectError` that names it, at once."""
    with pytest.raises(interop.ConnectError, match=r"http://127\.0\.0\.1:9 does not describe itself"):
        interop.make("http://127.0.0.1:9")


# Rendering


@pytest.mark.parametrize("id", ["CartPole-v1", "FrozenLake-v1", "Taxi-v4"])
@pytest.mark.parametrize("mode", ["rgb_array", "ansi", "rgb_array_list", "ansi_list"])
def test_frames_are_the_local_ones(id: str, mode: str, binary: bool) -> None:
    """In each mode that an environment has, and in Gymnasium's lists of it, each frame is the local one."""
    with closing(gymnasium.make(id)) as env:
        if mode.removesuffix("_list") not in env.metadata["render_modes"]:
            with interop.serve(f"gym:{id}") as server, pytest.raises(ValueError, match="is not offered by"):
                interop.make(server.url, render_mode=mode.removesuffix("_list"))
            return
    with interop.serve(f"gym:{id}") as server:
        local = gymnasium.make(id, render_mode=mode)
        remote = gymnasium.make("interop:OpenEnv-v0", url=server.url, render_mode=mode, binary=binary)
        with closing(local), closing(remote):
            assert remote.render_mode == local.render_mode == mode
            for turn in range(2):
                follow(local, remote, 5, seed=turn)
                assert_identical(remote.render(), local.render(), f"turn {turn}")


@pytest.mark.parametrize("mode", ["depth_array", "rgbd_tuple"])
def test_depth_is_the_local_one(mode: str, binary: bool) -> None:
    """Depth images and pairs of image and depth arrive bit by bit."""
    id = "InvertedPendulum-v5"
    with closing(gymnasium.make(id, render_mode=mode)) as tried:
        try:
            tried.reset(seed=0)
            tried.render()
        except Exception as exc:
            pytest.skip(f"machine: no OpenGL without a screen ({exc})")
    with closing(gymnasium.make(id, render_mode=mode)) as local:
        with interop.serve(f"gym:{id}") as server:
            remote = gymnasium.make("interop:OpenEnv-v0", url=server.url, render_mode=mode, binary=binary)
            with closing(remote):
                follow(local, remote, 3)
                assert_identical(remote.render(), local.render())


def test_a_window_shows_the_local_picture(cartpole: str) -> None:
    """`human` opens a window here, with the frames of the server."""
    with closing(gymnasium.make("interop:OpenEnv-v0", url=cartpole, render_mode="human")) as remote:
        with closing(local_cartpole(render_mode="rgb_array")) as local:
            assert remote.render_mode == "human"
            follow(local, remote, 3)
            pygame = pytest.importorskip("pygame")
            shown = pygame.surfarray.array3d(remote.window)  # type: ignore[attr-defined]
            assert_identical(shown.transpose(1, 0, 2).copy(), local.render())


def test_an_unknown_render_mode_is_refused(cartpole: str) -> None:
    """A mode that the environment has not, and a window on the server, are refused with what is accepted."""
    for mode in ("human", "postcard"):
        with pytest.raises(ValueError, match=rf"'{mode}' is not offered by .*accepted are \['rgb_array'\]"):
            interop.make(cartpole, render_mode=mode)


# Wrappers


def test_statistics_are_the_local_ones(cartpole: str) -> None:
    """`RecordEpisodeStatistics` counts the same returns and lengths."""
    with closing(RecordEpisodeStatistics(interop.make(cartpole))) as remote:
        with closing(RecordEpisodeStatistics(local_cartpole())) as local:
            found = []
            for env in (remote, local):
                env.reset(seed=5)
                space = copy.deepcopy(local.action_space)
                space.seed(5)
                episodes: list[Any] = []
                while len(episodes) < 4:
                    *_, terminated, truncated, info = env.step(space.sample())
                    if terminated or truncated:
                        episodes.append((info["episode"]["r"], info["episode"]["l"]))
                        env.reset()
                found.append(episodes)
            assert_identical(*found)


def test_wrappers_see_what_they_see_locally(cartpole: str) -> None:
    """`TimeLimit` and `RenderCollection` around a remote environment do what they do around a local one."""

    def wrap(env: Any) -> Any:
        return RenderCollection(TimeLimit(env, 7))

    local, remote = (wrap(e) for e in (local_cartpole(render_mode="rgb_array"),
                                       interop.make(cartpole, render_mode="rgb_array")))  # fmt: skip
    with closing(local), closing(remote):
        follow(local, remote, 6)
        assert_identical(remote.render(), local.render())
        assert_identical(remote.step(0), local.step(0))
        assert remote.unwrapped.metadata["render_fps"] == 50


# Resetting and stepping


def test_options_arrive(cartpole: str, binary: bool) -> None:
    """`reset(options=...)` goes to the environment; none and empty ones too."""
    with closing(local_cartpole()) as local, closing(interop.make(cartpole, binary=binary)) as remote:
        for options in ({"low": -0.01, "high": 0.01}, {}, None, {"low": np.float64(0.1), "high": 0.2}):
            assert_identical(remote.reset(seed=2, options=options), local.reset(seed=2, options=options))
        with pytest.raises(interop.ExecutionError, match="low"):
            remote.reset(options={"low": 3.0, "high": -3.0})
        follow(local, remote)


OUTSIDE = {
    "CartPole-v1": [7, -1, "left", 1.5, None, np.array([1]), 2**70, [1], {"a": 1}],
    "Pendulum-v1": [
        np.array([3.0], np.float32),
        np.array([np.nan], np.float32),
        np.array([1.0, 1.0], np.float32),
        0.5,
        {"a": 1},
        "left",
    ],
}


@pytest.mark.parametrize("id", OUTSIDE)
def test_an_action_outside_the_space_is_refused(id: str, binary: bool) -> None:
    """The error names the place, the value and the space, and the episode goes on untouched."""
    with interop.serve(f"gym:{id}") as server, closing(gymnasium.make(id, disable_env_checker=True)) as local:
        with closing(interop.make(server.url, binary=binary)) as remote:
            follow(local, remote, 5)
            for action in OUTSIDE[id]:
                assert not local.action_space.contains(action)
                with pytest.raises(interop.InteropError) as refused:
                    remote.step(action)
                text = str(refused.value)
                assert "action" in text
                assert str(local.action_space) in text
                shown = action.tolist() if isinstance(action, np.ndarray) else action
                assert str(shown) in text
                follow(local, remote, 2, reset=False)


def test_what_the_space_accepts_is_accepted(cartpole: str, binary: bool) -> None:
    """Every form of an action that the local space contains is taken as the local environment takes it."""
    with closing(local_cartpole()) as local, closing(interop.make(cartpole, binary=binary)) as remote:
        follow(local, remote, 0)
        for action in (1, np.int64(0), np.int8(1), np.uint8(0), np.array(1)):
            assert local.action_space.contains(action)
            assert_identical(remote.step(action), local.step(action), repr(action))


@pytest.mark.parametrize("name", contract.CHECKS)
def test_the_contract_is_kept(cartpole: str, binary: bool, name: str) -> None:
    """Each check of the contract passes on an environment of Gymnasium's own."""
    contract.CHECKS[name](
        contract.Subject(
            local_cartpole,
            lambda **kwargs: interop.make(cartpole, binary=binary, **kwargs),
            outside=lambda action: action + 5,
        )
    )


# Lives


def test_a_pickle_is_an_environment_of_its_own(cartpole: str) -> None:
    """`pickle` and `deepcopy` in the middle of an episode make an environment with a session of its own."""
    with closing(gymnasium.make("interop:OpenEnv-v0", url=cartpole, render_mode="rgb_array")) as env:
        with closing(local_cartpole()) as local, closing(local_cartpole()) as other:
            follow(local, env, 7)
            for copied in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
                with closing(copied):
                    assert copied.spec == env.spec
                    assert copied.render_mode == "rgb_array"
                    follow(other, copied, 9, seed=8)
                    assert copied.render().shape == (400, 600, 3)
                    follow(local, env, 3, reset=False)


def test_workers_have_sessions_of_their_own(cartpole: str) -> None:
    """`AsyncVectorEnv` of remote environments is the vector of local ones."""
    remote = gymnasium.vector.AsyncVectorEnv([lambda: interop.make(cartpole)] * 3)
    local = gymnasium.vector.SyncVectorEnv([local_cartpole] * 3)
    with closing(remote), closing(local):
        local.action_space.seed(1)
        assert_identical(remote.reset(seed=[1, 2, 3]), local.reset(seed=[1, 2, 3]))
        for index in range(40):
            actions = local.action_space.sample()
            assert_identical(remote.step(actions), local.step(actions), f"step {index}")


def test_a_server_that_stops_is_a_session_lost() -> None:
    """When the server stops, each later call says that the session is lost."""
    with interop.serve("gym:CartPole-v1") as server:
        env = interop.make(server.url)
        env.reset(seed=0)
    with closing(env):
        for call in (lambda: env.step(0), env.reset):
            with pytest.raises(interop.SessionLost):
                call()


def test_a_closed_environment_says_so(cartpole: str) -> None:
    """After `close` a call raises and says what to do."""
    env = interop.make(cartpole)
    env.reset()
    env.close()
    with pytest.raises(interop.InteropError, match="the environment was closed; make a new one"):
        env.step(0)


# Servers that know nothing of Gymnasium


def array(items: Mapping[str, Any], length: int | None = None) -> dict[str, Any]:
    counts = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **counts}


NULL = {"type": "null"}
INFERRED = [
    # schema, space, JSON value, the space's value
    ({"type": "string"}, TEXT, "a\u2028é", "a\u2028é"),
    ({"type": "string", "minLength": 1, "maxLength": 4}, UnicodeText(4, min_length=1), "abc", "abc"),
    ({"enum": ["a", 2, None]}, Discrete(3), 2, np.int64(1)),
    ({"const": "only"}, Discrete(1), "only", np.int64(0)),
    ({"type": "boolean"}, Discrete(2), True, np.int64(1)),
    ({"type": "integer", "minimum": -2, "maximum": 3}, Discrete(6, start=-2), 3, np.int64(3)),
    ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 4}, Discrete(3, start=1), 3, np.int64(3)),
    ({"type": "integer"}, Box(INT64.min, INT64.max, (), np.int64), -(2**62), np.array(-(2**62))),
    ({"type": "integer", "minimum": 0}, Box(0, INT64.max, (), np.int64), 5, np.array(5)),
    ({"type": "number"}, Box(-np.inf, np.inf, (), np.float64), 0.1, np.array(0.1)),
    ({"type": "number", "minimum": 0, "maximum": 1}, Box(0, 1, (), np.float64), 0.5, np.array(0.5)),
    (array({"type": "number"}, 2), Box(-np.inf, np.inf, (2,), np.float64), [1.0, 0.1], np.array([1.0, 0.1])),
    (array(array({"type": "integer", "minimum": 1}, 2), 1), Box(1, INT64.max, (1, 2), np.int64), [[1, 2]],
     np.array([[1, 2]])),
    ({"type": "integer", "minimum": 0, "maximum": 2**70}, Box(0, INT64.max, (), np.int64), 5, np.array(5)),
    (array({"type": "boolean"}, 2), Tuple([Discrete(2)] * 2), [True, False], (np.int64(1), np.int64(0))),
    (array({"enum": ["a", "b"]}, 2), Tuple([Discrete(2)] * 2), ["b", "a"], (np.int64(1), np.int64(0))),
    (array({"type": "string"}), Sequence(TEXT), ["a", "b"], ("a", "b")),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]}, Tuple([TEXT, Discrete(2)]),
     ["a", True], ("a", np.int64(1))),
    ({"anyOf": [{"type": "string"}, NULL]}, OneOf([Discrete(1), TEXT]), None, (np.int64(0), np.int64(0))),
    ({"anyOf": [{"type": "string"}, NULL]}, OneOf([Discrete(1), TEXT]), "a", (np.int64(1), "a")),
    ({"type": ["string", "null"]}, OneOf([Discrete(1), TEXT]), "a", (np.int64(1), "a")),
    (foreign.schema({"x": {"type": "boolean"}}), Dict({"x": Discrete(2)}), {"x": True}, {"x": np.int64(1)}),
    ({"type": "object", "additionalProperties": True}, TEXT, {"x": [1]}, '{"x": [1]}'),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, TEXT, 3, "3"),
    ({}, TEXT, [None], "[null]"),
    ({"$ref": "#/$defs/Side"}, Discrete(2), "r", np.int64(1)),
    ({"allOf": [{"$ref": "#/$defs/Side"}]}, Discrete(2), "l", np.int64(0)),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "space", "plain", "value"), INFERRED)
def test_spaces_are_inferred(schema: Any, space: Any, plain: Any, value: Any) -> None:
    """The table of inference, there and back; what is decoded is in the space."""
    defs = {"$defs": {"Side": {"enum": ["l", "r"]}}}
    document = {
        "action": foreign.schema({"field": schema}, **defs),
        "observation": foreign.schema({"field": schema}, **defs),
    }
    inferred = infer(document)
    assert space == inferred.observation_space or isinstance(inferred.observation_space, Labels)
    assert getattr(inferred.observation_space, "n", None) == getattr(space, "n", None)
    assert inferred.action_space == inferred.observation_space
    decoded = inferred.decode_observation({"field": plain})
    assert_identical(decoded, value)
    assert inferred.observation_space.contains(decoded)
    assert inferred.encode_action(decoded) == {"field": plain}
    sample = inferred.action_space.sample()
    assert inferred.action_space.contains(sample)


def test_a_text_that_is_no_json_is_itself() -> None:
    """Where a field may be several things its action is JSON as text, or else the text: samples can be sent too."""
    several = {"anyOf": [{"type": "string"}, {"type": "number"}, NULL]}
    inferred = infer({"action": foreign.schema({"content": several}), "observation": foreign.schema({})})
    for text, sent in (("42", 42), ("null", None), ('"42"', "42"), ("left\n", "left\n"), ('"left\n"', '"left\n"')):
        assert inferred.encode_action(text) == {"content": sent}
    inferred.encode_action(inferred.action_space.sample())


def test_an_action_of_several_forms_is_json() -> None:
    """No space has objects of different fields: the action is its JSON, and a text that is none is an error."""
    forms = [{"type": "object", "properties": {name: {"type": "string"}}, "required": [name]} for name in ("a", "b")]
    for key in ("oneOf", "anyOf"):
        inferred = infer({"action": {key: forms}, "observation": foreign.schema({})})
        assert isinstance(inferred.action_space, UnicodeText)
        assert inferred.encode_action('{"a": "x"}') == {"a": "x"}
        for text in ("look", "[1]"):
            with pytest.raises(interop.CannotCarry, match="one of several objects; write it as JSON"):
                inferred.encode_action(text)


def test_a_field_that_may_be_missing() -> None:
    """A missing field is its default, else nothing; a missing required one is an error that names it."""
    number = {"type": "integer", "minimum": 0, "maximum": 9}
    observation = foreign.schema(
        {"must": number, "may": number, "preset": {**number, "default": 4}, "none": {"anyOf": [number, NULL]}}, ["must"]
    )
    inferred = infer({"action": foreign.schema({}), "observation": observation})
    nothing = (np.int64(0), np.int64(0))
    expected = {"must": np.int64(1), "may": nothing, "preset": np.int64(4), "none": nothing}
    assert_identical(inferred.decode_observation({"must": 1}), expected)
    assert inferred.observation_space.contains(inferred.decode_observation({"must": 1, "may": 2}))
    with pytest.raises(interop.ProtocolError, match="no field 'must', which the server's schema requires"):
        inferred.decode_observation({"may": 1})


@pytest.mark.parametrize("description", [foreign.ECHO, foreign.MAZE, foreign.AIM], ids=lambda d: d.name)
def test_check_env_passes_on_inferred_spaces(description: interop.Description, binary: bool) -> None:
    """Gymnasium's `check_env` accepts an environment whose spaces are inferred; observations are in their space."""
    with foreign.serve(description) as server, closing(interop.make(server.url, binary=binary)) as env:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(env)
        assert env.metadata["render_modes"] == []
        assert env.unwrapped.remote_spec is None  # type: ignore[attr-defined]
        env.action_space.seed(0)
        obs, _ = env.reset(seed=0)
        for _ in range(20):
            assert env.observation_space.contains(obs)
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                obs, _ = env.reset()


def test_words_are_indices_and_ends_are_told_apart(binary: bool) -> None:
    """An enum is `Labels`, an index outside is refused, and an end's reason is read where servers write it."""
    with foreign.serve(foreign.MAZE) as server, closing(interop.make(server.url, binary=binary)) as env:
        assert isinstance(env.action_space, Labels)
        assert env.action_space.labels == ["left", "right", "stay"]
        env.reset(seed=0)
        for index in (-1, 3, "left"):
            with pytest.raises(interop.CannotCarry, match=r"it is not in Labels.*Take an index from 0 to 2"):
                env.step(index)
        env.step(np.int64(0))
        env.reset(seed=0)
        results = [env.step(2) for _ in range(4)]
        assert_identical([result[2:4] for result in results], [(False, False)] * 3 + [(True, False)])
        env.reset(seed=0)
        results = [env.step(1) for _ in range(6)]
        assert_identical(results[-1][2:], (False, True, {"metadata": {"TimeLimit.truncated": True}}))
        assert_identical(results[0][0]["hint"], (np.int64(1), "go on"))
        assert_identical(results[1][0]["hint"], (np.int64(0), np.int64(0)))


def test_an_end_without_a_reason_says_so(binary: bool) -> None:
    """`done` alone is terminated, with a note that nobody knows; a missing reward is 0.0, with a note."""
    with foreign.serve(foreign.ECHO) as server, closing(interop.make(server.url, binary=binary)) as env:
        assert_identical(env.reset(options={"greeting": "hi"})[0], "hi")
        assert_identical(env.step("héllo\u2028"), ("héllo\u2028", 6, False, False, {}))
        assert_identical(env.step(""), ("", 0.0, False, False, {"openenv.reward": "none"}))
        env.step("x")
        assert_identical(env.step("x"), ("x", 1, True, False, {"openenv.truncation": "unknown"}))


def test_everything_can_be_overridden(binary: bool) -> None:
    """Own spaces, an own action encoder and an own observation decoder take the place of what is inferred."""
    with foreign.serve(foreign.ECHO) as server:
        env = interop.make(
            server.url,
            binary=binary,
            spaces=(Box(0, 99, (1,), np.float32), Discrete(5)),
            encode_action=lambda action: {"message": "x" * int(action)},
            decode_observation=lambda observation: np.array([len(observation["echoed"])], np.float32),
        )
        with closing(env):
            assert_identical(env.reset()[0], np.array([5], np.float32))
            assert_identical(env.step(3)[:2], (np.array([3], np.float32), 3))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check_env(env)


def test_one_space_alone_can_be_overridden() -> None:
    """Where one of the two spaces is None, the inferred one stays."""
    with foreign.serve(foreign.MAZE) as server, closing(interop.make(server.url, spaces=(None, Discrete(3)))) as env:
        assert env.action_space == Discrete(3)
        assert isinstance(env.observation_space, Dict)


def test_text_in_and_text_out(binary: bool) -> None:
    """In text mode the one text field is the observation; an action fills the one required field, or is JSON."""
    with foreign.serve(foreign.ECHO) as server, closing(interop.make(server.url, text=True, binary=binary)) as env:
        assert env.observation_space == env.action_space == TEXT
        assert env.reset()[0] == "ready"
        assert env.step("say it")[0] == "say it"
    with foreign.serve(foreign.MAZE) as server, closing(interop.make(server.url, text=True, binary=binary)) as env:
        assert env.reset(seed=0)[0].startswith('{"place": [0.0, ')
        assert env.step("left")[0].startswith('{"place": [-1.0, ')
    with foreign.serve(foreign.AIM) as server, closing(interop.make(server.url, text=True, binary=binary)) as env:
        env.reset()
        with pytest.raises(interop.CannotCarry, match=r"not JSON .*fields cell, force, tag, vector, sure; write them"):
            env.step("fire")
        with pytest.raises(interop.CannotCarry, match="not a JSON object"):
            env.step("[1]")
        assert '"cell": 3' in env.step('{"cell": 3}')[0]


def test_text_mode_of_an_exact_server(cartpole: str) -> None:
    """Text mode works with a server of Gymnasium environments too: numbers are read from the text."""
    with closing(interop.make(cartpole, text=True, binary=False)) as env:
        obs, _ = env.reset(seed=0)
        assert '"obs": [' in obs
        obs, reward, terminated, truncated, _ = env.step("1")
        assert (reward, terminated, truncated) == (1.0, False, False)


def test_several_fields_make_a_dict(binary: bool) -> None:
    """An action of several required fields is a Dict, and arrives as the object that the schema describes."""
    with foreign.serve(foreign.AIM) as server, closing(interop.make(server.url, binary=binary)) as env:
        env.reset()
        action = {
            "cell": np.int64(7),
            "force": np.array(0.5),
            "tag": (np.int64(0), np.int64(0)),
            "vector": np.array([0.0, 1.0]),
            "sure": np.int64(0),
        }
        assert env.action_space.contains(action)
        expected = '{"cell": 7, "force": 0.5, "tag": null, "vector": [0.0, 1.0], "sure": false}'
        assert env.step(action)[0] == expected


def test_a_served_instance_is_the_instance() -> None:
    """An environment that exists is served as it is, to one session at a time, and outlives it."""
    env = local_cartpole()
    with interop.serve(env) as server, closing(local_cartpole()) as local:
        with closing(interop.make(server.url)) as remote:
            assert_same(local, remote, steps=30)
            with closing(interop.make(server.url)) as second, pytest.raises(interop.CapacityReached):
                second.reset()
    env.reset(seed=0)
    env.close()
