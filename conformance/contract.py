"""A base class for test modules: subclass it, say how to serve, and every requirement is one test of the class.

from conformance import ServerContract

class TestMyServer(ServerContract):
    def serve(self):
        with my_server() as server:
            yield server.url
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from conformance import api
from conformance.failure import brief, text
from conformance.given import expected_failures
from conformance.recorder import Timing
from conformance.report import Report


class RequirementWarning(UserWarning):
    """A SHOULD that a server does not keep."""


class ServerContract:
    """The requirements as tests of one server. It is served and talked to once, at the first of them.

    Attributes:
        profile: Whose requirements: `core`, `mcp`, `tasks`, `gymnasium`, `strict`, or `all`.
        requirements: The release of openenv whose protocol is required.
        inputs: What is known of the environment, as `actions` of `interop.certify`.
        expected: Ids of requirements that are known not to be met, with reasons, or the path of a TOML file.
        token: The bearer token of the server.
        timing: How long to wait.
    """

    profile: str = "core"
    requirements: str = api.NEWEST
    inputs: Any = None
    expected: Mapping[str, str] | str | Path | None = None
    token: str | None = None
    timing: Timing | None = None

    __test__ = False
    _report: ClassVar[Report | Exception | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__test__" not in cls.__dict__:
            # A base of several test classes need not serve; a test class that forgets to must not be silent.
            cls.__test__ = cls.serve is not ServerContract.serve or cls.__name__.startswith("Test")

    def serve(self) -> Any:
        """Serve, and give the URL: a generator that yields it once, a context manager of it, or a text.

        What `interop.certify` takes will do in place of a URL.
        """
        raise NotImplementedError(f"{type(self).__name__} must override serve(), which yields the server's URL")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each requirement that is judged."""
        if "requirement_id" in metafunc.fixturenames:
            reasons = expected_failures(self.expected, self.requirements)
            ids = [it.id for it in api.judged(self.profile, self.requirements)]
            metafunc.parametrize("requirement_id", [pytest.param(id, id=id, marks=marks(reasons, id)) for id in ids])

    def test_requirement(self, requirement_id: str) -> None:
        """The server meets the requirement."""
        __tracebackhide__ = True
        report = self._certified()
        verdict(report, requirement_id)

    @classmethod
    def _certified(cls) -> Report:
        # Kept by the class itself, not by a base that it shares with others.
        found = cls.__dict__.get("_report")
        if isinstance(found, Exception):
            pytest.fail(f"{type(found).__name__}: {found}", pytrace=False)
        if found is None:
            try:
                found = cls._report = cls()._certify()
            except Exception as exc:
                cls._report = exc  # it is not tried again for each requirement
                raise
        return found

    def _certify(self) -> Report:
        with _serving(self) as url:
            return api.certify(
                url,
                profile=self.profile,
                requirements=self.requirements,
                actions=self.inputs,
                expected_failures=self.expected,
                token=self.token,
                timing=self.timing,
            )


def marks(reasons: Mapping[str, str], id: str) -> list[pytest.MarkDecorator]:
    """The marks of a test: a requirement that is expected to fail and does not is a failure."""
    return [pytest.mark.xfail(reason=reasons[id], strict=True)] if id in reasons else []


def verdict(report: Report, id: str) -> None:
    """End a test as a requirement was judged: return, warn, skip, or fail with what was recorded."""
    __tracebackhide__ = True
    (result,) = (it for it in report.results if it.requirement.id == id)
    expected = id in report.expected
    if result.outcome == "fail" or (result.outcome == "warn" and expected):
        pytest.fail(text(report, result), pytrace=False)
    if result.outcome == "warn":
        # Where the sentence stands says more than the line that judged it.
        warnings.warn_explicit(RequirementWarning(brief(result)), None, "docs/protocol.md", 0)
    elif result.outcome != "pass" and not expected:  # what is expected to fail and is not judged fails too
        pytest.skip(f"{result.outcome.replace('_', ' ')}: {result.message}")


def _serving(contract: ServerContract) -> AbstractContextManager[str]:
    if inspect.isgeneratorfunction(contract.serve):
        return contextlib.contextmanager(contract.serve)()
    made = contract.serve()
    return contextlib.nullcontext(made) if isinstance(made, str) else made
