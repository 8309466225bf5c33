"""pytest's door to the suite: `pytest --openenv-url URL` has a test for each requirement, named `openenv::ID`.

Without the option it does nothing and loads nothing of the suite.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conformance.report import Report

NAME = "openenv"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, which are those of `interop certify`."""
    group = parser.getgroup(NAME, "OpenEnv servers")
    group.addoption("--openenv-url", metavar="URL", help="Certify this server; what `interop certify` takes will do.")
    group.addoption("--openenv-profile", metavar="NAME", default="core", help="Whose requirements; default: core.")
    group.addoption("--openenv-actions", metavar="FILE", help="JSON: a list of actions, or actions by role.")
    group.addoption("--openenv-expected-failures", metavar="FILE", help="TOML: [expected] with ID = reason.")
    group.addoption("--openenv-token", metavar="TEXT", help="The bearer token of the server.")


def pytest_configure(config: pytest.Config) -> None:
    """Get ready for the server, if there is one."""
    if config.getoption("openenv_url"):
        _take_ids(config)
        config.pluginmanager.register(Certifying(config), f"{NAME}-certifying")


def _take_ids(config: pytest.Config) -> None:
    """Take `openenv::ID` out of what pytest looks for in files; workers of xdist are told in the options."""
    if not hasattr(config.option, "openenv_ids"):
        config.option.openenv_ids = [it.partition("::")[2] for it in config.args if _is_ours(it)]
        config.args = config.option.openenv_paths = [it for it in config.args if not _is_ours(it)]
    elif config.option.openenv_ids and not config.option.openenv_paths:
        config.args = []  # where pytest puts its defaults


def _is_ours(argument: str) -> bool:
    """Whether it is `openenv::ID`, as pytest prints it: relative to where it was started."""
    path, colons, _ = argument.partition("::")
    return bool(colons) and Path(path).name == NAME


class Certifying:
    """The plugin of a run that has a server. The server is talked to once, by the process that leads the run."""

    def __init__(self, config: pytest.Config) -> None:
        from conformance.api import NEWEST, judged
        from conformance.errors import ConformanceError
        from conformance.given import expected_failures, inputs

        self._url = config.getoption("openenv_url")
        self._options: dict[str, Any] = {
            "profile": config.getoption("openenv_profile"),
            "expected_failures": config.getoption("openenv_expected_failures"),
        }
        self._talking: dict[str, Any] = {"token": config.getoption("openenv_token")}
        self._evidence: Path | None = None
        try:
            self._talking["actions"] = inputs(config.getoption("openenv_actions"))
            self.ids = [it.id for it in judged(self._options["profile"])]
            if unknown := set(config.option.openenv_ids) - set(self.ids):
                raise pytest.UsageError(f"profile {self._options['profile']} judges no {', '.join(sorted(unknown))}")
            self.ids = [id for id in self.ids if id in (config.option.openenv_ids or self.ids)]
            self.expected = expected_failures(self._options["expected_failures"], NEWEST)
        except ConformanceError as exc:
            raise pytest.UsageError(str(exc)) from exc
        self.report: Report | None = None

    def pytest_report_header(self) -> str:
        """What is certified."""
        return f"{NAME}: {self._url}, profile {self._options['profile']}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the requirements, before others choose among the tests."""
        suite = Requirements.from_parent(session, name=NAME, nodeid=NAME, certifying=self)
        report = session.ihook.pytest_make_collect_report(collector=suite)
        session.ihook.pytest_collectreport(report=report)
        items += report.result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[Any]:
        """Talk to the server before the first test, if one of its tests will run."""
        if any(isinstance(it, RequirementItem) for it in session.items) and not session.config.option.collectonly:
            given = getattr(session.config, "workerinput", {}).get(f"{NAME}_evidence")
            self.report = self._judge(Path(given)) if given else self._certify()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """With xdist talk to the server before there are workers."""
        if session.config.pluginmanager.has_plugin("dsession"):
            self._evidence = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
            self._certify().evidence.write(self._evidence)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where the evidence is."""
        node.workerinput[f"{NAME}_evidence"] = str(self._evidence)

    def pytest_unconfigure(self) -> None:
        """Remove what was for the workers."""
        if self._evidence is not None:
            shutil.rmtree(self._evidence, ignore_errors=True)

    def _certify(self) -> Report:
        from conformance.api import certify
        from conformance.errors import ConformanceError

        try:
            return certify(self._url, **self._talking, **self._options)
        except ConformanceError as exc:
            raise pytest.UsageError(str(exc)) from exc

    def _judge(self, evidence: Path) -> Report:
        from conformance.api import rejudge

        return rejudge(evidence, **self._options)


class Requirements(pytest.Collector):
    """The tests of the server."""

    def __init__(self, *, certifying: Certifying, **options: Any) -> None:
        super().__init__(**options)
        self._certifying = certifying

    def collect(self) -> list[pytest.Item]:
        """One for each requirement."""
        return [RequirementItem.from_parent(self, name=id, certifying=self._certifying) for id in self._certifying.ids]


class RequirementItem(pytest.Item):
    """The test of one requirement."""

    def __init__(self, *, certifying: Certifying, **options: Any) -> None:
        super().__init__(**options)
        from conformance.contract import marks

        self._certifying = certifying
        for mark in marks(certifying.expected, self.name):
            self.add_marker(mark)

    def runtest(self) -> None:
        """End as it was judged."""
        from conformance.contract import verdict

        assert self._certifying.report is not None
        verdict(self._certifying.report, self.name)

    def reportinfo(self) -> tuple[str, None, str]:
        """Where it is: nowhere in a file."""
        return NAME, None, f"{NAME}::{self.name}"
