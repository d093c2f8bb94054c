"""Requests for the differential test: (method, path, fields, what to keep of the answer), by topic."""

T = "mlflow/"
NEW = ("POST", T + "experiments/create", {"name": "exp {seed}"}, "e=experiment_id")
RUN = (
    "POST",
    T + "runs/create",
    {"experiment_id": "$e", "start_time": 5, "run_name": "rn"},
    "r=run.info.run_id",
)
M, P = {"name": "m {seed}"}, {"name": "p {seed}"}
PROMPT_TAG = {"key": "mlflow.prompt.is_prompt", "value": "true"}
PROMPT_TEXT = {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}


def _version(**fields):
    return ("POST", T + "model-versions/create", {**M, **fields})


SOURCES = [
    NEW,
    RUN,
    ("POST", T + "registered-models/create", M),
    (
        "POST",
        T + "logged-models",
        {"experiment_id": "$e", "name": "lm", "source_run_id": "$r"},
        "l=model.info.model_id",
    ),
    _version(source="s3://b/x"),
    _version(source="s3://b/../x"),
    _version(source="s3://b/%2e%2e/x"),
    _version(source="/etc/passwd"),
    _version(source="/etc/passwd", run_id="$r"),
    _version(source="file:///etc/passwd", run_id="$r"),
    _version(source="runs:/$r/model", run_id="$r"),
    _version(source="runs:/$r/model"),
    _version(source="runs:/$r/model", run_id="x" * 32),
    _version(source="runs:/"),
    _version(source="mlflow-artifacts:/$e/$r/artifacts/model", run_id="$r"),
    _version(source="mlflow-artifacts:/$e/$r/artifacts/model"),
    _version(source="mlflow-artifacts:/$e/other/artifacts/model", run_id="$r"),
    _version(source="mlflow-artifacts:/$e/$r/artifacts/../../x", run_id="$r"),
    _version(source="models:/$l", model_id="$l"),
    _version(source="models:/$l"),
    _version(source="models:/$l", model_id="m-" + "0" * 32),
    _version(source="models:/m {seed}/1"),
    _version(source="models:/m {seed}/latest"),
    _version(source="models:/m {seed}/99"),
    _version(source="models:/none {seed}/1"),
    _version(source="models:/a/b/c"),
    _version(source="models:/m {seed}/1", run_id="$r"),
    _version(source="mlflow-artifacts:/$e/models/$l/artifacts", model_id="$l"),
    _version(source="mlflow-artifacts:/$e/models/other/artifacts", model_id="$l"),
    _version(source="s3://b/y", run_id="$r", run_link="https://x/y"),
    _version(source=""),
    ("GET", T + "model-versions/search", {"filter": "name = 'm {seed}'", "order_by": "version_number"}),
    ("GET", T + "model-versions/get-download-uri", {**M, "version": "1"}),
    ("GET", T + "model-versions/search", {"filter": "run_id = '$r'", "order_by": "version_number"}),
    ("GET", T + "model-versions/search", {"filter": "source_path LIKE 's3://%' AND name = 'm {seed}'"}),
    (
        "GET",
        T + "model-versions/search",
        {"filter": "version_number > 2 AND name = 'm {seed}'", "max_results": "2"},
    ),
]

