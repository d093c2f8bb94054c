"""Spans of makers that cannot be read by a table of names alone: Gemini CLI, Claude Code, the Vercel AI SDK, VoltAgent, LiveKit and Spring AI.

Each has functions of a span's attributes (JSON texts by key) and, where the maker tells what was said in events, of its events. They answer
JSON texts, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from runstone.dialects.mlflow.genai.texts import loads, telling, whole

Attributes = dict[str, str]
Events = Sequence[dict[str, Any]]
#: What stands where a program was not allowed to tell what was said.
_REDACTED = "<REDACTED>"


def _nothing(attributes: Attributes) -> str:
    return ""


def _no_events(attributes: Attributes, events: Events) -> str:
    return ""


class Maker(NamedTuple):
    """How the spans of one maker are read."""

    type: Callable[[Attributes], str] = _nothing
    inputs: Callable[[Attributes], str] = _nothing
    outputs: Callable[[Attributes], str] = _nothing
    format: Callable[[Attributes], str] = _nothing
    usage: Callable[[Attributes], dict[str, int | None]] = lambda attributes: {}
    inputs_of_events: Callable[[Attributes, Events], str] = _no_events
    outputs_of_events: Callable[[Attributes, Events], str] = _no_events


# Gemini CLI

_GEMINI = {"llm_call": "LLM", "tool_call": "TOOL", "agent_call": "AGENT"}


def _is_gemini(attributes: Attributes) -> bool:
    return _word(attributes, "gen_ai.agent.name") == "gemini-cli"


def _gemini_type(attributes: Attributes) -> str:
    return _GEMINI.get(_word(attributes, "gen_ai.operation.name"), "") if _is_gemini(attributes) else ""


def _gemini_inputs(attributes: Attributes) -> str:
    text = _first(attributes, "gen_ai.input.messages", "gen_ai.tool.call.arguments")
    told = loads(text)
    if not _is_gemini(attributes) or not isinstance(told, list | str):
        return text if _is_gemini(attributes) else ""
    return json.dumps({"contents": told}) if told else ""


def _gemini_outputs(attributes: Attributes) -> str:
    """All parts of what came in pieces as one answer."""
    if not _is_gemini(attributes):
        return ""
    text = _first(attributes, "gen_ai.output.messages", "gen_ai.tool.call.result")
    told = loads(text)
    parts = []
    for message in told if isinstance(told, list) else ():
        if isinstance(message, dict) and isinstance(message.get("parts"), list):
            parts += message["parts"]
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": parts}}]}) if parts else text


# Claude Code

_CLAUDE = {"interaction": "AGENT", "llm_request": "LLM", "tool": "TOOL"}
_TOOL_DETAILS = ("full_command", "file_path", "skill_name", "subagent_type")


def _claude_kind(attributes: Attributes) -> str:
    kind = _word(attributes, "span.type").removeprefix("claude_code.")
    return kind if kind in _CLAUDE else ""


def _claude_type(attributes: Attributes) -> str:
    return _CLAUDE.get(_claude_kind(attributes), "")


def _allowed(attributes: Attributes, key: str) -> str:
    text = telling(attributes, key)
    return "" if loads(text) == _REDACTED else text


def _claude_inputs(attributes: Attributes) -> str:
    kind = _claude_kind(attributes)
    if kind in ("interaction", "llm_request"):
        prompt = _allowed(attributes, "user_prompt") if kind == "interaction" else ""
        return prompt or _allowed(attributes, "new_context")
    if kind != "tool":
        return ""
    details = {key: loads(text) for key in _TOOL_DETAILS if (text := _allowed(attributes, key))}
    return _allowed(attributes, "tool_input") or (json.dumps(details) if details else "")


def _claude_outputs(attributes: Attributes) -> str:
    key = {"llm_request": "response.model_output", "tool": "new_context"}.get(_claude_kind(attributes))
    return _allowed(attributes, key) if key else ""


def _claude_usage(attributes: Attributes) -> dict[str, int | None]:
    """Claude does not count what was cached as input; mlflow does."""
    if _claude_kind(attributes) != "llm_request":
        return {}
    read, made = (whole(attributes.get(name)) for name in ("cache_read_tokens", "cache_creation_tokens"))
    given = whole(attributes.get("input_tokens"))
    return {
        "input_tokens": None if given is None else given + (read or 0) + (made or 0),
        "output_tokens": whole(attributes.get("output_tokens")),
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": made,
    }


def _claude_output_of_events(attributes: Attributes, events: Events) -> str:
    if _claude_kind(attributes) != "tool":
        return ""
    for event in events:
        for key in ("output", "content", "diff") if event.get("name") == "tool.output" else ():
            told = loads(event["attributes"].get(key))
            if told and told != _REDACTED:
                return json.dumps(told)
    return ""


# The Vercel AI SDK

_VERCEL_CHATS = ("ai.generateText.doGenerate", "ai.streamText.doStream")


def _is_chat(attributes: Attributes) -> bool:
    return _word(attributes, "ai.operationId") in _VERCEL_CHATS


def _below(attributes: Attributes, prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): _unpacked(text)
        for key, text in attributes.items()
        if key.startswith(prefix)
    }


def _unpacked(value: Any) -> Any:
    """What a text holds that was made JSON up to three times."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        value = loads(value)
    return value


