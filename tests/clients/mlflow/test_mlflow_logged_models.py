"""Logged models through the genuine client: found by their status and kind, a page at a time, with every value of their metrics."""

import mlflow
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def models(client, experiment):
    """Nine models of an experiment by name, a third in each status."""
    found = {}
    for at in range(9):
        made = client.create_logged_model(
            experiment, name=f"m{at}", model_type="Agent" if at % 2 else "Judge", params={"p": str(at)}
        )
        if at % 3:
            client.finalize_logged_model(made.model_id, ("READY", "FAILED")[at % 3 - 1])
        found[made.name] = made.model_id
    return found


def names(client, experiment, filter, **more):
    more.setdefault("order_by", [{"field_name": "name"}])
    found = client.search_logged_models([experiment], filter, **more)
    return [each.name for each in found]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("status = 'READY'", "147"),
        ("status != 'READY'", "023568"),
        ("status = 'UPLOAD_FAILED'", "258"),
        ("status IN ('PENDING', 'READY')", "013467"),
        ("status = 'NOTHING'", ""),
        ("status = 'READY' AND model_type = 'Agent'", "17"),
        ("status LIKE 'RE%'", "147"),
        ("model_type = 'Judge'", "02468"),
        ("params.p IN ('3', '4') AND status != 'READY'", "3"),
    ],
)
def test_models_are_found(client, experiment, models, filter, expected):
    assert names(client, experiment, filter) == [f"m{at}" for at in expected]


@pytest.mark.parametrize("filter", ["params.p != '4'", "model_type LIKE '%' AND params.p != '4'"])
def test_pages_are_of_all_models_once(client, experiment, models, filter):
    for order in ([{"field_name": "name"}], [{"field_name": "metrics.none"}], []):
        found, token = [], None
        while True:
            page = client.search_logged_models(
                [experiment], filter, order_by=order, max_results=3, page_token=token
            )
            found += [each.name for each in page]
            token = page.token
            if not token:
                break
        assert sorted(found) == [f"m{at}" for at in range(9) if at != 4]


def test_every_value_of_a_metric_is_told_with_what_it_was_measured_on(client, experiment, models):
    run = client.create_run(experiment).info.run_id
    model = models["m0"]
    for step, (value, dataset) in enumerate([(0.25, ""), (0.75, "train"), (0.5, "test")]):
        client.log_metric(
            run, "acc", value, timestamp=step + 1, step=step, model_id=model,
            dataset_name=dataset or None, dataset_digest="d1" if dataset else None,
        )  # fmt: skip
    told = client.get_logged_model(model).metrics
    assert [(each.value, each.step, each.dataset_name, each.run_id) for each in told] == [
        (0.25, 0, None, run),
        (0.75, 1, "train", run),
        (0.5, 2, "test", run),
    ]
    assert names(client, experiment, "metrics.acc > 0.6") == ["m0"]
    assert names(client, experiment, "metrics.acc > 0.6", datasets=[{"dataset_name": "train"}]) == ["m0"]
    assert names(client, experiment, "metrics.acc > 0.6", datasets=[{"dataset_name": "test"}]) == []
    assert (
        mlflow.search_logged_models([experiment], "metrics.acc < 0.3", output_format="list")[0].name == "m0"
    )


def test_a_retried_metric_is_one_value(client, experiment, models):
    run = client.create_run(experiment).info.run_id
    for _ in range(2):
        client.log_metric(run, "acc", 0.5, timestamp=3, step=1, model_id=models["m1"])
    assert [each.value for each in client.get_logged_model(models["m1"]).metrics] == [0.5]
