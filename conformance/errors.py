"""What goes wrong before there is a verdict.

    ConformanceError
    ├── CatalogueError    a version, profile or id that the catalogue does not have
    ├── GivenError        what a run was given makes no sense: a file, an action, an expected failure
    ├── EvidenceError     a directory that holds no evidence, or evidence that cannot be judged by what was asked
    ├── Unreachable       nothing listens at the server's address
    └── TargetError       there is nothing of that name, or nothing that can serve it
        └── StartError    what should be certified does not start

Every message says what was wrong, where, and what is accepted.
"""

from __future__ import annotations


class ConformanceError(Exception):
    """Base of every error of the suite."""


class GivenError(ConformanceError):
    """What a run was given makes no sense."""


class TargetError(ConformanceError):
    """There is nothing of that name, or nothing that can serve it. `log` is the end of what the server wrote."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.log = log

    def __str__(self) -> str:
        return f"{self.message}:\n{self.log}" if self.log else self.message


class StartError(TargetError):
    """What should be certified does not start."""
