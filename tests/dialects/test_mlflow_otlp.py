"""OTLP bodies: what genuine encoders write is read alike, and what is hostile is refused before it costs anything."""

import gzip
import json
import zlib

import msgspec
import pytest
import requests
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from runstone.config import ServerOptions
from runstone.dialects.mlflow.genai import otlp, protobuf, spans
from runstone.domain.traces.spans import Span
from runstone.errors import Malformed, TooLarge
from runstone.server.background import Background


def request_of(count=1):
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    pair = group.resource.attributes.add(key="service.name")
    pair.value.string_value = "svc"
    scope = group.scope_spans.add()
    for number in range(1, count + 1):
        span = scope.spans.add(
            trace_id=bytes(15) + b"\1",
            span_id=number.to_bytes(8),
            parent_span_id=b"" if number == 1 else (1).to_bytes(8),
            name=f"ü {number}",
            start_time_unix_nano=1_700_000_000_000_000_000 + number,
            end_time_unix_nano=1_700_000_001_000_000_000,
            kind=2,
        )
        for key, field, value in (
            ("text", "string_value", "x"),
            ("whole", "int_value", -(1 << 63)),
            ("real", "double_value", 0.1),
            ("flag", "bool_value", False),
            ("bytes", "bytes_value", b"\0\xff"),
        ):
            setattr(span.attributes.add(key=key).value, field, value)
        span.attributes.add(key="nothing")
        listed = span.attributes.add(key="list").value.array_value
        listed.values.add().int_value = 5
        listed.values.add().kvlist_value.values.add(key="k").value.string_value = "v"
        event = span.events.add(name="e", time_unix_nano=7)
        event.attributes.add(key="a").value.bool_value = True
        span.links.add(trace_id=bytes(16), span_id=bytes(8)).attributes.add(key="l").value.int_value = 1
        span.status.code = 2
        span.status.message = "no"
    return message


def as_json(message):
    """OTLP's own JSON: as protobuf's, but for ids in hexadecimal digits."""
    found = json_format.MessageToDict(message)
    for group in found["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span, held in zip(
                scope["spans"], message.resource_spans[0].scope_spans[0].spans, strict=True
            ):
                span |= {"traceId": held.trace_id.hex(), "spanId": held.span_id.hex()}
                if held.parent_span_id:
                    span["parentSpanId"] = held.parent_span_id.hex()
                for link, kept in zip(span["links"], held.links, strict=True):
                    link |= {"traceId": kept.trace_id.hex(), "spanId": kept.span_id.hex()}
    return json.dumps(found).encode()


def plain(span):
    return {
        "ids": (span["trace_id"], span["span_id"], span.get("parent_span_id") or b""),
        "name": span["name"],
        "times": (span["start_time_unix_nano"], span["end_time_unix_nano"]),
        "attributes": otlp.attributes(span),
        "events": [(each["name"], each["time_unix_nano"], otlp.attributes(each)) for each in span["events"]],
        "links": [(each["trace_id"], each["span_id"], otlp.attributes(each)) for each in span["links"]],
        "status": (span["status"]["code"], span["status"]["message"]),
        "resource": span["resource"],
    }


def test_protobuf_and_json_are_read_alike():
    message = request_of(3)
    binary = [plain(span) for span in otlp.spans_of_protobuf(message.SerializeToString())]
    assert binary == [plain(span) for span in otlp.spans_of_json(as_json(message))]
    first = binary[0]
    assert first["attributes"] == {
        "text": "x",
        "whole": -(1 << 63),
        "real": 0.1,
        "flag": False,
        "bytes": b"\0\xff",
        "nothing": None,
        "list": [5, {"k": "v"}],
    }
    assert (first["name"], first["status"], first["resource"]) == ("ü 1", (2, "no"), {"service.name": "svc"})


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_body_that_is_cut_short_or_turned_is_refused_or_read(cut):
    body = request_of().SerializeToString()
    for broken in (body[:-cut], body[:cut] + bytes([body[cut] ^ 0xFF]) + body[cut + 1 :]):
        try:
            otlp.spans_of_protobuf(broken)
        except Malformed:
            continue
        except TooLarge:
            continue


