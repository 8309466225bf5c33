"""The report as a badge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.render.template import fill

if TYPE_CHECKING:
    from conformance.report import Report

LABEL = "OpenEnv"
NARROW, WIDE = "fijlrt.,:;' I|!()[]/-", "mwMW@%"
GREEN, RED = "#2c7a4b", "#b3372c"


def document(report: Report) -> str:
    """The report as SVG: whether the server is certified, by which profile and version."""
    verdict = "certified" if report.certified else "not certified"
    message = f"{verdict} · {report.profile} {report.version}"
    left, right = width(LABEL), width(message)
    return (
        fill(
            "badge.svg",
            title=f"{LABEL}: {verdict}, profile {report.profile}, version {report.version}",
            label=LABEL,
            message=message,
            color=GREEN if report.certified else RED,
            left=left,
            right=right,
            total=left + right,
            label_at=left / 2,
            message_at=left + right / 2,
            label_width=left - 12,
            message_width=right - 12,
        )
        + "\n"
    )


def width(text: str) -> int:
    """Pixels of a text at 11 pixels, and 6 on each side; viewers without the font squeeze or stretch it into them."""
    return round(sum(3.9 if it in NARROW else 9.6 if it in WIDE else 6.7 for it in text)) + 12
