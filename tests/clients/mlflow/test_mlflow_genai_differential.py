"""Traces and what is judged with them: the same requests to the genuine server and to ours, the same statuses and bodies, field by field.

What differs on purpose is not asked here, and listed in docs/mlflow.md.
"""

import json
import os
import random

import pytest
from genuine import compare
from spanmakers import SPANS

pytestmark = pytest.mark.filterwarnings("ignore")
SEARCHES = int(os.environ.get("RUNSTONE_MLFLOW_SEQUENCES", "8"))
A = "/api/3.0/mlflow/traces"
OLD = "/api/2.0/mlflow/traces"
NEW = ("POST", "mlflow/experiments/create", {"name": "traces {seed}"}, "e=experiment_id")
PLACE = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$e"}}


def trace_id(name):
    """OpenTelemetry's id of a trace by a name of ours; :func:`compare` fills it in."""
    return f"{{id:{name}}}"


def started(name, **fields):
    found = {
        "trace_id": f"tr-{trace_id(name)}",
        "trace_location": PLACE,
        "request_time": "2025-05-01T10:00:00.500Z",
        "execution_duration": "1.25s",
        "state": "OK",
    }
    return ("POST", A, {"trace": {"trace_info": found | fields}})


def span(name, number, parent="", at=1_700_000_000_000_000_000, length=5_000_000, status=0, **attributes):
    return {
        "traceId": trace_id(name),
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": f"step {number}",
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + length),
        "status": {"code": status},
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


def text(value):
    return {"stringValue": value}


def sent(*spans, resource=(), experiment="$e"):
    groups = [{"resource": {"attributes": list(resource)}, "scopeSpans": [{"spans": list(spans)}]}]
    return ("OTLP", "/v1/traces", {"experiment": experiment, "body": {"resourceSpans": groups}})


def asked(name):
    return [
        ("GET", f"{A}/tr-{trace_id(name)}", {}),
        ("GET", f"{A}/get", {"trace_id": f"tr-{trace_id(name)}", "allow_partial": "true"}),
    ]


def searched(filter="", **more):
    return ("POST", f"{A}/search", {"locations": [PLACE], "filter": filter, **more})


T = f"{A}/tr-{trace_id('a')}"
GOOD = {
    "assessment_name": "good",
    "source": {"source_type": "HUMAN", "source_id": "bob"},
    "create_time": "2025-05-01T10:00:01Z",
    "last_update_time": "2025-05-01T10:00:01Z",
    "feedback": {"value": True},
    "rationale": "because",
    "metadata": {"k": "v"},
}
EXPECTED = GOOD | {"assessment_name": "wanted", "feedback": None}


