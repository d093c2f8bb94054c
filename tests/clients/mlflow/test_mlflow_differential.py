"""The same requests to the genuine server and to ours: the same statuses and bodies, field by field, but for what genuine.py lists."""

import os
import random

import pytest
import sequences
from genuine import compare

pytestmark = pytest.mark.filterwarnings("ignore")
SEARCHES = int(os.environ.get("RUNSTONE_MLFLOW_SEQUENCES", "10"))
T = "mlflow/"
E = {"experiment_id": "$e"}
R = {"run_id": "$r"}
NEW = (
    "POST",
    T + "experiments/create",
    {"name": "exp: {seed}/*", "tags": [{"key": "t", "value": "v"}]},
    "e=experiment_id",
)
RUN = (
    "POST",
    T + "runs/create",
    {**E, "start_time": 5, "user_id": "u", "run_name": "rn", "tags": [{"key": "a", "value": "b"}]},
    "r=run.info.run_id",
)
MODEL = (
    "POST",
    T + "registered-models/create",
    {"name": "m {seed}", "description": "d", "tags": [{"key": "a", "value": "b"}]},
)
M = {"name": "m {seed}"}
V = {**M, "version": "1"}

SEQUENCES = {
    "experiments": [
        NEW,
        ("POST", T + "experiments/create", {"name": "exp: {seed}/*"}),
        ("POST", T + "experiments/create", {"name": 1}),
        ("POST", T + "experiments/create", {}),
        ("POST", T + "experiments/create", {"name": "x" * 501}),
        ("GET", T + "experiments/get", E),
        ("GET", T + "experiments/get", {"experiment_id": "0"}),
        ("GET", T + "experiments/get", {"experiment_id": "999999"}),
        ("GET", T + "experiments/get", {"experiment_id": "abc"}),
        ("GET", T + "experiments/get", {}),
        ("GET", T + "experiments/get-by-name", {"experiment_name": "exp: {seed}/*"}),
        ("GET", T + "experiments/get-by-name", {"experiment_name": "nothing"}),
        ("POST", T + "experiments/search", {"max_results": 10, "filter": "name = 'exp: {seed}/*'"}),
        ("GET", T + "experiments/search", {"max_results": 10, "filter": "name = 'exp: {seed}/*'"}),
        ("POST", T + "experiments/search", {}),
        ("POST", T + "experiments/search", {"max_results": 50_001}),
        ("POST", T + "experiments/search", {"max_results": 5, "filter": "name = 'a' OR name = 'b'"}),
        ("POST", T + "experiments/set-experiment-tag", {**E, "key": "k", "value": "w"}),
        ("POST", T + "experiments/set-experiment-tag", {**E, "key": "a//b", "value": "w"}),
        ("POST", T + "experiments/delete-experiment-tag", {**E, "key": "none"}),
        ("POST", T + "experiments/delete-experiment-tag", {**E, "key": "k"}),
        ("POST", T + "experiments/update", {**E, "new_name": "new {seed}"}),
        ("POST", T + "experiments/update", E),
        ("POST", T + "experiments/delete", E),
        ("POST", T + "experiments/delete", E),
        ("GET", T + "experiments/get", E),
        ("POST", T + "experiments/update", {**E, "new_name": "newer {seed}"}),
        ("POST", T + "experiments/create", {"name": "new {seed}"}),
        ("POST", T + "runs/create", E),
        ("POST", T + "experiments/set-experiment-tag", {**E, "key": "k", "value": "w"}),
        ("POST", T + "experiments/restore", E),
        ("POST", T + "experiments/restore", E),
    ],
    "runs": [
        NEW,
        RUN,
        ("GET", T + "runs/get", R),
        ("GET", T + "runs/get", {"run_uuid": "$r"}),
        ("GET", T + "runs/get", {"run_id": "nope"}),
        ("GET", T + "runs/get", {}),
        ("POST", T + "runs/create", {"experiment_id": "777777"}),
        (
            "POST",
            T + "runs/create",
            {**E, "run_name": "x", "tags": [{"key": "mlflow.runName", "value": "y"}]},
        ),
        ("POST", T + "runs/set-tag", {**R, "key": "mlflow.runName", "value": "renamed"}),
        ("POST", T + "runs/set-tag", {**R, "key": "x" * 251, "value": "1"}),
        ("POST", T + "runs/set-tag", {**R, "key": "long", "value": "x" * 8001}),
        ("POST", T + "runs/delete-tag", {**R, "key": "none"}),
        ("POST", T + "runs/delete-tag", {**R, "key": "a"}),
        ("POST", T + "runs/update", {**R, "status": "FINISHED", "end_time": 77, "run_name": "nn"}),
        ("GET", T + "runs/get", R),
        ("POST", T + "runs/delete", R),
        ("POST", T + "runs/delete", R),
        ("POST", T + "runs/log-parameter", {**R, "key": "p", "value": "1"}),
        ("POST", T + "runs/update", {**R, "status": "FAILED"}),
        ("GET", T + "runs/get", R),
        ("POST", T + "runs/search", {"experiment_ids": ["$e"]}),
        ("POST", T + "runs/search", {"experiment_ids": ["$e"], "run_view_type": "DELETED_ONLY"}),
        ("POST", T + "runs/restore", R),
        ("POST", T + "experiments/delete", E),
        ("GET", T + "runs/get", R),
        ("POST", T + "experiments/restore", E),
        ("GET", T + "runs/get", R),
    ],
    "batches": [
        NEW,
        RUN,
        (
            "POST",
            T + "runs/log-batch",
            {
                **R,
                "metrics": [
                    {"key": "m", "value": 1.5, "timestamp": 3, "step": -2},
                    {"key": "n", "value": "NaN", "timestamp": 3, "step": 1},
                    {"key": "i", "value": "Infinity", "timestamp": 3},
                ],
                "params": [{"key": "p", "value": "1"}, {"key": "e", "value": ""}],
            },
        ),
        ("GET", T + "runs/get", R),
        ("GET", T + "metrics/get-history", {**R, "metric_key": "m"}),
        ("GET", T + "metrics/get-history", {**R, "metric_key": "none"}),
        ("GET", T + "metrics/get-history", {**R, "metric_key": "m", "max_results": 0}),
        (
            "GET",
            T + "metrics/get-history-bulk-interval",
            {"run_ids": "$r", "metric_key": "m", "max_results": 10},
        ),
        ("POST", T + "runs/log-parameter", {**R, "key": "p", "value": "2"}),
        ("POST", T + "runs/log-parameter", {**R, "key": "p", "value": "1"}),
        (
            "POST",
            T + "runs/log-batch",
            {**R, "params": [{"key": "p", "value": "2"}, {"key": "q", "value": "2"}]},
        ),
        (
            "POST",
            T + "runs/log-batch",
            {**R, "params": [{"key": "d", "value": "1"}, {"key": "d", "value": "1"}]},
        ),
        ("POST", T + "runs/log-batch", {**R, "metrics": [{"key": "k", "value": 1, "timestamp": 1}] * 1001}),
        (
            "POST",
            T + "runs/log-batch",
            {**R, "params": [{"key": f"k{at}", "value": "1"} for at in range(101)]},
        ),
        ("POST", T + "runs/log-batch", {**R, "metrics": [{"key": "k", "timestamp": 1}]}),
        (
            "POST",
            T + "runs/log-batch",
            {
                **R,
                "metrics": [
                    {"key": "ok", "value": 1, "timestamp": 1},
                    {"key": "../x", "value": 1, "timestamp": 1},
                ],
            },
        ),
        ("POST", T + "runs/log-metric", {**R, "key": "a//b", "value": 1, "timestamp": 1}),
        ("POST", T + "runs/log-metric", {**R, "key": "ü!", "value": 1, "timestamp": 1}),
        ("POST", T + "runs/log-metric", {**R, "key": "z", "value": "x", "timestamp": 1}),
        ("POST", T + "runs/log-metric", {**R, "key": "z", "value": 2, "timestamp": -1}),
        ("POST", T + "runs/log-metric", {**R, "key": "z", "value": 2}),
        ("POST", T + "runs/log-metric", {**R, "key": "z", "value": 2, "timestamp": 1, "step": "5"}),
        ("POST", T + "runs/log-metric", {**R, "key": "z", "value": 1, "timestamp": 0, "step": 5}),
        ("GET", T + "runs/get", R),
        ("GET", T + "nothing", {}),
        ("PUT", T + "runs/get", {}),
    ],
    "registry": [
        MODEL,
        ("POST", T + "registered-models/create", M),
        ("POST", T + "registered-models/create", {"name": "a/b"}),
        ("GET", T + "registered-models/get", {"name": "none"}),
        ("POST", T + "model-versions/create", {**M, "source": "s3://x/y"}),
        (
            "POST",
            T + "model-versions/create",
            {**M, "source": "s3://x/z", "description": "dd", "tags": [{"key": "k", "value": "v"}]},
        ),
        ("POST", T + "registered-models/alias", {**V, "alias": "champ"}),
        ("POST", T + "registered-models/alias", {**V, "alias": "latest"}),
        ("POST", T + "registered-models/alias", {**V, "alias": "v1"}),
        ("GET", T + "registered-models/get", M),
        ("GET", T + "registered-models/alias", {**M, "alias": "champ"}),
        ("GET", T + "registered-models/alias", {**M, "alias": "none"}),
        ("GET", T + "registered-models/alias", {**M, "alias": "latest"}),
        ("GET", T + "model-versions/get", {**M, "version": "9"}),
        ("GET", T + "model-versions/get", {**M, "version": "x"}),
        ("GET", T + "model-versions/get-download-uri", V),
        ("POST", T + "model-versions/transition-stage", {**V, "stage": "production"}),
        ("POST", T + "model-versions/transition-stage", {**V, "stage": "bad"}),
        ("PATCH", T + "model-versions/update", {**V, "description": "new"}),
        (
            "GET",
            T + "model-versions/search",
            {"filter": "name = 'm {seed}'", "order_by": "version_number DESC"},
        ),
        ("GET", T + "model-versions/search", {"filter": "name = 'a' OR name = 'b'"}),
        ("GET", T + "registered-models/search", {"filter": "name = 'm {seed}' AND tag.a = 'c'"}),
        ("DELETE", T + "model-versions/delete", V),
        ("GET", T + "registered-models/get", M),
        ("PATCH", T + "registered-models/update", {**M, "description": "new"}),
        ("POST", T + "registered-models/rename", {**M, "new_name": "n {seed}"}),
        ("POST", T + "registered-models/set-tag", {**M, "key": "a", "value": "b"}),
        ("DELETE", T + "registered-models/delete", {"name": "n {seed}"}),
        ("DELETE", T + "registered-models/delete", {"name": "n {seed}"}),
    ],
    "artifacts": [
        NEW,
        RUN,
        ("GET", T + "artifacts/list", R),
        ("GET", T + "artifacts/list", {**R, "path": "../x"}),
        ("PUT", "mlflow-artifacts/artifacts/$e/$r/artifacts/a/b.json", {"x": 1}),
        ("GET", T + "artifacts/list", R),
        ("GET", T + "artifacts/list", {**R, "path": "a"}),
        ("GET", T + "artifacts/list", {**R, "path": "a/b.json"}),
        ("GET", "mlflow-artifacts/artifacts", {"path": "$e/$r/artifacts"}),
        ("GET", "mlflow-artifacts/artifacts", {"path": "$e/$r/artifacts/a"}),
        ("GET", "mlflow-artifacts/artifacts", {"path": "$e/$r/artifacts/none"}),
        ("GET", "mlflow-artifacts/artifacts/$e/$r/artifacts/a/b.json", {}),
        ("GET", "mlflow-artifacts/artifacts/$e/$r/artifacts/none", {}),
        ("DELETE", "mlflow-artifacts/artifacts/$e/$r/artifacts/a/b.json", {}),
        ("DELETE", "mlflow-artifacts/artifacts/$e/$r/artifacts/a/b.json", {}),
        ("GET", "mlflow-artifacts/artifacts/$e/$r/artifacts/a/b.json", {}),
    ],
}

