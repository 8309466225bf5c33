"""Certify servers: a healthy one of ours, three that are broken on purpose, and any whose URL is given.

python examples/certify_servers.py [URL ...]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import interop

BROKEN = ("1008 after a close frame", "states are binary", "greets")


@contextmanager
def broken_server(name: str) -> Iterator[str]:
    """The URL of one of the servers that prove the checks; `python -m conformance.broken list` names them."""
    command = [sys.executable, "-m", "conformance.broken", "serve", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def show(name: str, report: interop.Report) -> None:
    """The verdict, and what it rests on."""
    counts = report.counts
    print(f"\n{name}: {'certified' if report.certified else 'NOT certified'}")
    print(f"  {counts.get('pass', 0)} met, {counts.get('fail', 0)} broken, {counts.get('warn', 0)} to be improved")
    for finding in report.findings[:12]:
        requirement = finding.requirement
        print(f"  {requirement.id} ({requirement.level}): {finding.message:.140}")
    if len(report.findings) > 12:
        print(f"  and {len(report.findings) - 12} more")


show("gym:CartPole-v1, served by us", interop.certify("gym:CartPole-v1"))
for defect in BROKEN:
    with broken_server(defect) as url:
        show(f"broken on purpose ({defect})", interop.certify(url, profile="core"))
for url in sys.argv[1:]:
    show(url, interop.certify(url))