def deep(levels):
    value = AnyValue(string_value="x").SerializeToString()
    for _ in range(levels):
        inner = b"\x0a" + protobuf_length(value) + value  # ArrayValue.values
        value = b"\x2a" + protobuf_length(inner) + inner  # AnyValue.array_value
    pair = b"\x0a\x01k\x12" + protobuf_length(value) + value
    span = b"\x4a" + protobuf_length(pair) + pair
    scope = b"\x12" + protobuf_length(span) + span
    group = b"\x12" + protobuf_length(scope) + scope
    return b"\x0a" + protobuf_length(group) + group


def protobuf_length(value):
    size, found = len(value), b""
    while size > 0x7F:
        found += bytes([size & 0x7F | 0x80])
        size >>= 7
    return found + bytes([size])


def test_depth_and_number_of_fields_are_limited(monkeypatch):
    assert otlp.spans_of_protobuf(deep(20))
    with pytest.raises(TooLarge, match="nested deeper"):
        otlp.spans_of_protobuf(deep(500))
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
    with pytest.raises(TooLarge, match="more than 1000 fields"):
        otlp.spans_of_protobuf(b"\x0a\x00" * 2000)
    monkeypatch.setattr(otlp, "MAX_SPANS", 2)
    with pytest.raises(TooLarge, match="more than 2 spans"):
        otlp.spans_of_protobuf(request_of(3).SerializeToString())


def test_a_json_body_is_limited_too():
    nested = '{"arrayValue": {"values": [' * 100 + "]}}" * 100
    body = '{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": "k", "value": %s}]}]}]}]}'
    with pytest.raises(TooLarge, match="nested deeper"):
        otlp.spans_of_json((body % nested).encode())
    for broken in (b"[]", b'"x"', b"{", b"[" * 100_000, b'{"resourceSpans": 5}', b'{"resourceSpans": [5]}'):
        with pytest.raises(Malformed):
            otlp.spans_of_json(broken)


def test_a_body_that_unpacks_to_too_much_is_refused_while_it_unpacks(monkeypatch):
    monkeypatch.setattr(otlp, "MAX_BODY", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20))
    for body, encoding in (
        (bomb, "gzip"),
        (zlib.compress(bytes(8 << 20)), "deflate"),
        (bomb[:1000] * 3, "gzip"),
    ):
        with pytest.raises((TooLarge, Malformed)):
            otlp.decompressed(body, encoding)
    good = b"abc" * 1000
    raw = zlib.compressobj(wbits=-15)
    assert otlp.decompressed(gzip.compress(good) + gzip.compress(good), "gzip") == good * 2
    assert otlp.decompressed(zlib.compress(good), "deflate") == good
    assert otlp.decompressed(raw.compress(good) + raw.flush(), "deflate") == good
    with pytest.raises(Malformed, match="Unsupported Content-Encoding: br"):
        otlp.decompressed(good, "br")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    data = tmp_path_factory.mktemp("otlp") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off")) as server:
        yield server


def export(served, body, **headers):
    given = {"X-MLflow-Experiment-Id": "0", "Content-Type": "application/x-protobuf"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in given.items() if value}
    return requests.post(f"{served.url}/v1/traces", data=body, headers=given, timeout=60)


def test_bodies_over_http(served):
    body = request_of(2).SerializeToString()
    for content, headers in (
        (body, {}),
        (gzip.compress(body), {"Content_Encoding": "gzip"}),
        (zlib.compress(body), {"Content_Encoding": "deflate"}),
        (as_json(request_of(2)), {"Content_Type": "application/json; charset=utf-8"}),
    ):
        answer = export(served, content, **headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Type"] == "application/x-protobuf"
    found = requests.get(
        f"{served.url}/api/3.0/mlflow/traces/get", params={"trace_id": f"tr-{1:032x}"}
    ).json()
    assert [span["name"] for span in found["trace"]["spans"]] == ["ü 1", "ü 2"]
    for content, headers, status, text in (
        (body, {"X_MLflow_Experiment_Id": ""}, 422, "Field required"),
        (body, {"Content_Type": "text/plain"}, 400, "Invalid Content-Type: text/plain"),
        (body, {"Content_Encoding": "gzip"}, 400, "Failed to decompress gzip payload"),
        (b"\xff" * 50, {}, 400, "Invalid OpenTelemetry format"),
        (b"", {}, 400, "no spans found"),
        (body, {"X_MLflow_Experiment_Id": "123456"}, 404, "No Experiment with id=123456 exists"),
        (body.replace(bytes(15) + b"\1", b"", 1), {}, 400, "Invalid OpenTelemetry format"),
        (gzip.compress(bytes(80 << 20)), {"Content_Encoding": "gzip"}, 400, "unpacks to more than"),
        (bytes(33 << 20), {}, 400, "the limit here"),
    ):
        answer = export(served, content, **headers)
        assert (answer.status_code, text in answer.text) == (status, True), (
            answer.status_code,
            answer.text[:300],
        )


def test_a_span_without_ids_is_refused_and_nothing_of_its_request_kept(served):
    message = request_of(1)
    message.resource_spans[0].scope_spans[0].spans[0].trace_id = bytes(15) + b"\2"
    message.resource_spans[0].scope_spans[0].spans.add(name="x")
    answer = export(served, message.SerializeToString())
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "Cannot convert OpenTelemetry span to MLflow span",
    )
    address = f"{served.url}/api/3.0/mlflow/traces/tr-{2:032x}"
    assert requests.get(address).status_code == 404


