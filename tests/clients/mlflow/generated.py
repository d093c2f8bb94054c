"""Sequences of requests for the differential test, drawn by a seed: what is written, with edge values, and questions about it."""

import random

from sequences import NEW, RUN, T

KEYS = ["a", "b/c", "d e", "x.y", "a:b", "", "../up", "a//b", "ü", "k" * 250, "k" * 251, "end/"]
TEXTS = ["", "v", "ü✓", "a'b", 'q"q', "x" * 6001, "1", "true"]
NUMBERS = [0, 1, -1, 2.5, -0.0, 1e308, "NaN", "Infinity", "-Infinity", "7", "x", True, None, 1 << 53]
TIMES = [0, 1, 5, "5", -1, None]


def writes(seed):
    """Params, tags and metrics of a run, good and bad, and then the whole run and each history."""
    pick = random.Random(f"writes {seed}")
    steps = [NEW, RUN]
    for _ in range(25):
        kind = pick.choice(["param", "tag", "metric", "batch", "delete-tag"])
        key, text = pick.choice(KEYS), pick.choice(TEXTS)
        if kind == "param":
            steps.append(("POST", T + "runs/log-parameter", {"run_id": "$r", "key": key, "value": text}))
        elif kind == "tag":
            steps.append(("POST", T + "runs/set-tag", {"run_id": "$r", "key": key, "value": text}))
        elif kind == "delete-tag":
            steps.append(("POST", T + "runs/delete-tag", {"run_id": "$r", "key": key}))
        elif kind == "metric":
            steps.append(("POST", T + "runs/log-metric", {"run_id": "$r", **_metric(pick)}))
        else:
            steps.append(("POST", T + "runs/log-batch", {"run_id": "$r", **_batch(pick)}))
    steps.append(("GET", T + "runs/get", {"run_id": "$r"}))
    return steps + [
        ("GET", T + "metrics/get-history", {"run_id": "$r", "metric_key": key})
        for key in ("a", "b/c", "d e", "x.y")
    ]


def _metric(pick):
    given = {
        "key": pick.choice(KEYS[:6]),
        "value": pick.choice(NUMBERS),
        "timestamp": pick.choice(TIMES),
        "step": pick.choice([0, 1, "2", -3]),
    }
    return {name: value for name, value in given.items() if value is not None}


def _batch(pick):
    """Of one kind a batch: mlflow keeps what it wrote before the first thing that it refuses, and here nothing is."""
    kind = pick.choice(["metrics", "params", "tags"])
    if kind == "metrics":
        drawn = [_metric(pick) for _ in range(pick.randrange(4))]
        # mlflow takes a batch that is no numbers as one of zeros.
        return {"metrics": [each for each in drawn if each.get("value") != "x"]}
    return {kind: [{"key": pick.choice(KEYS), "value": pick.choice(TEXTS)} for _ in range(pick.randrange(3))]}


def registry(seed):
    """Models, versions, tags, aliases and stages, and what is found of them."""
    pick = random.Random(f"registry {seed}")
    names = [f"r{at} {{seed}}" for at in range(3)]
    steps = [
        (
            "POST",
            T + "registered-models/create",
            {"name": name, "tags": [{"key": "t", "value": pick.choice("xy")}] * pick.randrange(2)},
        )
        for name in names
    ]
    for _ in range(22):
        model = {"name": pick.choice([*names, *names, "none {seed}"])}
        version = {**model, "version": pick.choice(["1", "2", "3", "0", "x", "99"])}
        alias = {"alias": pick.choice(["a", "b", "latest", "v2", "bad name"])}
        steps.append(
            pick.choice(
                [
                    (
                        "POST",
                        T + "model-versions/create",
                        {**model, "source": f"s3://b/{pick.choice('pq')}", "run_id": pick.choice(["", "r1"])},
                    ),
                    (
                        "POST",
                        T + "model-versions/create",
                        {**model, "source": "s3://b/z", "tags": [{"key": "k", "value": pick.choice("xy")}]},
                    ),
                    ("POST", T + "registered-models/alias", {**version, **alias}),
                    ("GET", T + "registered-models/alias", {**model, **alias}),
                    ("DELETE", T + "registered-models/alias", {**model, **alias}),
                    (
                        "POST",
                        T + "model-versions/set-tag",
                        {**version, "key": pick.choice(KEYS[:8]), "value": pick.choice(TEXTS)},
                    ),
                    ("DELETE", T + "model-versions/delete-tag", {**version, "key": "k"}),
                    (
                        "POST",
                        T + "model-versions/transition-stage",
                        {**version, "stage": pick.choice(["Staging", "production", "None", "no"])},
                    ),
                    ("DELETE", T + "model-versions/delete", version),
                    ("GET", T + "model-versions/get", version),
                    ("GET", T + "registered-models/get", model),
                    ("POST", T + "registered-models/get-latest-versions", model),
                    (
                        "PATCH",
                        T + "model-versions/update",
                        {**version, "description": pick.choice(TEXTS[:4])},
                    ),
                ]
            )
        )
    clauses = [
        "name LIKE 'r% {seed}'", "name = 'r1 {seed}'", "name IN ('r0 {seed}', 'r2 {seed}')", "tags.k = 'x'",
        "tag.k != 'x'", "run_id = 'r1'", "source_path = 's3://b/p'", "version_number >= 2", "version_number = 'x'",
        "name > 'a'",
    ]  # fmt: skip
    mine = "name LIKE '% {seed}'"
    for _ in range(8):
        asked = " AND ".join([mine, *pick.sample(clauses, pick.choice([0, 1, 1, 2]))])
        order = {"order_by": pick.choice(["version_number ASC", "name DESC"]), "max_results": "100"}
        steps.append(("GET", T + "model-versions/search", {"filter": asked, **order}))
    for _ in range(5):
        clause = pick.choice(
            ["tags.t = 'x'", "tags.t != 'x'", "tags.t LIKE 'X'", "tags.t ILIKE 'X'", "name ILIKE 'R%'"]
        )
        steps.append(
            (
                "GET",
                T + "registered-models/search",
                {"filter": f"{mine} AND {clause}", "order_by": "name DESC"},
            )
        )
    return steps
