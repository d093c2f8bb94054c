"""Spans as various programs and libraries send them: their attributes, and the events of some."""

import json


def _event(name, **attributes):
    return {"name": name, "attributes": attributes}


def _tell(value):
    return value if isinstance(value, str) else json.dumps(value)


CHAT = [{"role": "user", "content": "hi"}]
PARTS = [{"role": "model", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]
#: By maker: (attributes, events) of each span.
SPANS = {
    "gemini cli": [
        ({"gen_ai.agent.name": "gemini-cli", "gen_ai.operation.name": "llm_call", "gen_ai.input.messages": _tell(CHAT),
          "gen_ai.output.messages": _tell(PARTS), "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}, []),
        ({"gen_ai.agent.name": "gemini-cli", "gen_ai.operation.name": "user_prompt", "gen_ai.input.messages": "plain"}, []),
        ({"gen_ai.agent.name": "gemini-cli", "gen_ai.operation.name": "tool_call", "gen_ai.tool.call.arguments": _tell({"a": 1}),
          "gen_ai.tool.call.result": _tell({"b": 2})}, []),
        ({"gen_ai.agent.name": "gemini-cli", "gen_ai.operation.name": "agent_call",
          "gen_ai.input.messages": _tell({"contents": []}), "gen_ai.output.messages": _tell({"candidates": [1]})}, []),
        ({"gen_ai.agent.name": "other", "gen_ai.operation.name": "llm_call", "gen_ai.input.messages": _tell(CHAT)}, []),
    ],
    "claude code": [
        ({"span.type": "claude_code.interaction", "user_prompt": "what", "new_context": "c"}, []),
        ({"span.type": "interaction", "user_prompt": "<REDACTED>", "new_context": "c"}, []),
        ({"span.type": "llm_request", "new_context": "c", "response.model_output": "out", "input_tokens": 5,
          "output_tokens": 6, "cache_read_tokens": 7, "cache_creation_tokens": 8}, []),
        ({"span.type": "claude_code.llm_request", "output_tokens": "6"}, []),
        ({"span.type": "tool", "file_path": "/a", "full_command": "ls", "skill_name": "<REDACTED>"},
         [_event("other", output="no"), _event("tool.output", output="<REDACTED>", content="kept")]),
        ({"span.type": "tool", "tool_input": _tell({"a": 1}), "new_context": "result"}, []),
        ({"span.type": "claude_code.other", "user_prompt": "x", "input_tokens": 5}, []),
    ],
    "spring ai": [
        ({"gen_ai.operation.name": "chat"},
         [_event("gen_ai.content.prompt", **{"gen_ai.prompt": "asked"}), _event("gen_ai.content.completion", **{"gen_ai.completion": "said"})]),
        ({"gen_ai.operation.name": "embeddings"}, [_event("gen_ai.content.prompt", **{"gen_ai.prompt": '["json"]'})]),
    ],
    "openllmetry": [
        ({"traceloop.span.kind": "tool", "gen_ai.completion.0.tool_calls.0.arguments": "args", "gen_ai.completion.0.content": "c"}, []),
        ({"traceloop.span.kind": "workflow", "gen_ai.prompt.1.content": "p", "gen_ai.system": "nobody"}, []),
    ],
    "google adk": [
        ({"gcp.vertex.agent.llm_request": _tell({"a": 1}), "gcp.vertex.agent.llm_response": _tell({"b": 2})}, []),
        ({"gcp.vertex.agent.llm_request": "{}", "gcp.vertex.agent.tool_call_args": "x", "gcp.vertex.agent.tool_response": "y"}, []),
    ],
    "vercel ai": [
        ({"ai.operationId": "ai.generateText", "ai.prompt": _tell({"prompt": "x"}), "ai.response.text": "y"}, []),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.prompt.messages": _tell(CHAT),
          "ai.prompt.format": "messages", "ai.response.text": "y", "ai.response.finishReason": "stop"}, []),
        ({"ai.operationId": "ai.toolCall", "ai.toolCall.args": _tell({"a": 1}), "ai.toolCall.result": "3"}, []),
        ({"ai.operationId": "ai.embedMany", "ai.values": _tell(["a"]), "ai.embeddings": _tell([[1]])}, []),
        ({"ai.operationId": "ai.streamObject.doStream", "ai.value": "v", "ai.response.object": _tell({"o": 1})}, []),
    ],
    "voltagent": [
        ({"entity.type": "agent", "voltagent.operation_id": "o", "agent.messages": _tell(CHAT), "output": "said",
          "usage.prompt_tokens": 3, "usage.completion_tokens": 4, "usage.total_tokens": 9}, []),
        ({"entity.type": "agent", "span.type": "llm", "llm.messages": _tell(CHAT), "llm.usage.prompt_tokens": 1,
          "llm.usage.completion_tokens": 1}, []),
        ({"entity.type": "agent", "span.type": "memory", "input": "x", "output": _tell({"y": 1})}, []),
        ({"entity.type": "agent", "span.type": "tool", "input": "x"}, []),
    ],
    "livekit": [
        ({"lk.agent_name": "a", "lk.user_input": "hello", "lk.response.text": "there"}, []),
        ({"lk.function_tool.name": "t", "lk.input_text": "x"}, []),
        ({"lk.retry_count": 1, "lk.chat_ctx": _tell({"items": []})}, []),
        ({"lk.room_name": "r", "gen_ai.request.model": "no-such-model", "gen_ai.usage.input_tokens": 2},
         [_event("gen_ai.system.message", content="be"), _event("gen_ai.user.message", content="hi"),
          _event("gen_ai.assistant.message", content="yo"), _event("gen_ai.choice", role="assistant", content="done")]),
    ],
    "laminar": [
        ({"lmnr.span.type": "LLM", "lmnr.span.input": _tell(CHAT), "lmnr.span.output": "x", "gen_ai.system": "nobody"}, []),
        ({"lmnr.span.type": "EXECUTOR", "lmnr.span.input": "1"}, []),
        ({"lmnr.span.type": "HUMAN_EVALUATOR"}, []),
    ],
    "langfuse": [
        ({"langfuse.observation.type": kind, "langfuse.observation.input": "i", "langfuse.observation.output": "o"}, [])
        for kind in ("generation", "embedding", "retriever", "guardrail", "span", "none")
    ],
}  # fmt: skip