def _vercel_inputs(attributes: Attributes) -> str:
    if not _is_chat(attributes):
        return _first(attributes, "ai.prompt", "ai.toolCall.args", "ai.value", "ai.values")
    told = _below(attributes, "ai.prompt.")
    if isinstance(told.get("tools"), list):
        told["tools"] = [_unpacked(tool) for tool in told["tools"]]
    return json.dumps(told) if told else ""


def _vercel_outputs(attributes: Attributes) -> str:
    if _is_chat(attributes):
        told = _below(attributes, "ai.response.")
        return json.dumps(told) if told else ""
    names = ("ai.response.text", "ai.toolCall.result", "ai.response.object", "ai.embedding", "ai.embeddings")
    return _first(attributes, *names)


def _vercel_format(attributes: Attributes) -> str:
    return "vercel_ai" if _is_chat(attributes) else ""


# VoltAgent

_VOLT = {"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "memory": "MEMORY"}


def _volt_type(attributes: Attributes) -> str:
    # A span that is in an agent has the agent's entity.type, and its own span.type.
    told = (_VOLT.get(_word(attributes, key), "") for key in ("span.type", "entity.type"))
    return next(filter(None, told), "")


def _volt_format(attributes: Attributes) -> str:
    return "voltagent" if {"voltagent.operation_id", "voltagent.conversation_id"} & attributes.keys() else ""


# LiveKit

_LIVE = {
    "lk.retry_count": "LLM",
    "lk.agent_name": "AGENT",
    "lk.instructions": "AGENT",
    "lk.generation_id": "AGENT",
}
_OPERATIONS = {
    "chat": "CHAT_MODEL", "create_agent": "AGENT", "embeddings": "EMBEDDING", "execute_tool": "TOOL",
    "generate_content": "LLM", "invoke_agent": "AGENT", "text_completion": "LLM", "response": "LLM",
}  # fmt: skip


def _live_type(attributes: Attributes) -> str:
    if "gen_ai.request.model" in attributes:
        return "LLM"
    if kind := _OPERATIONS.get(_word(attributes, "gen_ai.operation.name").lower()):
        return kind
    for key in attributes:
        if key in _LIVE:
            return _LIVE[key]
        if key.startswith("lk.function_tool"):
            return "TOOL"
    return ""


def _live_format(attributes: Attributes) -> str:
    return "livekit" if any(key.startswith("lk.") for key in attributes) else ""


def _messages(events: Events, roles: dict[str, str]) -> str:
    """What was said in events by the names of those, as messages."""
    found = []
    for event in events:
        role, told = roles.get(event.get("name", "")), event["attributes"]
        if role is not None and told.get("content"):
            found.append({"role": loads(told.get("role")) or role, "content": loads(told["content"])})
    return json.dumps(found) if found else ""


_SAID = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant")}


# Spring AI


def _content(events: Events, name: str, key: str) -> str:
    for event in events:
        if event.get("name") == name and (told := event["attributes"].get(key)):
            return told if isinstance(told, str) else json.dumps(told)
    return ""


def _word(attributes: Attributes, key: str) -> str:
    told = loads(attributes.get(key))
    return told if isinstance(told, str) else ""


def _first(attributes: Attributes, *names: str) -> str:
    return next(filter(None, (telling(attributes, name) for name in names)), "")


GEMINI = Maker(
    _gemini_type, _gemini_inputs, _gemini_outputs, lambda each: "gemini" if _is_gemini(each) else ""
)
CLAUDE = Maker(
    _claude_type,
    _claude_inputs,
    _claude_outputs,
    usage=_claude_usage,
    outputs_of_events=_claude_output_of_events,
)
VERCEL = Maker(inputs=_vercel_inputs, outputs=_vercel_outputs, format=_vercel_format)
VOLTAGENT = Maker(_volt_type, format=_volt_format)
LIVEKIT = Maker(
    _live_type,
    format=_live_format,
    inputs_of_events=lambda _, events: _messages(events, _SAID),
    outputs_of_events=lambda _, events: _messages(events, {"gen_ai.choice": "assistant"}),
)
SPRING = Maker(
    inputs_of_events=lambda _, events: _content(events, "gen_ai.content.prompt", "gen_ai.prompt"),
    outputs_of_events=lambda _, events: _content(events, "gen_ai.content.completion", "gen_ai.completion"),
)