SEQUENCES = {
    "told": [
        NEW,
        started(
            "a",
            client_request_id="c1",
            request_preview="in",
            response_preview="out",
            trace_metadata={"m": "n", "mlflow.trace.session": "s", "long": "x" * 300},
            tags={"t": "v", "mlflow.traceName": "first"},
        ),
        ("GET", T, {}),
        started("a", state="ERROR", trace_metadata={"m": "o", "more": "yes"}, tags={"t": "w"}),
        ("GET", T, {}),
        started("b", state="IN_PROGRESS", execution_duration="0s", request_time="2025-05-01T10:00:00Z"),
        started("c", trace_metadata={
            "mlflow.trace.tokenUsage": '{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "odd": 1}',
            "mlflow.trace.cost": '{"input_cost": 0.5, "total_cost": 1}',
        }),
        ("GET", f"{A}/tr-{trace_id('c')}", {}),
        started("d", trace_metadata={"mlflow.trace.tokenUsage": "no JSON", "mlflow.trace.cost": "[1]"}),
        started("e", tags={"mlflow.traceName": "x" * 4097}),
        started("f", trace_metadata={"mlflow.trace.session": "x" * 251}),
        ("POST", A, {}),
        ("POST", A, {"trace": {"trace_info": {"trace_id": "tr-x", "trace_location": {
            "type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "99999999"}}}}}),
        ("GET", f"{A}/tr-none", {}),
        ("GET", f"{A}/get", {"trace_id": "tr-none"}),
        ("GET", f"{A}/get", {}),
        ("POST", f"{A}/batchGetInfos", {"trace_ids": [f"tr-{trace_id('b')}", "tr-none", f"tr-{trace_id('a')}"]}),
        ("POST", f"{A}/batchGetInfos", {"trace_ids": [f"tr-{trace_id('b')}"], "experiment_ids": ["0"]}),
        ("POST", f"{A}/batchGetInfos", {"trace_ids": 5}),
        ("POST", f"{A}/batchGetInfos", {}),
        ("GET", f"{A}/batchGet", {"trace_ids": ["tr-none"]}),
    ],
    "tagged": [
        NEW,
        started("a", tags={"t": "v"}),
        ("PATCH", f"{T}/tags", {"key": "k", "value": "w"}),
        ("PATCH", f"{OLD}/tr-{trace_id('a')}/tags", {"key": "l", "value": "x" * 9000}),
        ("PATCH", f"{T}/tags", {"key": "mlflow.traceName", "value": "named"}),
        ("PATCH", f"{T}/tags", {"key": "a//b", "value": "w"}),
        ("PATCH", f"{T}/tags", {"key": "x" * 251, "value": "w"}),
        ("PATCH", f"{T}/tags", {"value": "w"}),
        ("PATCH", f"{T}/tags", {"key": 5, "value": "w"}),
        ("PATCH", f"{T}/tags", {"key": "mlflow.trace.spansLocation", "value": "w"}),
        ("GET", T, {}),
        ("DELETE", f"{T}/tags", {"key": "k"}),
        ("DELETE", f"{OLD}/tr-{trace_id('a')}/tags", {"key": "k"}),
        ("DELETE", f"{T}/tags", {"key": "mlflow.traceName"}),
        ("DELETE", f"{T}/tags", {"key": "mlflow.traceName"}),
        ("DELETE", f"{T}/tags", {"key": "mlflow.trace.spansLocation"}),
        ("GET", T, {}),
        ("GET", f"{OLD}/tr-{trace_id('a')}/info", {}),
        ("GET", f"{OLD}/tr-none/info", {}),
    ],
    "spans": [
        NEW,
        sent(span("a", 2, 1, a={"intValue": "5"}, b={"boolValue": True}, c={"doubleValue": 1.5}, d=text("plain"))),
        *asked("a"),
        sent(
            span("a", 1, status=1, length=9_000_000, **{
                "mlflow.spanInputs": text('{"q": "what"}'), "mlflow.spanOutputs": text('"answer"'),
                "mlflow.spanType": text('"CHAIN"'), "mlflow.traceTag.t": text("v"), "session.id": text("s"),
                "user.id": text("u"), "l": {"arrayValue": {"values": [{"intValue": 1}, text("x"), {}]}},
                "m": {"kvlistValue": {"values": [{"key": "k", "value": text("v")}]}}, "none": {},
                "empty": {"arrayValue": {}}, "json": text("[1, 2]"), "quoted": text('"x"'),
            }),
            resource=[{"key": "service.name", "value": text("svc")}, {"key": "n", "value": {"intValue": 37777}},
                      {"key": "telemetry.sdk.name", "value": text("no")}],
        ),
        *asked("a"),
        ("GET", f"{A}/batchGet", {"trace_ids": f"tr-{trace_id('a')}"}),
        sent(span("a", 2, 1, status=2, length=50_000_000)),
        *asked("a"),
        # Messages, of which the last is the preview.
        sent(span("b", 1, status=2, **{
            "mlflow.spanInputs": text('{"messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "x"}]}'),
            "mlflow.spanOutputs": text('{"choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "yo"}]}}]}'),
        })),
        *asked("b"),
        # Other makers' words.
        sent(span("c", 1, **{
            "gen_ai.operation.name": text("chat"), "gen_ai.usage.input_tokens": {"intValue": "3"},
            "gen_ai.usage.output_tokens": {"intValue": "4"}, "gen_ai.request.model": text("no-such-model"),
            "gen_ai.provider.name": text("nobody"), "gen_ai.input.messages": text('[{"role": "user"}]'),
        }), span("c", 2, 1, **{
            "openinference.span.kind": text("LLM"), "llm.token_count.prompt": {"intValue": 10}, "input.value": text("x"),
        })),
        *asked("c"),
        # A trace that its maker told of first.
        started("d", trace_metadata={"mlflow.trace.tokenUsage": '{"input_tokens": 1}'}),
        sent(span("d", 1, **{"mlflow.chat.tokenUsage": text('{"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}')})),
        *asked("d"),
        # Usage that a parent tells of its children too, and that comes in parts.
        sent(span("f", 2, 1, **{"mlflow.chat.tokenUsage": text('{"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}')})),
        sent(span("f", 3, 1, **{"mlflow.chat.tokenUsage": text('{"input_tokens": 1, "total_tokens": 1, "cache_read_input_tokens": 2}'),
                                "mlflow.llm.cost": text('{"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}')})),
        *asked("f"),
        sent(span("f", 1, **{"mlflow.chat.tokenUsage": text('{"input_tokens": 100, "output_tokens": 6, "total_tokens": 106}')})),
        *asked("f"),
        ("GET", f"{A}/get", {"trace_id": f"tr-{trace_id('f')}"}),
    ],
    "refused spans": [
        NEW,
        sent(span("a", 1), experiment="99999999"),
        ("OTLP", "/v1/traces", {"experiment": "$e", "body": {}}),
        ("OTLP", "/v1/traces", {"experiment": "$e", "body": {"resourceSpans": [{}]}}),
        sent({"traceId": trace_id("a"), "name": "x"}),
        sent({"traceId": "zz", "spanId": "01"}),
        ("POST", "/v1/traces", {}),
    ],
    "deleted": [
        NEW,
        *(started(str(at), request_time=f"2025-05-01T10:00:0{at}Z") for at in range(6)),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e"}),
        ("POST", f"{A}/delete-traces", {"max_timestamp_millis": 5}),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e", "max_timestamp_millis": 5, "request_ids": ["x"]}),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e", "max_traces": 1, "request_ids": ["x"]}),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e", "max_traces": 0, "max_timestamp_millis": 5}),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e", "max_timestamp_millis": 1746093602000, "max_traces": 2}),
        searched(),
        ("POST", f"{OLD}/delete-traces", {"experiment_id": "$e", "request_ids": [f"tr-{trace_id('4')}", "tr-none"]}),
        ("POST", f"{OLD}/delete-traces", {"experiment_id": "0", "request_ids": [f"tr-{trace_id('5')}"]}),
        ("POST", f"{OLD}/delete-traces", {"experiment_id": "$e", "max_timestamp_millis": 1746093602000}),
        searched(),
        *asked("4"),
    ],
    "linked": [
        NEW,
        ("POST", "mlflow/runs/create", {"experiment_id": "$e", "start_time": 5, "run_name": "r"}, "r=run.info.run_id"),
        started("a", request_time="2025-05-01T10:00:01Z"),
        started("b", request_time="2025-05-01T10:00:02Z", trace_metadata={"mlflow.sourceRun": "$r"}),
        started("c", request_time="2025-05-01T10:00:03Z"),
        ("POST", f"{OLD}/link-to-run", {"trace_ids": [f"tr-{trace_id('a')}", "tr-none"], "run_id": "$r"}),
        ("POST", f"{OLD}/link-to-run", {"trace_ids": ["x"] * 101, "run_id": "$r"}),
        ("POST", f"{OLD}/link-to-run", {"run_id": "$r"}),
        ("POST", f"{OLD}/link-prompts", {"trace_id": f"tr-{trace_id('c')}", "prompt_versions": [{"name": "p", "version": "3"}]}),
        ("POST", f"{OLD}/link-prompts", {"trace_id": "tr-none", "prompt_versions": [{"name": "p", "version": "3"}]}),
        searched("run_id = '$r'"),
        searched("trace.run_id = '$r' AND trace.status = 'OK'"),
        searched("run_id != '$r'"),
        searched("prompt = 'p/3'"),
        searched("prompt = 'p/4'"),
        searched("prompt = 'p'"),
        searched("prompt LIKE 'p/3'"),
    ],
    "assessed": [
        NEW,
        started("a", trace_metadata={"mlflow.trace.session": "s"}),
        ("POST", f"{T}/assessments", {"assessment": GOOD}, "one=assessment.assessment_id"),
        ("GET", f"{T}/assessments/$one", {}),
        ("GET", f"{T}/assessments/a-none", {}),
        ("GET", f"{A}/tr-none/assessments/a-none", {}),
        ("POST", f"{A}/tr-none/assessments", {"assessment": GOOD}),
        ("POST", f"{T}/assessments", {}),
        ("POST", f"{T}/assessments", {"assessment": {"assessment_name": "x"}}),
        ("POST", f"{T}/assessments", {"assessment": EXPECTED | {"expectation": {"value": 5}}}, "two=assessment.assessment_id"),
        ("POST", f"{T}/assessments", {"assessment": EXPECTED | {"expectation": {"serialized_value": {
            "serialization_format": "JSON_FORMAT", "value": '{"a": [1, 2]}'}}}}, "three=assessment.assessment_id"),
        ("POST", f"{T}/assessments", {"assessment": EXPECTED | {"expectation": {"serialized_value": {
            "serialization_format": "OTHER", "value": "1"}}}}),
        ("POST", f"{T}/assessments", {"assessment": GOOD | {"overrides": "$one", "feedback": {"value": 0.5, "error": {
            "error_code": "E", "error_message": "m"}}}}, "four=assessment.assessment_id"),
        ("GET", f"{T}/assessments/$one", {}),
        ("POST", f"{T}/assessments", {"assessment": GOOD | {"overrides": "a-none"}}),
        ("PATCH", f"{T}/assessments/$one", {"assessment": {"rationale": "changed", "feedback": {"value": "no"}, "metadata": {"l": "w"}},
                                           "update_mask": "rationale,feedback,metadata"}),
        ("PATCH", f"{T}/assessments/$one", {"assessment": {"assessment_name": "better"}, "update_mask": "assessmentName"}),
        ("PATCH", f"{T}/assessments/$one", {"assessment": {"expectation": {"value": 1}}, "update_mask": "expectation"}),
        ("PATCH", f"{T}/assessments/$two", {"assessment": {"feedback": {"value": 1}}, "update_mask": "feedback"}),
        ("PATCH", f"{T}/assessments/$two", {"assessment": {"expectation": {"value": "x"}}, "update_mask": "expectation"}),
        ("PATCH", f"{T}/assessments/a-none", {"assessment": {"rationale": "x"}, "update_mask": "rationale"}),
        ("PATCH", f"{T}/assessments/$one", {"assessment": {"rationale": "x"}}),
        ("GET", T, {}),
        ("DELETE", f"{T}/assessments/$four", {}),
        ("DELETE", f"{T}/assessments/$four", {}),
        ("DELETE", f"{A}/tr-none/assessments/$four", {}),
        ("GET", f"{T}/assessments/$one", {}),
        ("POST", f"{T}/assessments", {"assessment": GOOD | {"feedback": None, "issue": {"issue_name": "slow"}}}, "five=assessment.assessment_id"),
        ("PATCH", f"{T}/assessments/$five", {"assessment": {"feedback": {"value": 1}}, "update_mask": "feedback"}),
        searched("issue.id = 'good'"),
        searched("issue.name = 'good'"),
    ],
    "old routes": [
        NEW,
        ("POST", OLD, {"experiment_id": "$e", "timestamp_ms": 1000, "request_metadata": [{"key": "m", "value": "n"}],
                       "tags": [{"key": "t", "value": "v"}]}, "t=trace_info.request_id"),
        ("PATCH", f"{OLD}/$t", {"timestamp_ms": 1500, "status": "OK", "request_metadata": [{"key": "o", "value": "p"}],
                                "tags": [{"key": "mlflow.traceName", "value": "old"}]}),
        ("GET", f"{OLD}/$t/info", {}),
        ("GET", f"{A}/$t", {}),
        ("PATCH", f"{OLD}/none", {"timestamp_ms": 1500, "status": "OK"}),
        ("GET", OLD, {"experiment_ids": ["$e"], "max_results": 5}),
        ("GET", OLD, {"experiment_ids": ["$e"], "filter": "status = 'ERROR'"}),
        ("GET", OLD, {}),
        ("POST", OLD, {"experiment_id": "99999999", "timestamp_ms": 1000}),
    ],
}  # fmt: skip


def _value(value):
    return {"intValue": value} if isinstance(value, int) else text(value)


def _made(maker):
    """The spans of a maker, each in a trace of its own, and what is told of them."""
    steps = [NEW]
    for at, (attributes, events) in enumerate(SPANS[maker]):
        made = span(str(at), 1, **{key: _value(value) for key, value in attributes.items()})
        made["events"] = [
            {
                "name": event["name"],
                "timeUnixNano": "1700000000000000001",
                "attributes": [
                    {"key": key, "value": text(value)} for key, value in event["attributes"].items()
                ],
            }
            for event in events
        ]
        steps += [sent(made), *asked(str(at))]
    return steps


SEQUENCES |= {f"spans of {maker}": _made(maker) for maker in SPANS}
S = "/api/3.0/mlflow/scorers"
D = "/api/3.0/mlflow/datasets"
JUDGE = (
    '{"name": "j", "builtin_scorer_class": "Safety", "builtin_scorer_pydantic_data": {"model": "openai:/x"}}'
)
SC = {"experiment_id": "$e", "name": "judge"}

SEQUENCES |= {
    "scorers": [
        NEW,
        ("POST", f"{S}/register", SC | {"serialized_scorer": JUDGE}, "s=scorer_id"),
        ("POST", f"{S}/register", SC | {"serialized_scorer": "{}"}),
        ("POST", f"{S}/register", {"experiment_id": "$e", "name": "a", "serialized_scorer": "{}"}, "t=scorer_id"),
        ("POST", f"{S}/register", SC | {"serialized_scorer": "no JSON"}),
        ("POST", f"{S}/register", SC | {"name": " ", "serialized_scorer": "{}"}),
        ("POST", f"{S}/register", SC | {"serialized_scorer": '{"builtin_scorer_pydantic_data": {"model": " "}}'}),
        ("POST", f"{S}/register", SC),
        ("POST", f"{S}/register", SC | {"experiment_id": "99999999", "serialized_scorer": "{}"}),
        ("GET", f"{S}/list", {"experiment_id": "$e"}),
        ("GET", f"{S}/list", {"experiment_ids": ["$e"]}),
        ("GET", f"{S}/list", {"experiment_id": "$e", "experiment_ids": ["$e"]}),
        ("GET", f"{S}/versions", SC),
        ("GET", f"{S}/versions", SC | {"name": "none"}),
        ("GET", f"{S}/get", SC),
        ("GET", f"{S}/get", SC | {"version": 1}),
        ("GET", f"{S}/get", SC | {"version": 9}),
        ("GET", f"{S}/get", SC | {"name": "none"}),
        ("GET", f"{S}/get", {"name": "none"}),
        ("PUT", f"{S}/online-config", SC | {"sample_rate": 2}),
        ("PUT", f"{S}/online-config", SC | {"sample_rate": 0.5}),
        ("PUT", f"{S}/online-config", SC | {"sample_rate": 0, "filter_string": "bad.x = 'y'"}),
        ("PUT", f"{S}/online-config", SC | {"sample_rate": 0, "filter_string": "status = 'OK'"},
         "c=config.online_scoring_config_id"),
        ("GET", f"{S}/online-configs", {"scorer_ids": ["$s", "none"]}),
        ("DELETE", f"{S}/delete", SC | {"version": 1}),
        ("DELETE", f"{S}/delete", SC | {"version": 1}),
        ("GET", f"{S}/versions", SC),
        ("DELETE", f"{S}/delete", SC),
        ("DELETE", f"{S}/delete", SC),
        ("GET", f"{S}/get", SC),
    ],
    "datasets": [
        NEW,
        ("POST", f"{D}/create", {"name": "d {seed}", "experiment_ids": ["$e"], "tags": '{"t": "v", "mlflow.user": "bob"}'},
         "d=dataset.dataset_id"),
        ("POST", f"{D}/create", {"name": "d {seed}"}, "f=dataset.dataset_id"),
        ("POST", f"{D}/create", {}),
        ("GET", f"{D}/$d", {}),
        ("GET", f"{D}/d-none", {}),
        ("GET", f"{D}/$d/experiment-ids", {}),
        ("GET", f"{D}/$f/experiment-ids", {}),
        ("GET", f"{D}/$d/records", {}),
        ("POST", f"{D}/$d/records", {"records": json.dumps([
            {"inputs": {"q": "a", "n": 1}, "expectations": {"e": [1]}, "tags": {"mlflow.user": "ann"},
             "source": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}},
        ])}),
        ("POST", f"{D}/$d/records", {"records": json.dumps([
            {"inputs": {"n": 1, "q": "a"}, "outputs": {"y": "out"}, "expectations": {"f": None}},
            {"inputs": {"n": 2.5}, "outputs": {"x": True}},
        ])}),
        ("POST", f"{D}/$d/records", {}),
        ("GET", f"{D}/$d", {}),
        ("PATCH", f"{D}/$d/tags", {"tags": '{"t": null, "u": "w"}'}),
        ("PATCH", f"{D}/d-none/tags", {"tags": "{}"}),
        ("DELETE", f"{D}/$d/tags/u", {}),
        ("DELETE", f"{D}/$d/tags/none", {}),
        ("POST", f"{D}/$f/add-experiments", {"experiment_ids": ["$e"]}),
        ("POST", f"{D}/$f/add-experiments", {"experiment_ids": ["99999999"]}),
        ("POST", f"{D}/d-none/add-experiments", {"experiment_ids": ["$e"]}),
        ("GET", f"{D}/$f/experiment-ids", {}),
        ("POST", f"{D}/$f/remove-experiments", {"experiment_ids": ["0", "77"]}),
        ("GET", f"{D}/$f/experiment-ids", {}),
        ("POST", f"{D}/search", {"experiment_ids": ["$e"], "filter_string": "tags.t = 'v'"}),
        ("GET", f"{D}/search", {"filter_string": "name = 'd {seed}' AND created_by = 'bob'"}),
        ("POST", f"{D}/search", {"experiment_ids": ["$e"], "filter_string": "name LIKE 'D%'"}),
        ("POST", f"{D}/search", {"experiment_ids": ["$e"], "filter_string": "name ILIKE 'D%' AND tags.t LIKE 'v'"}),
        ("POST", f"{D}/search", {"filter_string": "bad = 'x'"}),
        ("POST", f"{D}/search", {"filter_string": "params.x = 'x'"}),
        ("POST", f"{D}/search", {"filter_string": "name > 'x'"}),
        ("POST", f"{D}/search", {"filter_string": "created_time > 'x'"}),
        ("POST", f"{D}/search", {"order_by": ["bad"]}),
        ("DELETE", f"{D}/$d/records", {"dataset_record_ids": ["dr-none"]}),
        ("DELETE", f"{D}/$d", {}),
        ("DELETE", f"{D}/$d", {}),
        ("GET", f"{D}/$d", {}),
    ],
}  # fmt: skip


