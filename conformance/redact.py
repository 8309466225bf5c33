"""Evidence that can be shown: a report goes to colleagues and into build artifacts, a bearer token does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from conformance.evidence import Evidence, Exchange, Socket

SHORTEST = 8
"""Characters of a token that is taken out wherever it stands; a shorter one is taken out of its header alone."""
HIDDEN = "[token]"


def tokens(evidence: Evidence) -> tuple[str, ...]:
    """The tokens that were sent, right and wrong ones, also as they stand in a URL; the longest first."""
    found = {
        value.partition(" ")[2].strip()
        for conversation in evidence.conversations.values()
        for name, value in conversation.request
        if name.lower() == "authorization"
    }
    forms = {form for it in found if len(it) >= SHORTEST for form in (it, quote(it, safe=""))}
    return tuple(sorted(forms, key=len, reverse=True))


def redacted(evidence: Evidence) -> Evidence:
    """Evidence without the tokens that were sent; the same object where none was."""
    hidden = tokens(evidence)
    conversations = {name: _conversation(it, hidden) for name, it in evidence.conversations.items()}
    if all(new is old for new, old in zip(conversations.values(), evidence.conversations.values(), strict=True)):
        return evidence
    return Evidence(hide(evidence.url, hidden), hide(evidence.facts, hidden), conversations)


def hide(value: Any, hidden: tuple[str, ...]) -> Any:
    """A value without some texts, however deep they are in it."""
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, HIDDEN)
    elif isinstance(value, bytes):
        for text in hidden:
            value = value.replace(text.encode(), HIDDEN.encode())
    elif isinstance(value, dict):
        return {hide(key, hidden): hide(it, hidden) for key, it in value.items()}
    elif isinstance(value, (list, tuple)):
        return type(value)(hide(it, hidden) for it in value)
    return value


def _conversation(it: Socket | Exchange, hidden: tuple[str, ...]) -> Socket | Exchange:
    if not hidden and not any(name.lower() == "authorization" for name, _ in it.request):
        return it
    request = [(name, HIDDEN if name.lower() == "authorization" else hide(value, hidden)) for name, value in it.request]
    common: dict[str, Any] = {
        "path": hide(it.path, hidden),
        "request": request,
        "response": hide(it.response, hidden),
        "body": hide(it.body, hidden),
        "error": hide(it.error, hidden),
    }
    if isinstance(it, Exchange):
        return replace(it, **common, sent=hide(it.sent, hidden))
    events = [replace(event, payload=hide(event.payload, hidden), text=hide(event.text, hidden)) for event in it.events]
    return replace(it, **common, events=events)
