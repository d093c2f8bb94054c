"""Previews of what went into a trace and came out of it: the last message of a chat, or the beginning of the JSON."""

from __future__ import annotations

import json
from typing import Any

from runstone.dialects.mlflow.genai.texts import clean

MAX_PREVIEW = 1000


def preview(text: str, role: str) -> str:
    """A preview of a JSON text; of messages, the last one of ``role``."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        held = None
    messages = _messages(held)
    content = clean((_content(_last(messages, role)) if messages else "") or text)
    return content if len(content) <= MAX_PREVIEW else content[: MAX_PREVIEW - 3] + "..."


def _messages(held: Any, depth: int = 0) -> list[dict[str, Any]]:
    if not isinstance(held, dict) or depth > 8:
        return []
    if isinstance(held.get("messages"), list) and held["messages"]:
        return _only_messages(held["messages"])
    choices = held.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        found = _only_messages([choices[0].get("message")])
        if found:
            return found
    for name in ("input", "output"):
        if isinstance(held.get(name), list) and held[name]:
            return _only_messages(held[name])
    return _messages(held.get("request"), depth + 1)


def _only_messages(items: list[Any]) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict) and "role" in item and "content" in item]


def _last(messages: list[dict[str, Any]], role: str) -> dict[str, Any]:
    return next((each for each in reversed(messages) if each["role"] == role), messages[-1])


def _content(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            return part
        if isinstance(part, dict) and part.get("type") in ("text", "output_text"):
            return part["text"] if isinstance(part.get("text"), str) else ""
    return ""