def test_ids_that_are_too_long_are_refused(served):
    message = request_of(1)
    message.resource_spans[0].scope_spans[0].spans[0].trace_id = b"\1" * 17
    assert export(served, message.SerializeToString()).status_code == 422


def test_odd_values_are_kept_as_far_as_they_can_be_told(served):
    message = request_of(1)
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.trace_id = bytes(15) + b"\3"
    span.links.add(trace_id=b"\1" * 20, span_id=b"\1" * 9)
    named = message.resource_spans[0].resource.attributes[0].value
    named.array_value.values.add().string_value = "a list"
    for key, text in (
        ("mlflow.spanInputs", '{"q": "\\ud800", "\\udfff": 1}'),
        ("mlflow.spanType", '"\\ud800"'),
        ("mlflow.llm.model", '"\\ud800"'),
        ("session.id", '"\\ud800"'),
        (
            "mlflow.chat.tokenUsage",
            '{"input_tokens": 1.5, "output_tokens": HUGE, "\\ud800": 1, "total_tokens": 7}',
        ),
        ("mlflow.llm.cost", '{"total_cost": NaN, "input_cost": 1, "output_cost": Infinity}'),
        ("odd", "[NaN, Infinity, HUGE]"),
    ):
        span.attributes.add(key=key).value.string_value = text.replace("HUGE", "1" + "0" * 30)
    assert export(served, message.SerializeToString()).status_code == 200
    address = f"{served.url}/api/3.0/mlflow/traces/get"
    for _ in range(2):
        answer = requests.get(address, params={"trace_id": f"tr-{3:032x}"})
        assert answer.status_code == 200, answer.text
        info = answer.json()["trace"]["trace_info"]
        assert json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])["total_tokens"] == 7
        assert json.loads(info["trace_metadata"]["mlflow.trace.cost"])["input_cost"] == 1
        assert len(answer.json()["trace"]["spans"][0]["links"]) == 1
        assert export(served, message.SerializeToString()).status_code == 200


KNOWN = Span("00000000000000aa", "00000000000000bb", "step", "LLM", "ERROR", 5, 9, "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '"text"',
        "null",
        "[" * 100_000,
        json.dumps({"trace_id": 5}),
        json.dumps({"name": "other", "attributes": {"a": 1}}),
        json.dumps({"trace_id": "t", "span_id": "s", "name": "n", "start_time_unix_nano": "5"}),
    ],
    ids=lambda content: content[:20],
)
def test_of_a_span_in_another_shape_is_told_what_the_store_knows(content):
    # A bundle may bring any text.
    found = spans.shown("tr-" + "0" * 30 + "0c", msgspec.structs.replace(KNOWN, content=content))
    assert found == {
        "trace_id": "AAAAAAAAAAAAAAAAAAAADA==",
        "span_id": "AAAAAAAAAKo=",
        "parent_span_id": "AAAAAAAAALs=",
        "name": "step",
        "start_time_unix_nano": 5,
        "end_time_unix_nano": 9,
        "attributes": [{"key": "mlflow.spanType", "value": {"string_value": "LLM"}}],
        "status": {"code": "STATUS_CODE_ERROR"},
    }


def test_ids_that_are_none_are_zeros():
    odd = msgspec.structs.replace(KNOWN, id="x", parent="f" * 17, content="")
    found = spans.shown("named by hand", odd)
    assert found["trace_id"] == "AAAAAAAAAAAAAAAAAAAAAA=="
    assert found["span_id"] == found["parent_span_id"] == "AAAAAAAAAAA="