PROMPTS = [
    ("POST", T + "registered-models/create", {**P, "tags": [PROMPT_TAG]}),
    ("POST", T + "registered-models/create", {**P, "tags": [PROMPT_TAG]}),
    ("POST", T + "registered-models/create", P),
    ("POST", T + "registered-models/create", M),
    ("POST", T + "registered-models/create", {**M, "tags": [PROMPT_TAG]}),
    (
        "POST",
        T + "model-versions/create",
        {**P, "source": "dummy-source", "tags": [PROMPT_TAG, PROMPT_TEXT], "description": "first"},
    ),
    ("POST", T + "model-versions/create", {**P, "source": "s3://x", "tags": [PROMPT_TAG, PROMPT_TEXT]}),
    (
        "POST",
        T + "model-versions/create",
        {**P, "source": "prompt-template", "tags": [PROMPT_TAG, PROMPT_TEXT]},
    ),
    ("POST", T + "model-versions/create", {**M, "source": "models:/p {seed}/1"}),
    ("GET", T + "registered-models/get", P),
    ("GET", T + "model-versions/get", {**P, "version": "1"}),
    ("POST", T + "registered-models/alias", {**P, "alias": "prod", "version": "1"}),
    ("GET", T + "registered-models/alias", {**P, "alias": "prod"}),
    ("GET", T + "registered-models/search", {"filter": "name LIKE '% {seed}'"}),
    (
        "GET",
        T + "registered-models/search",
        {"filter": "name LIKE '% {seed}' AND tags.`mlflow.prompt.is_prompt` = 'true'"},
    ),
    (
        "GET",
        T + "registered-models/search",
        {"filter": "name LIKE '% {seed}' AND tags.`mlflow.prompt.is_prompt` != 'true'"},
    ),
    ("GET", T + "model-versions/search", {"filter": "name = 'p {seed}'"}),
    (
        "GET",
        T + "model-versions/search",
        {
            "filter": "name = 'p {seed}' AND tag.`mlflow.prompt.is_prompt` = 'true'",
            "order_by": "version_number",
        },
    ),
    ("POST", T + "model-versions/set-tag", {**P, "version": "1", "key": "k", "value": "v"}),
    ("DELETE", T + "model-versions/delete-tag", {**P, "version": "1", "key": "k"}),
    ("DELETE", T + "registered-models/alias", {**P, "alias": "prod"}),
    ("DELETE", T + "registered-models/alias", {**P, "alias": "never"}),
    ("DELETE", T + "registered-models/delete", P),
    ("GET", T + "registered-models/get", P),
]

NAMES = [
    ("POST", T + "registered-models/create", M),
    ("POST", T + "registered-models/create", {"name": ".."}),
    ("POST", T + "registered-models/create", {"name": "a/../b"}),
    ("POST", T + "registered-models/create", {"name": "a:b"}),
    ("POST", T + "registered-models/create", {"name": " "}),
    ("POST", T + "registered-models/create", {"name": "dots.in.{seed}"}),
    ("GET", T + "registered-models/get", {"name": "dots.in.{seed}"}),
    ("GET", T + "registered-models/get", {"name": "dots.out.{seed}"}),
    ("POST", T + "model-versions/create", {"name": "dots.in.{seed}", "source": "s3://b/x"}),
    ("GET", T + "model-versions/get", {"name": "dots.in.{seed}", "version": "1"}),
    ("POST", T + "model-versions/create", {**M, "source": "s3://b/x"}),
    ("POST", T + "model-versions/create", {**M, "source": "s3://b/y"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "a-b_c", "version": "2"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "", "version": "2"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "x" * 256, "version": "2"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "a b", "version": "2"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "ok", "version": "7"}),
    ("POST", T + "registered-models/alias", {**M, "alias": "ok", "version": "x"}),
    ("POST", T + "registered-models/alias", {"name": "none {seed}", "alias": "ok", "version": "1"}),
    ("GET", T + "registered-models/alias", {"name": "none {seed}", "alias": "ok"}),
    ("GET", T + "registered-models/alias", {**M, "alias": "a/b"}),
    ("GET", T + "registered-models/alias", {"name": "dots.in.{seed}", "alias": "latest"}),
    ("POST", T + "registered-models/rename", {**M, "new_name": "dots.in.{seed}"}),
    ("POST", T + "registered-models/rename", {**M, "new_name": "x/y"}),
    ("POST", T + "registered-models/rename", {**M, "new_name": "to {seed}"}),
    ("GET", T + "registered-models/get", M),
    ("GET", T + "registered-models/alias", {"name": "to {seed}", "alias": "a-b_c"}),
    ("GET", T + "model-versions/search", {"filter": "name = 'to {seed}'", "order_by": "version_number ASC"}),
    (
        "POST",
        T + "model-versions/set-tag",
        {"name": "to {seed}", "version": "1", "key": "a//b", "value": "1"},
    ),
    (
        "POST",
        T + "model-versions/set-tag",
        {"name": "to {seed}", "version": "1", "key": "a" * 251, "value": "1"},
    ),
    ("POST", T + "model-versions/set-tag", {"name": "to {seed}", "version": "9", "key": "a", "value": "1"}),
    ("DELETE", T + "model-versions/delete-tag", {"name": "to {seed}", "version": "1", "key": "none"}),
    ("DELETE", T + "registered-models/delete-tag", {"name": "to {seed}", "key": "none"}),
    ("DELETE", T + "model-versions/delete", {"name": "to {seed}", "version": "2"}),
    ("GET", T + "registered-models/alias", {"name": "to {seed}", "alias": "a-b_c"}),
    ("POST", T + "model-versions/create", {"name": "to {seed}", "source": "s3://b/z"}),
    ("DELETE", T + "model-versions/delete", {"name": "to {seed}", "version": "2"}),
    ("POST", T + "registered-models/get-latest-versions", {"name": "to {seed}"}),
    ("POST", T + "registered-models/get-latest-versions", {"name": "to {seed}", "stages": ["None", "x"]}),
    (
        "POST",
        T + "model-versions/transition-stage",
        {"name": "to {seed}", "version": "3", "stage": "sTaging", "archive_existing_versions": True},
    ),
    ("GET", T + "registered-models/get", {"name": "to {seed}"}),
    ("GET", T + "registered-models/search", {"filter": "name = 'to {seed}'", "max_results": "1001"}),
    ("GET", T + "registered-models/search", {"filter": "bad = 'x'"}),
]

