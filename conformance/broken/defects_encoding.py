"""Defects of section 7: bytes, order, and values that do not come back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from conformance.broken import defect, reply
from conformance.broken.healthy import Frame, Healthy, Rejected, error

STATE, OBSERVATION, ERROR = ('{"type":"state"', '{"type":"observation"', '{"type":"error"')


def _text(change: Callable[[str], str], begin: str = "") -> Any:
    """A method `alter_text` that changes messages with a beginning."""

    def alter_text(self: Healthy, session: Any, request: Any, text: str) -> str:
        return change(text) if text.startswith(begin) else text

    return alter_text


def _numbers(pattern: str, change: Callable[[str], str], begin: str = "") -> Any:
    """A method `alter_text` that writes numbers of a pattern otherwise; what is in strings stays."""
    token = re.compile(rf'"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])(?:{pattern})(?![\d.eE])')

    def one(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else change(match[0])

    return _text(lambda text: token.sub(one, text), begin)


def _encode(mode: Any, *types: str) -> Any:
    """A method `encode` that writes floats that are not finite otherwise, in frames of some types."""

    def encode(self: Healthy, frame: Frame) -> str:
        return to_json(frame, inf_nan_mode=mode if frame["type"] in types else "null").decode()

    return encode


def _overflow(self: Healthy, frame: Frame) -> str:
    text = Healthy.encode(self, frame)
    return text.replace('"overflow":[null,null]', '"overflow":[1e999,-1e999]')


def _surrogates(self: Healthy, frame: Frame) -> str:
    """Lone surrogates become bytes that are no UTF-8."""
    try:
        return Healthy.encode(self, frame)
    except ValueError:
        return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))


def _read(change: Callable[[str], str]) -> Any:
    """A method `read` that takes other text than was sent."""

    def read(self: Healthy, payload: bytes, text: bool) -> Frame:
        return Healthy.read(self, change(payload.decode()).encode() if text else payload, text)

    return read


def _refuse(refuses: Callable[[str], object]) -> Any:
    """A method `read` that takes some JSON for none."""

    def read(self: Healthy, payload: bytes, text: bool) -> Frame:
        if text and refuses(payload.decode()):
            raise Rejected(error("INVALID_JSON", "Invalid JSON: unexpected character"))
        return Healthy.read(self, payload, text)

    return read


def _search(self: Healthy, payload: bytes, text: bool) -> Frame:
    """The type is looked for in the text."""
    frame = Healthy.read(self, payload, text)
    return frame if b'"type"' in payload else {key: value for key, value in frame.items() if key != "type"}


def _fit(integer: Callable[[int], int]) -> Any:
    """A method `read` whose integers do not hold 64 bits."""

    def read(self: Healthy, payload: bytes, text: bool) -> Frame:
        Healthy.read(self, payload, text)
        frame: Frame = json.loads(payload, parse_int=lambda digits: integer(int(digits)))
        return frame

    return read


def _reordered(type: str, change: Callable[[Frame], Frame]) -> Any:
    """Replies of a type whose `data` has another order."""
    return reply(lambda request, it: {**it, "data": change(it["data"])} if it["type"] == type else None)


def _observation_order(key: Callable[[str], Any]) -> Any:
    def change(data: Frame) -> Frame:
        observation = data["observation"]
        return {**data, "observation": {name: observation[name] for name in sorted(observation, key=key)}}

    return _reordered("observation", change)


def _last(*keys: str) -> Callable[[Frame], Frame]:
    return lambda data: {**{k: v for k, v in data.items() if k not in keys}, **{k: data[k] for k in keys if k in data}}


defect("lone surrogates are sent", "ENC-1", "FRM-19", "FRM-20", encode=_surrogates)
defect("NaN as Python writes it", "ENC-2", "ENC-5", encode=_encode("constants", "observation"))
defect("NaN and Infinity in errors alone", "ENC-2", "ENC-5", encode=_encode("constants", "error"))
defect("NaN is the string NaN in errors", "ENC-5", encode=_encode("strings", "error"))
defect("NaN is the string NaN in observations", "ENC-5", "SEM-16", "SEM-17", encode=_encode("strings", "observation"))
defect("Infinity is a number that overflows", "ENC-5", encode=_overflow)

defect("ends messages with a newline", "ENC-6", alter_text=_text(lambda text: f"{text}\n"))
defect("a space after the type of states", "ENC-6", alter_text=_text(lambda text: text.replace(",", ", ", 1), STATE))
defect(
    "data before type in states", "ENC-7",
    alter_reply=reply(lambda request, it: dict(reversed(it.items())) if it["type"] == "state" else None),
)  # fmt: skip
defect("done after metadata", "ENC-8", alter_reply=_reordered("observation", _last("done")))
defect(
    "reward before observation",
    "ENC-8",
    alter_reply=_reordered("observation", _last("observation", "done", "metadata")),
)
defect("metadata after the fields", "ENC-9", alter_reply=_observation_order(lambda name: name == "metadata"))
defect("fields by their names", "ENC-9", alter_reply=_observation_order(lambda name: (name != "metadata", name)))
defect("code before message", "ENC-10", alter_reply=_reordered("error", _last("message")))
defect("errors before code", "ENC-10", alter_reply=_reordered("error", _last("code")))

defect("non-ASCII text is escaped", "ENC-12", alter_text=_text(lambda text: text.replace("é", "\\u00e9")))
defect(
    "emoji are escaped in errors",
    "ENC-12",
    alter_text=_text(lambda text: text.replace("\U0001f600", "\\ud83d\\ude00"), ERROR),
)
defect("slashes are escaped", "ENC-12", alter_text=_text(lambda text: text.replace("/", "\\/"), OBSERVATION))
defect("line separators are escaped", "ENC-12", alter_text=_text(lambda text: text.replace("\u2028", "\\u2028")))
defect("DEL is escaped", "ENC-12", alter_text=_text(lambda text: text.replace("\x7f", "\\u007f")))
defect(
    "no short escape of newlines", "ENC-12", alter_text=_text(lambda text: text.replace("\\n", "\\u000a"), OBSERVATION)
)
defect("escapes in capitals", "ENC-12", alter_text=_text(lambda text: text.replace("\\u001f", "\\u001F")))

defect("exponents as Python writes them", "ENC-13", alter_text=_numbers(r"\d+e-\d", lambda it: it.replace("e-", "e-0")))
defect("exponents without a plus", "ENC-13", alter_text=_numbers(r"\d+e\+\d+", lambda it: it.replace("+", "")))
defect("17 digits", "ENC-13", alter_text=_numbers(r"0\.[1-9]\d*", lambda it: f"{float(it):.17g}"))
defect("exponents from 1e-5 on", "ENC-13", alter_text=_numbers(r"0\.00001", lambda it: "1e-5"))
defect("1e16 in full", "ENC-13", alter_text=_numbers(r"1e\+16", lambda it: "10000000000000000.0"))
defect("trailing zeros", "ENC-13", alter_text=_numbers(r"\d+\.\d", lambda it: f"{it}0", OBSERVATION))
defect("no negative zero", "ENC-13", alter_text=_numbers(r"-0\.0", lambda it: "0.0"))
defect("negative zero is an integer", "ENC-13", "ENC-14", alter_text=_numbers(r"-0\.0", lambda it: "-0"))
defect("15 digits", "ENC-13", alter_text=_numbers(r"0\.\d{16,}", lambda it: repr(float(f"{float(it):.15g}"))))
defect("denormal floats are zero", "ENC-13", alter_text=_numbers(r"\de-3\d\d", lambda it: "0.0"))
defect("whole floats without a point", "ENC-14", alter_text=_numbers(r"[1-9]\d*\.0", lambda it: it[:-2]))
defect(
    "an integer field is a float", "ENC-14",
    alter_text=_text(lambda text: re.sub(r'"value":(-?\d+)', r'"value":\1.0', text), OBSERVATION),
)  # fmt: skip
defect("integers are floats in errors", "ENC-14", alter_text=_numbers("3", lambda it: "3.0", ERROR))

defect("integers are read as doubles", "ENC-16", "SEM-21", read=_fit(lambda it: int(float(it))))
defect("integers saturate too early", "ENC-16", read=_fit(lambda it: max(it, -(2**63) + 1)))
defect("integers wrap", "ENC-16", read=_fit(lambda it: it - 2**64 if it == 2**63 - 1 else it))
defect("big integers are strings", "ENC-16", alter_text=_numbers(r"-?\d{16,}", lambda it: f'"{it}"', ERROR))

defect("no whitespace before a message", "ENC-17", read=_refuse(lambda text: text[:1].isspace()))
defect("no carriage returns", "ENC-17", read=_refuse(lambda text: "\r" in text))
defect("no capitals in escapes", "ENC-17", read=_refuse(re.compile(r"\\u[0-9a-f]*[A-F]").search))
defect("looks for the type in the text", "ENC-17", read=_search)
defect(
    "takes an emoji for two characters",
    "ENC-17",
    read=_read(lambda text: re.sub(r"\\u[dD]83[dD]\\u[dD][eE]00", "??", text)),
)

defect("the type twice", "ENC-19", alter_text=_text(lambda text: f'{text[:-1]},"type":"state"}}', STATE))
defect(
    "a field twice",
    "ENC-19",
    alter_text=_text(lambda text: text.replace('"value":', '"value":0,"value":', 1), OBSERVATION),
)
