"""The contract of harbor's environments, asked of the namespace sandbox by an interpreter with harbor; says `fine`.

python namespace_trials.py DIRECTORY
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HARBOR_TELEMETRY", "0")

from harbor.environments.base import SandboxBuildFailedError
from harbor.models.task.config import EnvironmentConfig, NetworkMode, NetworkPolicy
from harbor.models.trial.paths import TrialPaths

from converters.harbor import NamespaceEnvironment

ROOT = Path(sys.argv[1])
DOCKERFILE = """FROM debian:12
ENV IMAGE=image BOTH=image
RUN useradd --create-home agent
WORKDIR /work-here
COPY data.txt .
"""


class Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def environment(config: Mapping[str, Any], dockerfile: str = DOCKERFILE, **kwargs: Any) -> NamespaceEnvironment:
    directory = ROOT / f"environment-{len(list(ROOT.iterdir()))}"
    directory.mkdir()
    (directory / "Dockerfile").write_text(dockerfile)
    (directory / "data.txt").write_text("data")
    return NamespaceEnvironment(
        environment_dir=directory,
        environment_name="contract",
        session_id="contract__1__env",
        trial_paths=TrialPaths(trial_dir=ROOT),
        task_env_config=EnvironmentConfig.model_validate(config),
        logger=logging.getLogger("contract"),
        **kwargs,
    )


@contextmanager
def raises(kind: type[Exception], *words: str) -> Iterator[None]:
    """An error of exactly that kind or a narrower one that is no timeout, with these words."""
    try:
        yield
    except kind as exc:
        if isinstance(exc, TimeoutError) or not all(word in str(exc) for word in words):
            raise
        return
    raise AssertionError(f"no {kind.__name__} with {words}")


async def commands() -> None:
    env = environment({"env": {"TASK": "task", "BOTH": "task"}, "memory_mb": 256, "cpus": 1, "storage_mb": 128})
    await env.start(force_build=False)
    done = await env.exec("echo $IMAGE $BOTH $TASK $OWN; pwd; id -un; cat data.txt", env={"OWN": "own"})
    assert done.stdout == "image task task own\n/work-here\nroot\ndata", done
    with env.with_default_user("agent"), env.scoped_exec_env({"OWN": "scoped"}):
        done = await env.exec("id -un; echo $OWN; echo wrong >&2; exit 3", env={"OWN": "own"}, cwd="/tmp")
        assert (done.stdout, done.stderr, done.return_code) == ("agent\nscoped\n", "wrong\n", 3), done
    assert (await env.exec("id -u", user=4242)).stdout == "4242\n"
    with raises(RuntimeError, "Command timed out after 1 seconds"):
        await env.exec("sleep 615", timeout_sec=1)
    task = asyncio.create_task(env.exec("sleep 615"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert (await env.exec("pgrep -f 'sleep [6]15'")).return_code == 1
    await files(env)
    await env.stop(delete=True)
    with raises(RuntimeError, "not running"):
        await env.exec("true")


async def files(env: NamespaceEnvironment) -> None:
    source, back = ROOT / "up", ROOT / "back"
    source.mkdir()
    (source / "f").write_text("f")
    await env.upload_dir(source, "/tests")
    await env.upload_file(source / "f", "/tests/g")
    await env.upload_file(source / "f", "/opt")
    assert (await env.exec("cat /tests/f /tests/g /opt/f; ls -ld /logs/agent | cut -c1-10")).stdout == "fffdrwxrwxrwx\n"
    await env.exec("ln -s /etc/shadow /tests/out")
    await env.download_dir("/tests", back)
    assert sorted(path.name for path in back.iterdir()) == ["f", "g"]
    assert any("left out './out'" in line.replace("././", "./") for line in told.lines), told.lines
    await env.download_dir_with_exclusions(source_dir="/tests", target_dir=ROOT / "some", exclude=["g", "out"])
    assert [path.name for path in (ROOT / "some").iterdir()] == ["f"]
    await env.download_file("/tests/f", ROOT / "one")
    assert (ROOT / "one").read_text() == "f"
    assert await env.is_dir("/tests")
    assert not await env.is_file("/tests")


async def network() -> None:
    silent = environment({})
    assert not silent._public
    assert silent.capabilities.disable_internet
    await silent.set_network_policy(NetworkPolicy(network_mode=NetworkMode.NO_NETWORK))
    assert environment({"network_mode": "public"})._public
    assert environment({"allow_internet": True})._public
    assert environment({}, network="public")._public
    assert not environment({"network_mode": "public"}, network="isolated")._public
    closed = NetworkPolicy(network_mode=NetworkMode.NO_NETWORK)
    shut = environment({"network_mode": "no-network"}, network_policy=closed)
    with raises(ValueError, "network_mode = 'public'"):
        await shut.set_network_policy(NetworkPolicy())
    some = NetworkPolicy(network_mode=NetworkMode.ALLOWLIST, allowed_hosts=["pypi.org"])
    with raises(ValueError, "allowlist", "needs Docker"):
        environment({}, network_policy=some)
    with raises(ValueError, "public and isolated"):
        environment({}, network="host")


async def definitions() -> None:
    with raises(ValueError, "needs Docker because line 2"):
        environment({}, "FROM a\nCOPY --from=b x y")
    with raises(ValueError, "/nowhere"):
        environment({}, rootfs="/nowhere")
    mount = {"type": "bind", "source": "/root", "target": "/x"}
    with raises(ValueError, "mounts of the host need Docker"):
        environment({}, mounts=[mount])
    broken = environment({}, "FROM a\nRUN exit 4")
    with raises(SandboxBuildFailedError, "line 2: RUN exit 4 ended with 4"):
        await broken.start(force_build=True)
    assert broken._sandbox is None


told = Told()
logging.getLogger("contract").addHandler(told)
for check in (commands, network, definitions):
    asyncio.run(check())
assert any("the image debian:12 is not used: the host's /usr stands in for it" in line for line in told.lines)
print("fine")