HOOKS = [
    (
        "POST",
        T + "webhooks",
        {
            "name": "h-1",
            "url": "https://93.184.215.14/x",
            "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
            "secret": "s",
            "description": "d",
        },
        "w=webhook.webhook_id",
    ),
    ("GET", T + "webhooks/$w", {}),
    ("PATCH", T + "webhooks/$w", {"status": "DISABLED", "name": "h2"}),
    (
        "PATCH",
        T + "webhooks/$w",
        {
            "events": [
                {"entity": "PROMPT_ALIAS", "action": "DELETED"},
                {"entity": "REGISTERED_MODEL", "action": "CREATED"},
            ]
        },
    ),
    ("PATCH", T + "webhooks/$w", {"description": ""}),
    ("GET", T + "webhooks", {}),
    ("GET", T + "webhooks", {"max_results": "1001"}),
    ("POST", T + "webhooks", {"name": "h", "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]}),
    ("POST", T + "webhooks", {"name": "h", "url": "https://93.184.215.14/", "events": []}),
    (
        "POST",
        T + "webhooks",
        {
            "name": "h",
            "url": "ftp://93.184.215.14/",
            "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
        },
    ),
    (
        "POST",
        T + "webhooks",
        {
            "name": "-h",
            "url": "https://93.184.215.14/",
            "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
        },
    ),
    (
        "POST",
        T + "webhooks",
        {
            "name": "h",
            "url": "https://93.184.215.14/",
            "events": [{"entity": "MODEL_VERSION", "action": "DELETED"}],
        },
    ),
    ("DELETE", T + "webhooks/$w", {}),
    ("GET", T + "webhooks/$w", {}),
    ("DELETE", T + "webhooks/$w", {}),
    ("GET", T + "webhooks", {}),
]

R = {"run_id": "$r"}
DATASET = {
    "name": "ds",
    "digest": "d1",
    "source_type": "local",
    "source": "/x",
    "schema": "{}",
    "profile": "p",
}
CONTEXT = {"key": "mlflow.data.context", "value": "train"}


def _found(filter):
    return ("POST", T + "runs/search", {"experiment_ids": ["$e"], "filter": filter, "max_results": 10})


INPUTS = [
    NEW,
    RUN,
    (
        "POST",
        T + "runs/create",
        {"experiment_id": "$e", "start_time": 6, "run_name": "r2"},
        "s=run.info.run_id",
    ),
    (
        "POST",
        T + "logged-models",
        {
            "experiment_id": "$e",
            "name": "lm",
            "source_run_id": "$r",
            "params": [{"key": "p", "value": "deep"}],
        },
        "l=model.info.model_id",
    ),
    ("POST", T + "runs/log-inputs", {**R, "datasets": [{"dataset": DATASET, "tags": [CONTEXT]}]}),
    (
        "POST",
        T + "runs/log-inputs",
        {**R, "datasets": [{"dataset": {**DATASET, "source": "/y"}, "tags": [{"key": "x", "value": "y"}]}]},
    ),
    (
        "POST",
        T + "runs/log-inputs",
        {
            "run_id": "$s",
            "datasets": [{"dataset": {"name": "other", "digest": "d2", "source_type": "s", "source": "t"}}],
        },
    ),
    ("POST", T + "runs/log-inputs", {**R, "models": [{"model_id": "$l"}]}),
    ("POST", T + "runs/outputs", {**R, "models": [{"model_id": "$l", "step": 3}]}),
    ("GET", T + "runs/get", R),
    ("GET", T + "runs/get", {"run_id": "$s"}),
    ("POST", T + "runs/log-inputs", {**R, "datasets": [{"dataset": {**DATASET, "name": "n" * 501}}]}),
    ("POST", T + "runs/log-inputs", {**R, "datasets": [{"dataset": {**DATASET, "digest": "n" * 37}}]}),
    (
        "POST",
        T + "runs/log-inputs",
        {**R, "datasets": [{"dataset": DATASET, "tags": [{"key": "k" * 256, "value": "v"}]}]},
    ),
    ("POST", T + "runs/log-inputs", {"run_id": "nope"}),
    ("POST", T + "runs/log-inputs", {}),
    ("POST", T + "runs/outputs", R),
    _found("dataset.name = 'ds'"),
    _found("dataset.name != 'ds'"),
    _found("datasets.digest IN ('d1', 'd2')"),
    _found("dataset.context = 'train'"),
    _found("dataset.context != 'train'"),
    _found("dataset.name LIKE 'o%' AND dataset.digest = 'd2'"),
    _found("dataset.name ILIKE 'O%'"),
    _found("dataset.name = 5"),
    (
        "POST",
        T + "runs/log-metric",
        {
            **R,
            "key": "acc",
            "value": 0.5,
            "timestamp": 4,
            "step": 1,
            "model_id": "$l",
            "dataset_name": "ds",
            "dataset_digest": "d1",
        },
    ),
    (
        "POST",
        T + "runs/log-batch",
        {
            **R,
            "metrics": [
                {"key": "loss", "value": 2, "timestamp": 4, "model_id": "$l"},
                {"key": "z", "value": 1, "timestamp": 1},
            ],
        },
    ),
    ("GET", T + "runs/get", R),
    ("GET", T + "logged-models/$l", {}),
    ("POST", T + "logged-models/search", {"experiment_ids": ["$e"], "filter": "metrics.acc > 0.4"}),
    ("POST", T + "logged-models/search", {"experiment_ids": ["$e"], "filter": "metrics.acc > 0.6"}),
    (
        "POST",
        T + "logged-models/search",
        {"experiment_ids": ["$e"], "datasets": [{"dataset_name": "ds", "dataset_digest": "d1"}]},
    ),
    ("POST", T + "logged-models/search", {"experiment_ids": ["$e"], "datasets": [{"dataset_name": "none"}]}),
    (
        "POST",
        T + "logged-models/search",
        {
            "experiment_ids": ["$e"],
            "filter": "metrics.loss = 2",
            "datasets": [{"dataset_name": "ds", "dataset_digest": "d1"}],
        },
    ),
    ("POST", T + "logged-models/search", {"experiment_ids": ["$e"], "filter": "params.p = 'deep'"}),
    ("POST", T + "runs/log-model", {**R, "model_json": "{"}),
    (
        "POST",
        T + "runs/log-model",
        {
            **R,
            "model_json": '{"artifact_path": "m", "flavors": {}, "utc_time_created": "t", "run_id": "r"}',
        },
    ),
]


def _model(name, kind, tag, param, kept):
    fields = {
        "experiment_id": "$e",
        "name": name,
        "model_type": kind,
        "source_run_id": "$r",
        "tags": [{"key": "t", "value": tag}],
        "params": [{"key": "p", "value": param}],
    }
    return ("POST", T + "logged-models", fields, f"{kept}=model.info.model_id")


def _models(filter="", **more):
    asked = {"experiment_ids": ["$e"], **({"filter": filter} if filter else {}), **more}
    return ("POST", T + "logged-models/search", asked)


def _measured(model, key, value, step, **more):
    fields = {**R, "key": key, "value": value, "timestamp": step, "step": step, "model_id": model, **more}
    return ("POST", T + "runs/log-metric", fields)


MODELS = [
    NEW,
    RUN,
    _model("alpha", "Agent", "x", "p-1", "m1"),
    _model("beta", "", "y", "p-2", "m2"),
    _model("Gamma", "Agent", "x", "p-3", "m3"),
    ("PATCH", T + "logged-models/$m1", {"model_id": "$m1", "status": "LOGGED_MODEL_READY"}),
    ("PATCH", T + "logged-models/$m2", {"model_id": "$m2", "status": "LOGGED_MODEL_UPLOAD_FAILED"}),
    _measured("$m1", "acc", 0.25, 1),
    _measured("$m2", "acc", 0.5, 2),
    _measured("$m3", "loss", 4.0, 3),
    _measured("$m1", "acc", 0.75, 4, dataset_name="d", dataset_digest="dd1"),
    _measured("$m1", "acc", 0.5, 5, dataset_name="d", dataset_digest="dd2"),
    _measured("$m1", "acc", 0.5, 5, dataset_name="d", dataset_digest="dd2"),
    ("GET", T + "logged-models/$m1", {}),
    _models("metrics.acc > 0.6"),
    _models("metrics.acc < 0.3"),
    _models("metrics.acc = 0.75"),
    _models("metrics.acc != 0.5", order_by=[{"field_name": "name"}]),
    _models("metrics.acc > 0.6", datasets=[{"dataset_name": "d", "dataset_digest": "dd2"}]),
    _models("metrics.acc > 0.6", datasets=[{"dataset_name": "d", "dataset_digest": "dd1"}]),
    *(
        _models(filter, order_by=[{"field_name": "name", "ascending": True}])
        for filter in (
            "",
            "name = 'alpha'",
            "name != 'alpha'",
            "name LIKE '%a'",
            "name ILIKE 'g%'",
            "name IN ('alpha', 'beta')",
            "model_type = 'Agent'",
            "model_type != 'Agent'",
            "model_id = '$m2'",
            "model_id != '$m2'",
            "model_id IN ('$m2', '$m3')",
            "model_id LIKE 'm-%'",
            "model_id = 'none'",
            "status = 'NOTHING'",
            "source_run_id = '$r'",
            "source_run_id = 'none'",
            "tags.t = 'x'",
            "tags.t != 'x'",
            "params.p = 'p-2' AND tags.t = 'y'",
            "params.p IN ('p-1', 'p-3')",
            "metrics.acc > 0.3",
            "metrics.acc <= 0.5 AND model_type = 'Agent'",
            "creation_timestamp > 5",
            "creation_timestamp < 5",
        )
    ),
    *(
        _models(order_by=[{"field_name": name, "ascending": up}, {"field_name": "name"}])
        for name in ("metrics.acc", "model_type", "status", "params.p", "name")
        for up in (True, False)
        if name != "name"
    ),
    _models(max_results=2, order_by=[{"field_name": "name"}]),
    ("DELETE", T + "logged-models/$m1", {}),
    _models(order_by=[{"field_name": "name", "ascending": False}]),
    _models("model_id = '$m1'"),
]

SEQUENCES = {
    "sources": SOURCES,
    "prompts": PROMPTS,
    "names": NAMES,
    "webhooks": HOOKS,
    "inputs": INPUTS,
    "models": MODELS,
}
