"""Traces, assessments and evaluation through the genuine client."""

import contextlib
import threading

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Feedback, SpanEvent, SpanType
from mlflow.exceptions import MlflowException

from runstone.domain.context import Context
from runstone.domain.traces import recording

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def traced(client, request):
    """An experiment that traces go into."""
    return mlflow.set_experiment(f"of {request.node.name}").experiment_id


def last():
    return mlflow.get_last_active_trace_id()


@mlflow.trace(span_type=SpanType.TOOL)
def double(x):
    return {"twice": 2 * x, "ümlaut": None}


@mlflow.trace(name="the app", attributes={"mode": "fast", "limits": [1, 2.5, None]})
def app(x):
    mlflow.update_current_trace(
        tags={"kind": "even" if x % 2 == 0 else "odd"},
        metadata={"mlflow.trace.session": f"s{x % 2}", "batch": "7"},
        client_request_id=f"request {x}",
    )
    with mlflow.start_span("prepare", span_type=SpanType.CHAIN) as span:
        span.set_inputs({"x": x})
        span.add_event(SpanEvent("seen", attributes={"n": x}))
        span.set_outputs(double(x))
    if x > 8:
        raise ValueError("too much")
    return f"{x} doubled"


def test_a_trace_is_read_as_it_was_made(traced, served):
    app(3)
    trace = mlflow.get_trace(last())
    assert (trace.info.experiment_id, trace.info.state.value) == (traced, "OK")
    assert (trace.info.request_preview, trace.info.response_preview) == ('{"x": 3}', '"3 doubled"')
    assert (trace.info.client_request_id, trace.info.tags["kind"]) == ("request 3", "odd")
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s1"
    spans = {span.name: span for span in trace.data.spans}
    assert list(spans) == ["the app", "prepare", "double"]
    assert spans["the app"].attributes["limits"] == [1, 2.5, None]
    assert spans["double"].outputs == {"twice": 6, "ümlaut": None}
    assert spans["double"].parent_id == spans["prepare"].span_id
    assert spans["prepare"].events[0].attributes == {"n": 3}
    assert spans["double"].span_type == SpanType.TOOL
    ours = recording.get(served.store, Context(), trace.info.trace_id).trace
    assert (ours.title, ours.session, ours.state) == ("the app", "s1", "OK")


def test_traces_are_searched(traced):
    for x in range(7, 10):
        with contextlib.suppress(ValueError):
            app(x)

    def found(text, **more):
        traces = mlflow.search_traces(
            locations=[traced], filter_string=text, return_type="list", include_spans=False, **more
        )
        return [trace.info.client_request_id for trace in traces]

    assert found("") == ["request 9", "request 8", "request 7"]
    assert found("trace.status = 'ERROR'") == ["request 9"]
    assert found("tags.kind = 'odd' AND metadata.batch = '7'", order_by=["timestamp ASC"]) == [
        "request 7",
        "request 9",
    ]
    assert (
        found("span.name = 'double' AND span.type = 'TOOL' AND trace.text LIKE '%\"twice\\\\\": 16%'") == []
    )
    assert found("trace.text LIKE '%ümlaut%'", max_results=2) == ["request 9", "request 8"]
    assert found("metadata.`mlflow.trace.session` = 's0'") == ["request 8"]
    assert found("span.attributes.mode LIKE '%fast%' AND trace.client_request_id != 'request 8'") == [
        "request 9",
        "request 7",
    ]
    with pytest.raises(MlflowException, match="Invalid attribute key"):
        found("trace.nothing = 'x'")
    frame = mlflow.search_traces(locations=[traced])
    assert list(frame["state"]) == ["ERROR", "OK", "OK"]
    assert len(frame["spans"].iloc[0]) == 3


def test_traces_are_tagged_judged_and_deleted(traced, client):
    app(2)
    trace = last()
    mlflow.set_trace_tag(trace, "reviewed", "yes")
    mlflow.delete_trace_tag(trace, "kind")
    source = AssessmentSource(source_type="HUMAN", source_id="ann")
    first = mlflow.log_feedback(
        trace_id=trace, name="good", value=False, rationale="no", source=source, metadata={"a": "b"}
    )
    mlflow.log_expectation(trace_id=trace, name="answer", value={"text": ["4"]}, source=source)
    mlflow.override_feedback(
        trace_id=trace, assessment_id=first.assessment_id, value=True, rationale="after all", source=source
    )
    info = mlflow.get_trace(trace).info
    assert info.tags["reviewed"] == "yes" and "kind" not in info.tags
    # mlflow's client tells of an expectation's validity to nobody.
    told = {(each.name, str(each.value), each.valid) for each in info.assessments}
    assert told == {("good", "False", False), ("good", "True", True), ("answer", "{'text': ['4']}", None)}
    mlflow.update_assessment(trace, first.assessment_id, Feedback(name="good", value=0.5, source=source))
    assert mlflow.get_assessment(trace, first.assessment_id).value == 0.5

    def count(text):
        return len(mlflow.search_traces(locations=[traced], filter_string=text, return_type="list"))

    assert count("feedback.good = 'true'") == 1
    assert count("feedback.good >= 0.5") == 0, "what was overridden is not valid"
    assert count("expectation.answer IS NOT NULL") == 1
    for each in info.assessments:
        mlflow.delete_assessment(trace, each.assessment_id)
    assert mlflow.get_trace(trace).info.assessments == []
    assert client.delete_traces(traced, trace_ids=[trace]) == 1
    assert mlflow.get_trace(trace) is None


