"""What the checks of section 14 take for random, and for a leak."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from conformance.checks.security_secrets import BITS, CHANCE, FILE_PATH, TRACEBACK, _bits


@pytest.mark.parametrize(
    ("new", "random"),
    [
        (lambda number: str(uuid.uuid4()), True),
        (lambda number: uuid.uuid4().hex, True),
        (lambda number: "sess_" + uuid.uuid4().hex.upper(), True),
        (lambda number: str(uuid.uuid1()), False),
        (lambda number: f"{number:036}", False),
        (lambda number: f"019aa2b4c{number:03}" + uuid.uuid4().hex[:18], False),  # as UUIDs of version 7
        (lambda number: uuid.uuid4().hex[:16], False),
        (lambda number: "always the same, however long it may be, and so it is no secret", False),
    ],
)
def test_random_bits_of_session_ids(new: Any, random: bool) -> None:
    """Ids that differ in enough digits pass; clocks, counters and short ones do not."""
    for _ in range(50):
        assert (_bits([new(number) for number in range(4)]) >= BITS - CHANCE) == random


@pytest.mark.parametrize(
    "text",
    [
        'Traceback (most recent call last):\n  File "x.py"', 'File "<stdin>", line 3',
        "Error: x\n    at f (/a/b.js:1:2)", "at a.b.C(C.java:12)",
        "goroutine 7 [running]", "thread 'main' panicked at src/main.rs:3",
    ],
)  # fmt: skip
def test_tracebacks_are_recognised(text: str) -> None:
    """Those of the languages that servers are written in."""
    assert TRACEBACK.search(text)


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("no such file: '/home/me/env/app.py'", True),
        ("in /usr/local/lib/python3.12/site-packages/x.py", True),
        ("C:\\Users\\me\\env.py failed", True),
        ("https://errors.pydantic.dev/2.14/v/missing", False),
        ("https://host/home/page", False),
        ("Method not found: openenv/session/create", False),
        ("POST /step needs an action", False),
        ("either/or", False),
    ],
)
def test_paths_are_recognised(text: str, is_path: bool) -> None:
    """Paths of a file system are, those of URLs and routes are not."""
    assert bool(FILE_PATH.search(text)) == is_path
