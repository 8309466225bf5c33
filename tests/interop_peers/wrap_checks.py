"""Checks of `converters.openenv` that need openenv in the process: `python wrap_checks.py DIR` with a peer's Python.

`DIR` holds packages of `openenv init`: `alpha_env`, `beta_env` and `gamma_env`.
Prints one JSON object: what failed, by check.
"""

# ruff: noqa: PT017, PT018  (this runs where there is no pytest)

from __future__ import annotations

import json
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converters.openenv.wrap import wrap
from interop.errors import InvalidAction, SourceError

HERE = "wrap_environments"


def refused(target: str, *words: str, **options: str) -> None:
    try:
        wrap(target, **options).describe()
    except SourceError as exc:
        assert all(word in str(exc) for word in words), str(exc)
    else:
        raise AssertionError(f"{target} was accepted")


def check_packages_share_a_process(directory: Path) -> None:
    for name, message in (("alpha_env", "a"), ("beta_env", "bb")):
        source = wrap(str(directory / name))
        description = source.describe()
        assert (description.env_name, description.max_sessions) == (name, 1), description
        environment = source.create()
        environment.reset(episode_id="e")
        assert environment.step({"message": message}).observation["echoed_message"] == message
        assert environment.state() == {"episode_id": "e", "step_count": 1}
        environment.close()


def check_a_package_of_relative_imports(directory: Path) -> None:
    app = directory / "gamma_env/server/app.py"
    source = app.read_text().replace("from models import", "from no_such_module import")
    app.write_text(source)
    for _ in range(2):
        assert wrap(str(directory / "gamma_env")).describe().env_name == "gamma_env"


def check_a_package_that_fails_says_how(directory: Path) -> None:
    refused(str(directory), "openenv.yaml")
    broken = directory / "broken"
    (broken / "server").mkdir(parents=True)
    (broken / "openenv.yaml").write_text("name: broken\napp: server.app:app\n")
    (broken / "server/app.py").write_text("import no_such_module")
    refused(str(broken), "server.app is another package's")
    (broken / "__init__.py").touch()
    refused(str(broken), "broken.server.app", "No module named 'no_such_module'")
    (broken / "server/app.py").write_text("app = 1")
    refused(str(broken), "0 OpenEnv servers", "create_app")


def check_openenv_is_left_as_it_was(directory: Path) -> None:
    from openenv.core.env_server.http_server import HTTPEnvServer

    assert "watched" not in HTTPEnvServer.__init__.__code__.co_name
    assert "watched" not in HTTPEnvServer.register_routes.__code__.co_name


def check_annotations_name_the_classes(directory: Path) -> None:
    description = wrap(f"{HERE}:Annotated").describe()
    assert sys.modules[HERE].Annotated.built == 0, "describing built an environment"
    assert (description.env_name, description.max_sessions) == ("Annotated", 1)
    assert description.action["title"] == "Move"
    assert description.observation["title"] == "Place"
    assert description.reset_observation and description.reset_observation["title"] == "Start"
    assert description.description == "Annotated environment"


def check_options_reach_the_constructor(directory: Path) -> None:
    source = pickle.loads(pickle.dumps(wrap(f"{HERE}:Annotated", start="3", label="x")))  # as worker processes get it
    environment = source.create()
    assert environment.reset(unknown=1).observation == {"metadata": {}, "at": 3, "where": "x7"}
    assert environment.reset(seed=1).observation["where"] == "x1"


def check_an_action_is_refused_before_the_step(directory: Path) -> None:
    environment = wrap(f"{HERE}:Annotated").create()
    try:
        environment.step({"by": "far"})
    except InvalidAction as exc:
        assert exc.errors[0]["type"] == "int_parsing" and exc.errors[0]["loc"] == ["by"]
    else:
        raise AssertionError
    assert environment.state()["step_count"] == 0


def check_odd_answers(directory: Path) -> None:
    source = wrap(f"{HERE}:Odd")
    environment = source.create()
    try:
        environment.step({"by": 1})
    except AttributeError as exc:
        assert str(exc) == "'NoneType' object has no attribute 'model_dump'"
    assert environment.state() == {"plain": "dict"}
    tasks = source.tasks()
    assert tasks is not None and tasks.tasks("train") == [{"split": "train"}]
    for call, kind in ((lambda: tasks.task("train", 1), IndexError), (tasks.splits, NotImplementedError)):
        try:
            call()
        except kind:
            continue
        raise AssertionError(kind)


def check_async_methods_run_in_one_loop_of_the_session_thread(directory: Path) -> None:
    source = wrap(f"{HERE}:running_app")
    assert (source.describe().env_name, source.describe().max_sessions) == ("runs", 3)
    assert wrap(f"{HERE}:Running").describe().max_sessions is None
    seen: list[Any] = []

    def session() -> None:
        environment = source.create()
        seen.append(environment.reset().observation["where"])
        seen.append([environment.step({"by": 1}).observation[key] for key in ("at", "where")])
        environment.close()

    thread = threading.Thread(target=session, name="session")
    thread.start()
    thread.join()
    assert seen == ["session", [1, "session"]], seen


def check_tools_are_called_by_steps(directory: Path) -> None:
    environment = wrap(f"{HERE}:tools_app").create()
    environment.reset()
    (tool,) = environment.step({"type": "list_tools"}).observation["tools"]
    assert tool["name"] == "bump"
    for expected in (2, 4):
        call = {"type": "call_tool", "tool_name": "bump", "arguments": {"by": 2}}
        assert environment.step(call).observation["result"]["data"] == expected
    assert environment.state()["step_count"] == 4
    environment.close()


def check_refusals(directory: Path) -> None:
    refused(f"{HERE}:Bare", "action and observation", "Environment[MyAction")
    refused(f"{HERE}:Nothing", "has no attribute 'Nothing'")
    refused("no_such_module:Env", "No module named 'no_such_module'", "Accepted are")
    refused("neither", "module:Class")


if __name__ == "__main__":
    checks: dict[str, Callable[[Path], None]] = {
        name: function for name, function in list(globals().items()) if name.startswith("check_")
    }
    results: dict[str, str | None] = {}
    for name, check in checks.items():
        try:
            check(Path(sys.argv[1]))
            results[name] = None
        except BaseException:
            results[name] = traceback.format_exc()
    print(json.dumps(results))
