"""The HTTP routes of a wrapped Gymnasium environment."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

import interop
from interop.server.settings import Settings


@pytest.fixture(scope="module", params=["thread", "process"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """An HTTP client of a FrozenLake server."""
    with interop.serve("gym:FrozenLake-v1", isolation=request.param) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            yield client


def test_reset_and_step_are_stateless(client: httpx.Client) -> None:
    """Each request has an environment of its own, which is gone with it."""
    reset = client.post("/reset", json={"seed": 3})
    assert reset.status_code == 200
    assert reset.json() == {
        "observation": {
            "metadata": {},
            "obs": 0,
            "terminated": False,
            "truncated": False,
            "info": {"prob": 1},
            "types": {"/obs": "int"},
        },
        "reward": None,
        "done": False,
        "metadata": None,
    }
    assert client.get("/state").json() == {"episode_id": None, "step_count": 0}
    # Gymnasium's own order of calls holds: a fresh environment has not been reset.
    assert client.post("/step", json={"action": {"action": 1}}).status_code == 500


def test_an_action_outside_the_space_is_422(client: httpx.Client) -> None:
    """A wrong action is refused with the space, the value and the place."""
    reply = client.post("/step", json={"action": {"action": 9}})
    assert reply.status_code == 422
    (error,) = reply.json()["detail"]
    assert error["loc"] == ["action"]
    assert error["input"] == 9
    assert "Discrete(4)" in error["msg"]


def test_the_openapi_document_is_of_this_environment(client: httpx.Client) -> None:
    """The document names the environment's own action, observation and state."""
    document = client.get("/openapi.json").json()
    assert isinstance(document["info"]["version"], str)
    body = document["paths"]["/step"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["action"]["properties"]["action"]["maximum"] == 3
    reply = document["paths"]["/step"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "obs" in reply["properties"]["observation"]["properties"]
    assert {"/ws", "/mcp"} & document["paths"].keys() == {"/mcp"}


def test_the_gymnasium_document_has_what_the_protocol_lacks(client: httpx.Client) -> None:
    """Spaces, spec, codecs and limits are at /gymnasium, and the spaces in the state schema too."""
    document = client.get("/gymnasium").json()
    assert document["format"] == "gymnasium-space/1"
    assert document["spec"]["id"] == "FrozenLake-v1"
    assert document["codecs"] == ["json", "interop.msgpack.v1"]
    assert document["limits"]["max_sessions"] == 64
    schema = client.get("/schema").json()
    assert schema["state"]["x-gymnasium-space"]["action_space"] == document["action_space"]
    assert schema["action"]["required"] == ["action"]


def test_an_environment_without_tasks_says_so(client: httpx.Client) -> None:
    """The Task API answers 501 where there are no tasks, and knows its own name in any case."""
    assert client.get("/list_environments").json() == ["FrozenLake-v1"]
    assert client.get("/frozenlake-V1/splits").status_code == 501
    assert client.get("/other/splits").status_code == 404


@pytest.mark.parametrize("name", ["ALE/Pong-v5", "ALE%2FPong-v5", "ale/pong-V5"])
def test_a_name_may_have_a_slash(name: str) -> None:
    """The Task API of a namespaced environment is reached by its name, as it is and quoted."""
    with interop.serve("gym:ale_py:ALE/Pong-v5") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/list_environments").json() == ["ALE/Pong-v5"]
        assert client.get(f"/{name}/splits").status_code == 501
        assert client.post(f"/{name}/task", json={"split": "train", "index": 0}).status_code == 501
        assert client.get("/ALE/Pong/splits").status_code == 404


def test_production_mode_has_no_control_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production mode reset, step and state are not there; the variable OPENENV_MODE says it too."""
    monkeypatch.setenv("OPENENV_MODE", "Production")
    with interop.serve("gym:FrozenLake-v1") as server:
        for method, path in (("POST", "/reset"), ("POST", "/step"), ("GET", "/state")):
            assert httpx.request(method, server.url + path).status_code == 404
        with interop.connect(server.url) as session:
            session.reset()
    monkeypatch.setenv("OPENENV_MODE", "neither")
    with pytest.raises(ValueError, match="simulation and production"):
        Settings()


def test_sources_that_are_none_are_refused() -> None:
    """Each wrong source says what is accepted."""
    for source, text in (
        ("CartPole-v1", "CONVERTER:TARGET"),
        ("nothing:x", "installed are gym:, harbor:, openenv:"),
        ("gym:NoSuch-v1", r"NoSuch.*gym:MODULE:NoSuch-v1"),
        ("gym:no_such_module:X-v0", "no_such_module"),
        ("gym:", "names nothing"),
        ("gym:CartPole-v1?x", "key=value"),
        ("gym:CartPole-v1?no_such_argument=1", "no_such_argument"),
        ("http://127.0.0.1:1", "a server already"),
        ("openenv:x:Y", "pip install openenv"),
        (3, "cannot be served"),
    ):
        with pytest.raises(interop.SourceError, match=text):
            interop.serve(source)