def test_traces_of_a_run_and_of_threads(traced, client):
    with mlflow.start_run() as run:
        app(2)
        threads = [threading.Thread(target=app, args=(x,)) for x in (4, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    app(8)
    assert len(mlflow.search_traces(run_id=run.info.run_id, return_type="list")) >= 1
    assert len(mlflow.search_traces(locations=[traced], return_type="list")) == 4
    other = client.create_run(traced).info.run_id
    client.link_traces_to_run([last()], other)
    assert [each.info.trace_id for each in mlflow.search_traces(run_id=other, return_type="list")] == [last()]


def test_attachments_of_a_trace_are_kept_with_it(traced, client):
    from mlflow.tracing.attachments import Attachment

    with mlflow.start_span("picture") as span:
        span.set_outputs({"image": Attachment(content_type="image/png", content_bytes=b"\x89PNG" * 100)})
    trace = mlflow.get_trace(last())
    assert "mlflow-attachment" in str(trace.data.spans[0].outputs)
    listed = mlflow.artifacts.list_artifacts(trace.info.tags["mlflow.artifactLocation"])
    assert (
        len(
            mlflow.artifacts.list_artifacts(f"{trace.info.tags['mlflow.artifactLocation']}/attachments")
            or listed
        )
        == 1
    )


def test_an_evaluation_of_an_application_and_of_a_dataset(traced, client):
    from mlflow.genai.scorers import scorer

    @scorer
    def exact(outputs, expectations):
        return outputs == expectations["expected"]

    @scorer
    def length(outputs):
        return Feedback(value=len(outputs), rationale="counted")

    def upper(q):
        return q.upper()

    data = [
        {"inputs": {"q": "a"}, "expectations": {"expected": "A"}},
        {"inputs": {"q": "bb"}, "expectations": {"expected": "x"}},
    ]
    result = mlflow.genai.evaluate(data=data, predict_fn=upper, scorers=[exact, length])
    assert {name: float(value) for name, value in result.metrics.items()} == {
        "exact/mean": 0.5,
        "length/mean": 1.5,
    }
    assert client.get_run(result.run_id).data.metrics["exact/mean"] == 0.5
    traces = mlflow.search_traces(run_id=result.run_id, return_type="list")
    assert len(traces) == 2
    assert {each.name for trace in traces for each in trace.info.assessments} == {
        "exact",
        "length",
        "expected",
    }

    dataset = mlflow.genai.datasets.create_dataset(
        name="questions", experiment_id=traced, tags={"team": "qa"}
    )
    dataset.merge_records(data)
    dataset.merge_records([{"inputs": {"q": "a"}, "expectations": {"more": 1}}])
    again = mlflow.genai.datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert (again.name, again.experiment_ids, again.tags["team"]) == ("questions", [traced], "qa")
    frame = again.to_df()
    assert sorted(map(str, frame["expectations"])) == ["{'expected': 'A', 'more': 1}", "{'expected': 'x'}"]
    again = mlflow.genai.evaluate(data=again, predict_fn=upper, scorers=[exact])
    assert float(again.metrics["exact/mean"]) == 0.5
    (found,) = mlflow.genai.datasets.search_datasets(
        experiment_ids=[traced], filter_string="name = 'questions' AND tags.team LIKE 'q%'"
    )
    assert found.dataset_id == dataset.dataset_id
    mlflow.genai.datasets.delete_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(MlflowException, match="not found"):
        mlflow.genai.datasets.get_dataset(dataset_id=dataset.dataset_id)


def test_prompts_are_linked_to_the_traces_that_used_them(traced):
    mlflow.genai.register_prompt(name="greeting", template="Hello {{name}}")

    @mlflow.trace
    def greet():
        return mlflow.genai.load_prompt("prompts:/greeting/1").format(name="you")

    assert greet() == "Hello you"
    trace = last()

    def found(prompt):
        traces = mlflow.search_traces(
            locations=[traced], filter_string=f"prompt = '{prompt}'", return_type="list"
        )
        return [each.info.trace_id for each in traces]

    for thread in threading.enumerate():  # prompts are linked by threads of their own
        if thread.name.startswith("link_prompts"):
            thread.join()
    assert (found("greeting/1"), found("greeting/2")) == ([trace], [])


def test_scorers_are_registered_by_version(traced):
    from mlflow.genai.scorers import Safety, delete_scorer, get_scorer, list_scorers

    Safety(model="openai:/gpt-4o").register(name="safe")
    Safety(model="openai:/gpt-5").register(name="safe")
    assert [each.model for each in list_scorers()] == ["openai:/gpt-5"]
    assert get_scorer(name="safe", version=1).model == "openai:/gpt-4o"
    delete_scorer(name="safe", version="all")
    assert list_scorers() == []


def test_label_schemas_and_review_queues(traced):
    from mlflow.genai import label_schemas, review_queues

    schema = label_schemas.create_label_schema(
        name="right", type="feedback", input=label_schemas.InputPassFail("yes", "no"), experiment_id=traced
    )
    assert label_schemas.get_label_schema(schema.name, experiment_id=traced).input.positive_label == "yes"
    app(2)
    queue = review_queues.create_review_queue(
        "weekly", queue_type="custom", experiment_id=traced, users=["ann"], schema_ids=[schema.schema_id]
    )
    review_queues.add_items_to_review_queue(queue.queue_id, item_ids=[last()])
    review_queues.set_review_queue_item_status(
        queue.queue_id, item_id=last(), status="complete", completed_by="ann"
    )
    (item,) = review_queues.list_review_queue_items(queue.queue_id)
    assert (item.item_id, str(item.status), item.completed_by) == (last(), "complete", "ann")
