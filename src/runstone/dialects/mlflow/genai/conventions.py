"""What spans of other makers tell in their own words, in mlflow's: OpenInference, OpenTelemetry's GenAI conventions, and OpenLLMetry.

Attributes are JSON texts by key, as mlflow keeps them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

INPUTS, OUTPUTS, TYPE, MODEL = (
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.spanType",
    "mlflow.llm.model",
)
PROVIDER, USAGE, COST, TOOLS = (
    "mlflow.llm.provider",
    "mlflow.chat.tokenUsage",
    "mlflow.llm.cost",
    "mlflow.chat.tools",
)


class Convention(NamedTuple):
    """The names that a convention has for what mlflow knows."""

    kind: str
    types: dict[str, str]
    tokens: tuple[str, str, str]
    cached: tuple[tuple[str, ...], tuple[str, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    models: tuple[str, ...]
    provider: str
    tools: tuple[str, ...] = ()


_KINDS = (
    "TOOL",
    "CHAIN",
    "LLM",
    "RETRIEVER",
    "EMBEDDING",
    "AGENT",
    "RERANKER",
    "UNKNOWN",
    "GUARDRAIL",
    "EVALUATOR",
)
_CONVENTIONS = (
    Convention(
        "openinference.span.kind",
        {kind: kind for kind in _KINDS},
        ("llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total"),
        (("llm.token_count.prompt_details.cache_read",), ("llm.token_count.prompt_details.cache_write",)),
        ("input.value",),
        ("output.value",),
        ("llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"),
        "llm.provider",
    ),
    Convention(
        "gen_ai.operation.name",
        {
            "chat": "CHAT_MODEL",
            "create_agent": "AGENT",
            "embeddings": "EMBEDDING",
            "execute_tool": "TOOL",
            "generate_content": "LLM",
            "invoke_agent": "AGENT",
            "text_completion": "LLM",
            "response": "LLM",
        },
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", ""),
        (
            ("gen_ai.usage.cache_read.input_tokens",),
            ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
        ),
        ("gen_ai.input.messages", "gen_ai.tool.call.arguments"),
        ("gen_ai.output.messages", "gen_ai.tool.call.result"),
        ("gen_ai.response.model", "gen_ai.request.model"),
        "gen_ai.provider.name",
        ("gen_ai.tool.definitions",),
    ),
    Convention(
        "traceloop.span.kind",
        {"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL", "unknown": "UNKNOWN"},
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "llm.usage.total_tokens"),
        ((), ()),
        ("traceloop.entity.input", r"gen_ai\.prompt\.\d+\.content"),
        ("traceloop.entity.output", r"gen_ai\.completion\.\d+\.content"),
        (),
        "gen_ai.system",
    ),
)


def translate(attributes: dict[str, str]) -> None:
    """Adds to a span's attributes what they say in another convention; what mlflow's own say stays."""
    if kind := _type(attributes):
        attributes[TYPE] = json.dumps(kind)
    for key, names in ((INPUTS, "inputs"), (OUTPUTS, "outputs"), (TOOLS, "tools")):
        if key not in attributes and (text := _first(attributes, names)):
            attributes[key] = text
    if USAGE not in attributes and (usage := _usage(attributes)):
        attributes[USAGE] = json.dumps(usage)
    if MODEL not in attributes and (model := _model(attributes)):
        attributes[MODEL] = json.dumps(model, ensure_ascii=False)
    if PROVIDER not in attributes:
        told = (_telling(attributes, each.provider) for each in _CONVENTIONS)
        if provider := next(filter(None, told), ""):
            attributes[PROVIDER] = json.dumps(loads(provider), ensure_ascii=False)


def _type(attributes: dict[str, str]) -> str:
    if loads(attributes.get(TYPE)) not in (None, "UNKNOWN"):
        return ""
    for each in _CONVENTIONS:
        told = loads(attributes.get(each.kind))
        if isinstance(told, str) and told in each.types:
            return each.types[told]
    return ""


def _first(attributes: dict[str, str], what: str) -> str:
    for each in _CONVENTIONS:
        for name in getattr(each, what):
            if found := _matching(attributes, name):
                return found
    return ""


def _matching(attributes: dict[str, str], name: str) -> str:
    if "\\" not in name:
        return _telling(attributes, name)
    found = (_telling(attributes, key) for key in attributes if re.fullmatch(name, key))
    return next(filter(None, found), "")


def _telling(attributes: dict[str, str], name: str) -> str:
    """An attribute's text, unless it is empty or null."""
    text = attributes.get(name, "")
    return text if text and loads(text) else ""


def _usage(attributes: dict[str, str]) -> dict[str, int]:
    for each in _CONVENTIONS:
        tokens = [whole(attributes.get(name)) for name in each.tokens]
        if tokens[2] is None and tokens[0] is not None and tokens[1] is not None:
            tokens[2] = tokens[0] + tokens[1]
        cached = [_first_whole(attributes, names) for names in each.cached]
        named = zip(("input_tokens", "output_tokens", "total_tokens"), tokens, strict=True)
        found = {name: count for name, count in named if count is not None}
        if found:
            more = zip(("cache_read_input_tokens", "cache_creation_input_tokens"), cached, strict=True)
            return found | {name: count for name, count in more if count is not None}
    return {}


def _first_whole(attributes: dict[str, str], names: Iterable[str]) -> int | None:
    return next((count for name in names if (count := whole(attributes.get(name))) is not None), None)


def _model(attributes: dict[str, str]) -> str:
    for each in _CONVENTIONS:
        for name in each.models:
            if found := _telling(attributes, name):
                return str(loads(found))
    for key in (INPUTS, OUTPUTS):
        told = loads(attributes.get(key))
        if isinstance(told, dict) and told.get("model"):
            return told["model"] if isinstance(told["model"], str) else ""
    return ""


def whole(text: str | None) -> int | None:
    """A whole number from a JSON text, which may hold it as a text."""
    value = loads(text)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def loads(text: str | None) -> Any:
    """What a JSON text holds; the text itself if it is none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
