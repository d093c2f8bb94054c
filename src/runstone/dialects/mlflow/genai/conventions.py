"""What spans of other makers tell in their own words, in mlflow's: the conventions of OpenInference, OpenTelemetry's GenAI and OpenLLMetry, and
the words of Gemini CLI, Claude Code, Spring AI, Google's ADK, the Vercel AI SDK, VoltAgent, LiveKit, Laminar and Langfuse.

Attributes are JSON texts by key, as mlflow keeps them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from runstone.dialects.mlflow.genai import makers
from runstone.dialects.mlflow.genai.makers import Maker
from runstone.dialects.mlflow.genai.texts import loads, telling, whole

INPUTS, OUTPUTS, TYPE, MODEL = (
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.spanType",
    "mlflow.llm.model",
)
FORMAT = "mlflow.message.format"
PROVIDER, USAGE, COST, TOOLS = (
    "mlflow.llm.provider",
    "mlflow.chat.tokenUsage",
    "mlflow.llm.cost",
    "mlflow.chat.tools",
)


class Convention(NamedTuple):
    """The names that a convention has for what mlflow knows; of each the first that tells anything counts."""

    kind: str = ""
    types: Mapping[str, str] = MappingProxyType({})
    #: Of input, output and all tokens, and of those that were read from a cache and put into one.
    tokens: tuple[tuple[str, ...], ...] = ((), (), (), (), ())
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    provider: str = ""
    tools: tuple[str, ...] = ()
    maker: Maker = Maker()


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
_COUNTED = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_OPENINFERENCE = Convention(
    "openinference.span.kind",
    {kind: kind for kind in _KINDS},
    (
        ("llm.token_count.prompt",),
        ("llm.token_count.completion",),
        ("llm.token_count.total",),
        ("llm.token_count.prompt_details.cache_read",),
        ("llm.token_count.prompt_details.cache_write",),
    ),
    ("input.value",),
    ("output.value",),
    ("llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"),
    "llm.provider",
)
_GENAI = Convention(
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
    (
        ("gen_ai.usage.input_tokens",),
        ("gen_ai.usage.output_tokens",),
        (),
        ("gen_ai.usage.cache_read.input_tokens",),
        ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    ),
    ("gen_ai.input.messages", "gen_ai.tool.call.arguments"),
    ("gen_ai.output.messages", "gen_ai.tool.call.result"),
    ("gen_ai.response.model", "gen_ai.request.model"),
    "gen_ai.provider.name",
    ("gen_ai.tool.definitions",),
)
_OPENLLMETRY = Convention(
    "traceloop.span.kind",
    {"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL", "unknown": "UNKNOWN"},
    (
        ("gen_ai.usage.prompt_tokens",),
        ("gen_ai.usage.completion_tokens",),
        ("llm.usage.total_tokens",),
        (),
        (),
    ),
    (
        "traceloop.entity.input",
        r"gen_ai\.prompt\.\d+\.content",
        r"gen_ai\.completion\.\d+\.tool_calls\.\d+\.arguments",
    ),
    ("traceloop.entity.output", r"gen_ai\.completion\.\d+\.content"),
    provider="gen_ai.system",
)
_GOOGLE_ADK = Convention(
    inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"),
    outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
)
_LLM = ("generateText", "streamText", "generateObject", "streamObject")
_VERCEL = Convention(
    "ai.operationId",
    {
        "ai.toolCall": "TOOL",
        "ai.embed": "EMBEDDING",
        "ai.embed.doEmbed": "EMBEDDING",
        "ai.embedMany": "EMBEDDING",
        **{f"ai.{name}": "LLM" for name in _LLM},
        **{f"ai.{name}.do{'Stream' if name.startswith('stream') else 'Generate'}": "LLM" for name in _LLM},
    },
    maker=makers.VERCEL,
)
_VOLTAGENT = Convention(
    tokens=(
        ("usage.prompt_tokens", "llm.usage.prompt_tokens"),
        ("usage.completion_tokens", "llm.usage.completion_tokens"),
        ("usage.total_tokens", "llm.usage.total_tokens"),
        (),
        (),
    ),
    inputs=("agent.messages", "llm.messages", "input"),
    outputs=("output",),
    maker=makers.VOLTAGENT,
)
_LIVEKIT = Convention(
    inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"),
    outputs=("lk.response.text", "lk.response.function_calls"),
    maker=makers.LIVEKIT,
)
_LAMINAR = Convention(
    "lmnr.span.type",
    {
        "LLM": "LLM",
        "TOOL": "TOOL",
        "DEFAULT": "CHAIN",
        "PIPELINE": "CHAIN",
        "EXECUTOR": "AGENT",
        "EVALUATOR": "EVALUATOR",
        "HUMAN_EVALUATOR": "EVALUATOR",
        "EVALUATION": "EVALUATOR",
        "CACHED": "LLM",
    },
    inputs=("lmnr.span.input",),
    outputs=("lmnr.span.output",),
    maker=Maker(format=lambda attributes: "openai" if "lmnr.span.type" in attributes else ""),
)
_LANGFUSE = Convention(
    "langfuse.observation.type",
    {
        "generation": "LLM",
        "span": "UNKNOWN",
        **{
            kind: kind.upper()
            for kind in ("embedding", "tool", "retriever", "agent", "chain", "evaluator", "guardrail")
        },
    },
    inputs=("langfuse.observation.input",),
    outputs=("langfuse.observation.output",),
)
#: The first that tells a thing is believed.
_CONVENTIONS = (
    _OPENINFERENCE,
    Convention(maker=makers.GEMINI),
    Convention(maker=makers.CLAUDE),
    _GENAI,
    Convention(maker=makers.SPRING),
    _OPENLLMETRY,
    _GOOGLE_ADK,
    _VERCEL,
    _VOLTAGENT,
    _LIVEKIT,
    _LAMINAR,
    _LANGFUSE,
)
#: Whose events are looked at, in this order, when no attribute tells.
_IN_EVENTS = (makers.SPRING, makers.LIVEKIT, makers.CLAUDE)


def translate(attributes: dict[str, str], events: Sequence[dict[str, Any]] = ()) -> None:
    """Adds to a span's attributes what they, and its events, say in another convention; what mlflow's own say stays."""
    if kind := _type(attributes):
        attributes[TYPE] = json.dumps(kind)
    for key, text in ((INPUTS, _inputs), (OUTPUTS, _outputs)):
        if key not in attributes and (found := text(attributes, events)):
            attributes[key] = found
    if TOOLS not in attributes and (found := _first(attributes, "tools")):
        attributes[TOOLS] = found
    if USAGE not in attributes and (usage := _usage(attributes)):
        attributes[USAGE] = json.dumps(usage)
    if FORMAT not in attributes:
        told = (each.maker.format(attributes) for each in _CONVENTIONS)
        if form := next(filter(None, told), ""):
            attributes[FORMAT] = json.dumps(form)
    if MODEL not in attributes and (model := _model(attributes)):
        attributes[MODEL] = json.dumps(model, ensure_ascii=False)
    if PROVIDER not in attributes:
        told = (telling(attributes, each.provider) for each in _CONVENTIONS)
        if provider := next(filter(None, told), ""):
            attributes[PROVIDER] = json.dumps(loads(provider), ensure_ascii=False)


def _type(attributes: dict[str, str]) -> str:
    if loads(attributes.get(TYPE)) not in (None, "UNKNOWN"):
        return ""
    for each in _CONVENTIONS:
        told = loads(attributes.get(each.kind))
        if isinstance(told, str) and told in each.types:
            return each.types[told]
        if kind := each.maker.type(attributes):
            return kind
    return ""


def _inputs(attributes: dict[str, str], events: Sequence[dict[str, Any]]) -> str:
    told = (_first_of(attributes, each.inputs) or each.maker.inputs(attributes) for each in _CONVENTIONS)
    if found := next(filter(None, told), ""):
        return found
    return next(filter(None, (each.inputs_of_events(attributes, events) for each in _IN_EVENTS)), "")


def _outputs(attributes: dict[str, str], events: Sequence[dict[str, Any]]) -> str:
    told = (_first_of(attributes, each.outputs) or each.maker.outputs(attributes) for each in _CONVENTIONS)
    if found := next(filter(None, told), ""):
        return found
    return next(filter(None, (each.outputs_of_events(attributes, events) for each in _IN_EVENTS)), "")


def _first(attributes: dict[str, str], what: str) -> str:
    return next(filter(None, (_first_of(attributes, getattr(each, what)) for each in _CONVENTIONS)), "")


def _first_of(attributes: dict[str, str], names: Iterable[str]) -> str:
    return next(filter(None, (_matching(attributes, name) for name in names)), "")


def _matching(attributes: dict[str, str], name: str) -> str:
    if "\\" not in name:
        return telling(attributes, name)
    found = (telling(attributes, key) for key in attributes if re.fullmatch(name, key))
    return next(filter(None, found), "")


def _usage(attributes: dict[str, str]) -> dict[str, int]:
    for each in _CONVENTIONS:
        counted = {
            name: _first_whole(attributes, names) for name, names in zip(_COUNTED, each.tokens, strict=True)
        } | each.maker.usage(attributes)
        given, made = counted["input_tokens"], counted["output_tokens"]
        if counted["total_tokens"] is None and given is not None and made is not None:
            counted["total_tokens"] = given + made
        if any(counted[name] is not None for name in _COUNTED[:3]):
            return {name: count for name, count in counted.items() if count is not None}
    return {}


def _first_whole(attributes: dict[str, str], names: Iterable[str]) -> int | None:
    return next((count for name in names if (count := whole(attributes.get(name))) is not None), None)


def _model(attributes: dict[str, str]) -> str:
    for each in _CONVENTIONS:
        for name in each.models:
            if found := telling(attributes, name):
                return str(loads(found))
    for key in (INPUTS, OUTPUTS):
        told = loads(attributes.get(key))
        if isinstance(told, dict) and told.get("model"):
            return told["model"] if isinstance(told["model"], str) else ""
    return ""