ISSUES = "/api/3.0/mlflow/issues"
L = "/api/3.0/mlflow/label-schemas"
Q = "/api/3.0/mlflow/review-queues"
EX = {"experiment_id": "$e"}
YES_NO = {"pass_fail": {"positive_label": "yes", "negative_label": "no"}}
PICK = {"categorical": {"options": ["a", "b"], "multi_select": True}}
QUEUE = {**EX, "name": "My Queue", "queue_type": "CUSTOM"}
TRACES = [f"tr-{trace_id('a')}", f"tr-{trace_id('b')}"]

SEQUENCES |= {
    "issues": [
        NEW,
        ("POST", ISSUES, EX | {"name": "slow", "description": "very"}, "i=issue.issue_id"),
        ("POST", ISSUES, EX | {"name": "wrong", "description": "x", "severity": "high", "status": "resolved",
                          "root_causes": ["a", "b"], "categories": ["c"], "created_by": "ann"}, "j=issue.issue_id"),
        ("POST", ISSUES, EX | {"name": "slow"}),
        ("POST", ISSUES, {"name": "slow", "description": "x", "experiment_id": "99999999"}),
        ("GET", f"{ISSUES}/$i", {}),
        ("GET", f"{ISSUES}/iss-none", {}),
        ("PATCH", f"{ISSUES}/$i", {"issue_id": "$i", "status": "rejected", "name": "slower", "severity": "low"}),
        ("PATCH", f"{ISSUES}/$i", {"issue_id": "$i", "description": "new"}),
        ("PATCH", f"{ISSUES}/$i", {}),
        ("PATCH", f"{ISSUES}/iss-none", {"issue_id": "iss-none", "status": "resolved"}),
        started("a"),
        ("POST", f"{T}/assessments", {"assessment": GOOD | {"assessment_name": "$i", "feedback": None,
                                                            "issue": {"issue_name": "slow"}}}, "k=assessment.assessment_id"),
        searched("issue.id = '$i'"),
        ("POST", f"{ISSUES}/search", EX),
        ("POST", f"{ISSUES}/search", EX | {"include_trace_count": True, "max_results": 1}),
        ("POST", f"{ISSUES}/search", EX | {"filter_string": "status = 'rejected'"}),
        ("POST", f"{ISSUES}/search", EX | {"filter_string": "status != 'rejected'"}),
        ("POST", f"{ISSUES}/search", EX | {"filter_string": "name = 'x'"}),
        ("POST", f"{ISSUES}/search", EX | {"filter_string": "status LIKE 'x'"}),
        ("POST", f"{ISSUES}/search", EX | {"max_results": 0}),
    ],
    "label schemas": [
        NEW,
        ("POST", f"{L}/create", EX | {"name": "right", "type": "FEEDBACK", "input": YES_NO, "instruction": "Is it?"},
         "l=label_schema.schema_id"),
        ("POST", f"{L}/create", EX | {"name": "right", "type": "FEEDBACK", "input": YES_NO}),
        ("POST", f"{L}/create", EX | {"name": "kind", "type": "EXPECTATION", "input": PICK, "enable_comment": True},
         "m=label_schema.schema_id"),
        ("POST", f"{L}/create", EX | {"name": "num", "type": "FEEDBACK", "input": {"numeric": {"min_value": 1, "max_value": 5}}},
         "n=label_schema.schema_id"),
        ("POST", f"{L}/create", EX | {"name": "txt", "type": "FEEDBACK", "input": {"text": {"max_length": 10}}},
         "o=label_schema.schema_id"),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"text": {"max_length": 0}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"numeric": {"min_value": 5, "max_value": 5}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"categorical": {"options": []}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"categorical": {"options": ["a", "a"]}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"categorical": {"options": ["a" * 65]}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"pass_fail": {"positive_label": "a", "negative_label": "a"}}}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": {"pass_fail": {"negative_label": "a"}}}),
        ("POST", f"{L}/create", EX | {"name": "feedback", "type": "FEEDBACK", "input": YES_NO}),
        ("POST", f"{L}/create", EX | {"name": "x" * 251, "type": "FEEDBACK", "input": YES_NO}),
        ("POST", f"{L}/create", EX | {"name": "x", "type": "FEEDBACK", "input": YES_NO, "instruction": "x" * 1001}),
        ("POST", f"{L}/create", EX | {"name": "x", "input": YES_NO}),
        ("POST", f"{L}/create", EX),
        ("POST", f"{L}/create", {"experiment_id": "99999999", "name": "x", "type": "FEEDBACK", "input": YES_NO}),
        ("GET", f"{L}/get", {"schema_id": "$l"}),
        ("GET", f"{L}/get", {"schema_id": "none"}),
        ("GET", f"{L}/get-by-name", EX | {"name": "kind"}),
        ("GET", f"{L}/get-by-name", EX | {"name": "none"}),
        ("PATCH", f"{L}/update", {"schema_id": "$l", "name": "left", "enable_comment": True}),
        ("PATCH", f"{L}/update", {"schema_id": "$l", "name": "kind"}),
        ("PATCH", f"{L}/update", {"schema_id": "$l", "input": PICK}),
        ("PATCH", f"{L}/update", {"schema_id": "$m", "input": {"categorical": {"options": ["c"], "multi_select": True}}}),
        ("PATCH", f"{L}/update", {"schema_id": "$m", "input": {"categorical": {"options": ["c"]}}}),
        ("PATCH", f"{L}/update", {"schema_id": "none", "name": "x"}),
        ("GET", f"{L}/list", EX | {"max_results": 0}),
        ("DELETE", f"{L}/delete", {"schema_id": "$l"}),
        ("DELETE", f"{L}/delete", {"schema_id": "$m"}),
        ("DELETE", f"{L}/delete", {"schema_id": "$n"}),
        ("DELETE", f"{L}/delete", {"schema_id": "$o"}),
        ("DELETE", f"{L}/delete", {"schema_id": "$o"}),
        ("GET", f"{L}/list", EX, "p=label_schemas.0.schema_id"),
        ("DELETE", f"{L}/delete", {"schema_id": "$p"}),
        ("PATCH", f"{L}/update", {"schema_id": "$p", "name": "x"}),
    ],
    "review queues": [
        NEW,
        ("POST", f"{L}/create", EX | {"name": "right", "type": "FEEDBACK", "input": YES_NO}, "l=label_schema.schema_id"),
        started("a"),
        started("b"),
        ("POST", f"{Q}/create", QUEUE | {"users": ["Bob", " ann "], "schema_ids": ["$l"]}, "q=review_queue.queue_id"),
        ("POST", f"{Q}/create", QUEUE | {"name": "my queue"}),
        ("POST", f"{Q}/create", QUEUE | {"name": "Default"}),
        ("POST", f"{Q}/create", QUEUE | {"name": "x", "schema_ids": ["none"]}),
        ("POST", f"{Q}/create", QUEUE | {"name": "x", "users": [f"u{at}" for at in range(11)]}),
        ("POST", f"{Q}/create", QUEUE | {"name": "x", "users": [" "]}),
        ("POST", f"{Q}/create", QUEUE | {"name": "x", "queue_type": "USER", "users": ["y"]}),
        ("POST", f"{Q}/create", QUEUE | {"name": "x", "queue_type": "USER", "schema_ids": ["$l"]}),
        ("POST", f"{Q}/create", EX | {"name": "x"}),
        ("POST", f"{Q}/create", EX),
        ("POST", f"{Q}/create", QUEUE | {"experiment_id": "99999999"}),
        ("POST", f"{Q}/get-or-create-user", EX | {"user": "Eve"}, "u=review_queue.queue_id"),
        ("POST", f"{Q}/get-or-create-user", EX | {"user": "eve"}),
        ("POST", f"{Q}/get-or-create-user", EX | {"user": "my queue"}),
        ("GET", f"{Q}/get", {"queue_id": "$q"}),
        ("GET", f"{Q}/get", {"queue_id": "none"}),
        ("GET", f"{Q}/get-by-name", EX | {"name": "MY QUEUE"}),
        ("GET", f"{Q}/get-by-name", EX | {"name": "none"}),
        ("GET", f"{Q}/list", EX | {"user": "BOB"}),
        ("GET", f"{Q}/list", EX | {"max_results": 0}),
        ("POST", f"{Q}/items/add", {"queue_id": "$q", "item_ids": TRACES}),
        ("POST", f"{Q}/items/add", {"queue_id": "$q", "item_ids": TRACES[:1]}),
        ("POST", f"{Q}/items/add", {"queue_id": "$q", "item_ids": ["tr-none"]}),
        ("POST", f"{Q}/items/add", {"queue_id": "$q", "item_ids": []}),
        ("POST", f"{Q}/items/add", {"queue_id": "none", "item_ids": TRACES}),
        ("GET", f"{Q}/list", EX | {"item_id": TRACES[0]}),
        ("POST", f"{Q}/update", {"queue_id": "$q", "update_schema_ids": True, "schema_ids": []}),
        ("POST", f"{Q}/update", {"queue_id": "$q", "update_users": True, "users": ["zoe"], "name": "Other"}),
        ("POST", f"{Q}/update", {"queue_id": "$q", "name": "eve"}),
        ("POST", f"{Q}/update", {"queue_id": "$u", "name": "x"}),
        ("POST", f"{Q}/update", {"queue_id": "none", "name": "x"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": TRACES[0], "status": "COMPLETE", "completed_by": "Bob"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": TRACES[0], "status": "COMPLETE"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": TRACES[0], "status": "PENDING", "completed_by": "x"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": "none", "status": "PENDING"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": TRACES[0]}),
        ("GET", f"{Q}/items/list", {"queue_id": "$q", "status": "COMPLETE"}),
        ("GET", f"{Q}/items/list", {"queue_id": "$q"}),
        ("POST", f"{Q}/items/set-status", {"queue_id": "$q", "item_id": TRACES[0], "status": "PENDING"}),
        ("POST", f"{A}/delete-traces", {"experiment_id": "$e", "request_ids": TRACES[:1]}),
        ("GET", f"{Q}/items/list", {"queue_id": "$q"}),
        ("POST", f"{Q}/items/remove", {"queue_id": "$q", "item_ids": TRACES}),
        ("GET", f"{Q}/items/list", {"queue_id": "$q"}),
        ("POST", f"{Q}/update", {"queue_id": "$q", "update_schema_ids": True, "schema_ids": []}),
        ("POST", f"{Q}/delete", {"queue_id": "$q"}),
        ("POST", f"{Q}/delete", {"queue_id": "$q"}),
        ("GET", f"{Q}/get", {"queue_id": "$q"}),
    ],
}  # fmt: skip


M = f"{A}/metrics"


def measured(view, figure, *kinds, **more):
    aggregations = [
        {"aggregation_type": kind}
        if kind != "PERCENTILE"
        else {"aggregation_type": kind, "percentile_value": 75}
        for kind in kinds
    ]
    return (
        "POST",
        M,
        {
            **EX,
            "experiment_ids": ["$e"],
            "view_type": view,
            "metric_name": figure,
            "aggregations": aggregations,
            **more,
        },
    )


def usage(count):
    return text(json.dumps({"input_tokens": count, "output_tokens": 1, "total_tokens": count + 1}))


EVERY = ("SUM", "AVG", "MIN", "MAX", "PERCENTILE")
RANGES = EVERY[1:]
DAY = {"start_time_ms": 1746093600000, "end_time_ms": 1746093700000, "time_interval_seconds": 2}
BEGAN = 1746093600 * 10**9
SEQUENCES |= {
    "metrics": [
        NEW,
        measured("TRACES", "trace_count", "COUNT"),
        measured("TRACES", "latency", "AVG"),
        *(
            started(
                name,
                request_time=f"2025-05-01T10:00:0{at}Z",
                execution_duration=f"{at}.5s",
                state="OK" if at % 2 else "ERROR",
                tags={"mlflow.traceName": "one" if at < 3 else "two", "t": str(at % 2)},
                trace_metadata={"mlflow.trace.session": f"s{at % 3}", "m": "n",
                                "mlflow.trace.tokenUsage": json.dumps({"input_tokens": at, "total_tokens": 2 * at})},
            )
            for at, name in enumerate("abcde")
        ),
        sent(*(
            span(name, number + 1, number and 1, at=BEGAN + at * 10**9 + number, length=(number + 1) * 10**7, status=number, **{
                "mlflow.spanType": text("LLM" if number else "CHAIN"),
                "mlflow.llm.model": text("m1" if at else "m2"), "mlflow.llm.provider": text("p"),
                "mlflow.llm.cost": text(json.dumps({"input_cost": at / 4, "output_cost": 0.5, "total_cost": at / 4 + 0.5})),
            })
            for at, name in enumerate("abc") for number in range(2)
        )),
        *(
            ("POST", f"{A}/tr-{trace_id(name)}/assessments",
             {"assessment": GOOD | {"assessment_name": judged, "feedback": {"value": value}}}, f"a{at}=assessment.assessment_id")
            for at, (name, judged, value) in enumerate(
                [("a", "good", True), ("a", "good", False), ("b", "good", "yes"), ("c", "fast", 0.25), ("d", "fast", "x")]
            )
        ),
        measured("TRACES", "trace_count", "COUNT"),
        measured("TRACES", "trace_count", "COUNT", dimensions=["trace_name", "trace_status"]),
        measured("TRACES", "trace_count", "COUNT", **DAY),
        measured("TRACES", "trace_count", "COUNT", dimensions=["trace_status"], **DAY),
        measured("TRACES", "session_count", "COUNT"),
        measured("TRACES", "session_count", "COUNT", **DAY),
        measured("TRACES", "latency", *RANGES, dimensions=["trace_name"]),
        measured("TRACES", "input_tokens", *EVERY),
        measured("TRACES", "output_tokens", *EVERY),
        measured("TRACES", "total_tokens", *EVERY, **DAY),
        measured("TRACES", "total_tokens", "SUM", start_time_ms=1746093602000),
        measured("TRACES", "total_tokens", "SUM", end_time_ms=1746093602000, max_results=1, dimensions=["trace_name"]),
        measured("TRACES", "trace_count", "COUNT", filters=["trace.status = 'OK'", "trace.tag.t = '1'"]),
        measured("TRACES", "trace_count", "COUNT", filters=["trace.metadata.m = 'n'"]),
        measured("TRACES", "trace_count", "COUNT", filters=["trace.metadata.`mlflow.trace.session` = 's1'"]),
        measured("TRACES", "trace_count", "COUNT", filters=["trace.tag.`mlflow.traceName` = 'one'"]),
        measured("SPANS", "span_count", "COUNT"),
        measured("SPANS", "span_count", "COUNT", dimensions=["span_type", "span_name"]),
        measured("SPANS", "span_count", "COUNT", dimensions=["span_model_name", "span_model_provider"]),
        measured("SPANS", "span_count", "COUNT", filters=["span.type = 'LLM'", "trace.status = 'OK'"]),
        measured("SPANS", "span_count", "COUNT", **DAY),
        measured("SPANS", "latency", *RANGES, dimensions=["span_name", "span_status"]),
        measured("SPANS", "total_cost", *EVERY, dimensions=["span_model_name"]),
        measured("SPANS", "input_cost", "SUM", **DAY),
        measured("ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_name"]),
        measured("ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_value"]),
        measured("ASSESSMENTS", "assessment_value", *RANGES, dimensions=["assessment_name"]),
        measured("ASSESSMENTS", "assessment_value", "AVG", filters=["assessment.name = 'good'", "assessment.type = 'feedback'"]),
        measured("ASSESSMENTS", "assessment_value", "AVG", filters=["trace.status = 'ERROR'"], **DAY),
        # What is refused.
        measured("TRACES", "nothing", "COUNT"),
        measured("TRACES", "latency", "SUM"),
        measured("TRACES", "latency", "AVG", dimensions=["trace_status"]),
        measured("TRACES", "latency", "AVG", time_interval_seconds=5),
        measured("TRACES", "latency", "AVG", filters=["trace.bad = 'x'"]),
        measured("TRACES", "latency", "AVG", filters=["trace.tag = 'x'"]),
        measured("TRACES", "latency", "AVG", filters=["trace.status.x = 'x'"]),
        measured("TRACES", "latency", "AVG", filters=["trace.status != 'x'"]),
        measured("TRACES", "latency", "AVG", filters=["trace.status = 5"]),
        measured("TRACES", "latency", "AVG", filters=["span.name = 'x'"]),
        measured("SPANS", "latency", "AVG", filters=["assessment.name = 'x'"]),
        measured("TRACES", "latency", "AVG", filters=[""]),
        ("POST", M, {"experiment_ids": ["$e"], "view_type": "TRACES", "aggregations": [{"aggregation_type": "AVG"}]}),
    ],
}  # fmt: skip