SEQUENCES |= sequences.SEQUENCES


def _searches(seed):
    """Some runs, and questions about them; every run has a start of its own, so that an order has one answer."""
    pick = random.Random(seed)
    steps = [NEW]
    for at in range(6):
        steps.append(
            (
                "POST",
                T + "runs/create",
                {**E, "start_time": 100 + at, "run_name": f"r{at}"},
                f"r{at}=run.info.run_id",
            )
        )
        batch = {
            "metrics": [
                {"key": "m.x y", "value": pick.choice([1, 2.5, -3, "NaN"]), "timestamp": 1}
                for _ in range(pick.randrange(2))
            ],
            "params": [
                {"key": "p", "value": pick.choice(["a", "B", "ab"])} for _ in range(pick.randrange(2))
            ],
            "tags": [{"key": "t", "value": pick.choice(["x", "Xy"])} for _ in range(pick.randrange(2))],
        }
        steps.append(("POST", T + "runs/log-batch", {"run_id": f"$r{at}", **batch}))
    clauses = [
        "metrics.`m.x y` > 1", "metrics.\"m.x y\" != 2.5", "params.p = 'a'", "params.p != 'a'", "params.p LIKE 'a%'",
        "params.p ILIKE 'A%'", "tags.t IS NULL", "tags.t IS NOT NULL", "tags.t != 'x'", "start_time >= 102",
        "attributes.run_name LIKE 'r%'", "run_id IN ('$r1', '$r2')", "run_id NOT IN ('$r0')", "status = 'RUNNING'",
        "status != 'FINISHED'", "metrics.m = 'a'", "params.p = 1", "nothing.x = 1", "start_time > 'a'", "",
    ]  # fmt: skip
    orders = [
        "metrics.`m.x y` DESC",
        "metrics.`m.x y`",
        "params.p ASC",
        "tags.t DESC",
        "start_time",
        "run_name DESC",
        "bad.x",
    ]
    for _ in range(12):
        asked = {"experiment_ids": ["$e"], "max_results": 5}
        asked["filter"] = " AND ".join(each for each in pick.sample(clauses, pick.choice([1, 1, 2])) if each)
        asked["order_by"] = pick.sample(orders, pick.choice([0, 1, 2]))
        steps.append(("POST", T + "runs/search", asked))
    return steps


@pytest.mark.parametrize("name", SEQUENCES)
def test_we_answer_as_the_genuine_server(genuine, served, name):
    compare(genuine, served.url, SEQUENCES[name], name)


@pytest.mark.parametrize("seed", range(SEARCHES))
def test_searches_find_what_the_genuine_server_finds(genuine, served, seed):
    compare(genuine, served.url, _searches(seed), f"search {seed}")
