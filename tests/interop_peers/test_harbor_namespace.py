"""The namespace sandbox as one of harbor's environments."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.interop_peers.conftest import ROOT


def test_the_namespace_sandbox_keeps_the_contract_of_harbors_environments(
    peer: Callable[..., Path], tmp_path: Path
) -> None:
    """Commands, users, timeouts, files, networks and definitions are as harbor has them, or are refused."""
    script = ROOT / "tests/harbor/namespace_trials.py"
    command = [peer("0.26.0", "harbor"), script, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