def _searches(seed):
    """Some traces with spans and judgements, and questions about them."""
    pick = random.Random(seed)
    steps = [NEW]
    for at in range(8):
        name = f"t{at}"
        metadata = {"mlflow.trace.session": f"s{pick.randrange(2)}"} if pick.random() < 0.5 else {}
        tags = {"t": pick.choice(["x", "Xy", "100%"]), "mlflow.traceName": pick.choice(["one", "Two"])}
        steps.append(
            started(
                name,
                request_time=f"2025-05-01T10:00:{pick.randrange(4):02}Z",
                execution_duration=pick.choice(["1s", "0.5s", "2.25s"]),
                state=pick.choice(["OK", "ERROR", "IN_PROGRESS"]),
                trace_metadata=metadata | ({"m": pick.choice(["a", "B"])} if pick.random() < 0.6 else {}),
                tags=dict(pick.sample(sorted(tags.items()), pick.randrange(3))),
                **({"client_request_id": f"c{at}"} if pick.random() < 0.5 else {}),
            )
        )
        at_ns = 1746093600 * 10**9
        spans = [
            span(
                name,
                number + 1,
                number and 1,
                at=at_ns + number,
                status=pick.randrange(3),
                **{
                    "mlflow.spanType": text(pick.choice(["LLM", "TOOL"])),
                    "model": text(pick.choice(["gpt-4", "GPT-3", "naïve"])),
                },
            )
            for number in range(pick.randrange(3))
        ]
        if spans:
            steps.append(sent(*spans))
        for _ in range(pick.randrange(3)):
            value = pick.choice([True, 5, 0.5, "yes", "5", "Ü"])
            given = GOOD | {"assessment_name": pick.choice(["good", "fast"]), "feedback": {"value": value}}
            if pick.random() < 0.3:
                given = given | {"metadata": {"mlflow.trace.session": "s0"}}
            if pick.random() < 0.3:
                given = EXPECTED | {"expectation": {"value": value}}
            steps.append(
                (
                    "POST",
                    f"{A}/tr-{trace_id(name)}/assessments",
                    {"assessment": given},
                    f"a{len(steps)}=assessment.assessment_id",
                )
            )
    clauses = [
        "status = 'OK'", "trace.status != 'OK'", "attributes.status IN ('OK', 'ERROR')", "status NOT IN ('OK')",
        "timestamp_ms > 1746093601000", "timestamp <= 1746093602000", "trace.timestamp_ms >= 1746093601000",
        "execution_time_ms > 500", "trace.execution_time < 2000", "trace.end_time_ms > 1746093602000",
        "tags.t = 'x'", "tag.t != 'x'", "tags.t LIKE 'X%'", "tags.t ILIKE 'x%'", "tags.t IS NULL", "tags.t IS NOT NULL",
        "tags.t RLIKE '^[xX]y?$'", "metadata.m = 'a'", "request_metadata.m != 'a'", "metadata.m IS NULL",
        "metadata.`mlflow.trace.session` = 's0'", "metadata.`mlflow.trace.session` IS NULL",
        "name = 'one'", "trace.name LIKE 'T%'", "tags.`mlflow.traceName` = 'Two'", "trace.name IN ('one', 'x')",
        "client_request_id = 'c1'", "trace.client_request_id LIKE 'c%'", "trace.client_request_id != 'c1'",
        f"request_id = 'tr-{trace_id('t1')}'", f"trace.request_id IN ('tr-{trace_id('t1')}', 'no')",
        "span.name = 'step 1'", "span.name LIKE 'step%'", "span.type = 'LLM'", "span.type != 'LLM'", "span.status = 'ERROR'",
        "span.name = 'step 2' AND span.type = 'TOOL'", "span.type IN ('TOOL', 'x')", "span.content LIKE '%gpt%'",
        "trace.text ILIKE '%GPT%'", "trace.text LIKE '%naïve%'", "span.attributes.model LIKE '%gpt%'",
        "span.attributes.model = 'gpt-4'", "span.attributes.model RLIKE '^gpt'", "span.attributes.model RLIKE '4$'",
        "feedback.good = 'true'", "feedback.good = 'yes'", "feedback.good != 'yes'", "feedback.good > 1", "feedback.good <= 0.5",
        "feedback.fast IS NULL", "feedback.good IS NOT NULL", "expectation.wanted = '5'", "feedback.good LIKE '%e%'",
        "expectation.wanted >= 5", "feedback.fast RLIKE '^.y'",
        # What is refused.
        "status > 'OK'", "status = 5", "timestamp_ms = 'x'", "timestamp_ms LIKE 'x'", "tags.t > 'x'", "tags.t = 5", "metadata.m = 5",
        "metadata.m IN ('a')", "bad.x = 'y'", "trace.bad = 'y'", "span.bad = 'y'", "span.content = 'x'", "span.name > 'x'",
        "span.attributes. = 'x'", "feedback.good > 'x'", "feedback.good = 5", "feedback.good IN ('x')", "timestamp_ms IN ('x')",
        "status = OK", "name = 'a' OR name = 'b'", "metadata.`mlflow.trace.cost` LIKE 'x'", "",
    ]  # fmt: skip
    orders = [
        "timestamp DESC", "execution_time_ms", "status", "request_id DESC",
        "name ASC", "tags.t DESC", "metadata.m", "client_request_id", "bad.x", "span.name", "run_id", "timestamp wrong",
    ]  # fmt: skip
    for _ in range(25):
        filter = " AND ".join(each for each in pick.sample(clauses, pick.choice([1, 1, 2])) if each)
        steps.append(searched(filter, max_results=3, order_by=pick.sample(orders, pick.choice([0, 0, 1, 2]))))
    steps.append(searched("", max_results=3, page_token="eyJvZmZzZXQiOiAzfQ=="))
    steps += [searched("", max_results=each) for each in (0, 501, "x")]
    for first, second in (pick.sample(clauses[:24], 2) for _ in range(3)):
        filters = {"filter_string1": first, "filter_string2": second}
        steps.append(("POST", f"{A}/calculate-filter-correlation", {"experiment_ids": ["$e"], **filters}))
    return steps


@pytest.mark.parametrize("name", SEQUENCES)
def test_we_answer_as_the_genuine_server(genuine, served, name):
    compare(genuine, served.url, SEQUENCES[name], name)


@pytest.mark.parametrize("seed", range(SEARCHES))
def test_searches_find_what_the_genuine_server_finds(genuine, served, seed):
    compare(genuine, served.url, _searches(seed), f"trace search {seed}")
