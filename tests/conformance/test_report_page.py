"""The page, in a browser: what it shows is what report.json says, on a phone and on a desk, by day and by night."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from conformance.report import Report
from conformance.view import Place
from tests.conformance.reports import hostile_report, report, result

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, 1440)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("there is no Chromium: run make browser", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directories of reports by name."""
    small = report(
        result("WS-1", "pass"),
        result("WS-14", "fail", 'closed with 1008, "too long"', Place("session", 6), Place("health")),
        result("WS-6", "warn", "answered 404", Place("health")),
        result("SES-8", "untested", "no slow action is known"),
        expected={"WS-6": "known since May", "NO-1": "gone"},
    )
    reports: dict[str, Report] = {"small": small, "hostile": hostile_report()}
    directories = {name: tmp_path_factory.mktemp(name) for name in reports}
    for name, it in reports.items():
        it.write(directories[name])
    return directories


def shown(page: Page, directory: Path, fragment: str = "") -> list[str]:
    """Open a report; the list fills with whatever the page complains about."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(f"{(directory / 'report.html').as_uri()}{fragment}")
    return complaints


def fits(page: Page) -> bool:
    """Whether the page is no wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["small", "hostile"])
def test_a_finding_opens_and_shows_what_the_document_says(
    browser: Browser, written: dict[str, Path], name: str, width: int, scheme: Any
) -> None:
    """A finding unfolds to its requirement, what was seen, how to fix it and what was recorded; nothing is too wide."""
    document = json.loads((written[name] / "report.json").read_text())
    found = next(row for row in document["results"] if row["outcome"] == "fail" and row["trail"])
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints = shown(page, written[name])
    assert page.locator("h1").inner_text().endswith("Not certified")
    finding = page.locator(f"[id='{found['id']}']")
    assert not finding.locator(".body").is_visible()
    finding.locator("summary").click()
    text = finding.inner_text()
    assert found["fix"].replace("`", "") in text
    assert f"section {found['section']}" in text
    assert found["source"] in text
    assert finding.locator(".level").inner_text() == found["level"]
    assert finding.locator("h3").inner_text() == found["sentence"].replace("`", "")
    if name == "small":
        assert finding.locator(".seen").inner_text() == f"Seen {found['message']}"
    for file in finding.locator(".file").all_inner_texts():
        assert (written[name] / file).is_file()
    assert {it["conversation"] for it in found["trail"]} >= set(finding.locator("figcaption b").all_inner_texts())
    assert fits(page)
    for details in page.locator("details").all()[:40]:
        details.evaluate("it => it.open = true")
    assert fits(page)
    assert page.locator("body").evaluate("it => getComputedStyle(it).backgroundColor") == (
        "rgb(253, 252, 250)" if scheme == "light" else "rgb(23, 22, 20)"
    )
    assert not complaints
    page.close()


def test_frames_stand_as_they_were_recorded(browser: Browser, written: dict[str, Path]) -> None:
    """A link to a finding opens it; its lines have the time, the side, and the bytes or the event."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    complaints = shown(page, written["small"], "#WS-14")
    finding = page.locator("#WS-14")
    assert finding.locator(".body").is_visible()
    close = finding.locator(".line.marked").first
    assert close.locator(".at").inner_text() == "1.200 s"
    assert close.locator(".side").inner_text() == "S"
    assert close.locator("pre").inner_text() == "<close 1009, reason 'too big'>"
    assert finding.locator(".gap").first.inner_text() == "5 more"
    response = finding.locator(".line.marked").last.locator("pre").all_inner_texts()
    assert response[0] == "HTTP/1.1 503 Service Unavailable\nContent-Type: text/plain"
    page.evaluate("location.hash = 'WS-6'")
    page.locator("#WS-6 .body").wait_for()
    assert "known since May" in page.locator("#WS-6").inner_text()
    assert "NO-1" in page.locator(".stale").inner_text()
    assert not complaints
    page.close()


def test_requirements_are_filtered(browser: Browser, written: dict[str, Path]) -> None:
    """Words, outcomes and areas narrow the list, and a link to a row that is hidden shows it again."""
    page = browser.new_page()
    shown(page, written["small"])
    rows = page.locator(".row:visible .id")
    assert rows.all_inner_texts() == ["WS-1", "WS-14", "WS-6", "SES-8"]
    page.get_by_label("Search").fill("1009 limit")
    assert rows.all_inner_texts() == ["WS-14"]
    page.get_by_label("Search").fill("")
    page.get_by_label("Outcome").select_option("untested")
    assert rows.all_inner_texts() == ["SES-8"]
    assert page.locator("#filter output").inner_text() == "1 of 4"
    page.evaluate("location.hash = 'WS-1'")
    page.locator("#WS-1").wait_for()
    page.get_by_label("Area").select_option("sessions")
    assert rows.all_inner_texts() == ["SES-8"]
    page.close()


def test_it_is_whole_without_script(browser: Browser, written: dict[str, Path]) -> None:
    """Without JavaScript a finding still unfolds, all requirements are there, and the dead filter is not."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    shown(page, written["small"])
    page.locator("#WS-14 summary").click()
    assert page.locator("#WS-14 .body").is_visible()
    assert page.locator(".row:visible").count() == 4
    assert not page.locator("#filter").is_visible()
    context.close()


def test_paper_shows_all(browser: Browser, written: dict[str, Path]) -> None:
    """Printed, nothing is folded."""
    page = browser.new_page()
    shown(page, written["small"])
    page.pdf()
    assert page.locator("#WS-14 .body").is_visible()
    page.close()


def test_a_hostile_server_runs_nothing(browser: Browser, written: dict[str, Path]) -> None:
    """Its markup is text, its script never runs, and the page keeps the title that is ours."""
    page = browser.new_page()
    complaints = shown(page, written["hostile"])
    assert page.locator("img, svg").count() == 0
    assert page.locator("script").count() == 1
    assert page.title() != "owned"
    assert "onerror" in page.locator("#findings").inner_text()
    assert not complaints
    page.close()
