"""Frameworks that log through the SDK's own callbacks."""

from __future__ import annotations

import pytest

from runstone.domain.context import Context
from runstone.domain.runs import lifecycle, rows

CTX = Context()
DATA = """
import numpy as np
noise = np.random.default_rng(1)
x = noise.normal(size=(200, 4)); y = (x[:, 0] + x[:, 1] > 0).astype(int)
"""


def logged(served, name, key):
    found = rows.read(served.store, CTX, f"local/{name}", wanted=lambda each: each == key)
    return [values[key] for _, _, values in found]


def test_xgboost(served, sdk):
    pytest.importorskip("xgboost")
    said = sdk.run(
        DATA
        + """
import xgboost
from wandb.integration.xgboost import WandbCallback
with wandb.init(project="frameworks", id="xgb") as run:
    data = xgboost.DMatrix(x, y); seen = {}
    model = xgboost.train({"objective": "binary:logistic", "eval_metric": "logloss"}, data, 5, evals=[(data, "train")], evals_result=seen,
                          verbose_eval=False, callbacks=[WandbCallback(log_model=True)])
say([seen["train"]["logloss"], [art.type for art in wandb.Api().run("frameworks/xgb").logged_artifacts()]])
    """
    )
    losses, types = said[0]
    assert logged(served, "frameworks/xgb", "train-logloss") == losses
    assert "model" in types
    assert lifecycle.get(served.store, CTX, "local/frameworks/xgb").summary["train-logloss"] == {
        "min": min(losses)
    }


def test_lightgbm(served, sdk):
    pytest.importorskip("lightgbm")
    said = sdk.run(
        DATA
        + """
import lightgbm
from wandb.integration.lightgbm import wandb_callback, log_summary
with wandb.init(project="frameworks", id="lgb") as run:
    data = lightgbm.Dataset(x, y); seen = {}
    model = lightgbm.train({"objective": "binary", "metric": "binary_logloss", "verbose": -1, "num_threads": 1}, data, 5, valid_sets=[data],
                           callbacks=[lightgbm.record_evaluation(seen), wandb_callback()])
    log_summary(model, save_model_checkpoint=True)
say(seen["training"]["binary_logloss"])
    """
    )
    assert logged(served, "frameworks/lgb", "training_binary_logloss") == said[0]


def test_sklearn(served, sdk):
    pytest.importorskip("sklearn")
    said = sdk.run(
        DATA
        + """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit(x, y)
with wandb.init(project="frameworks", id="sk") as run:
    wandb.sklearn.plot_confusion_matrix(y, model.predict(x), ["no", "yes"])
    wandb.sklearn.plot_summary_metrics(model, x, y, x, y)
run = wandb.Api().run("frameworks/sk")
table = next(file for file in run.files() if "confusion_matrix" in file.name and file.name.endswith(".json"))
say(json.load(table.download(root="back"))["columns"])
    """
    )
    assert "Predicted" in said[0]


def test_catboost(served, sdk):
    pytest.importorskip("catboost")
    said = sdk.run(
        DATA
        + """
from catboost import CatBoostClassifier
from wandb.integration.catboost import WandbCallback, log_summary
model = CatBoostClassifier(iterations=5, depth=2, verbose=False, allow_writing_files=False, thread_count=1, random_seed=1)
with wandb.init(project="frameworks", id="cat") as run:
    model.fit(x, y, eval_set=(x, y), callbacks=[WandbCallback()])
    log_summary(model, log_all_params=True, save_model_checkpoint=True)
say(model.get_evals_result())
run = wandb.Api().run("frameworks/cat")
say([run.summary["best_score"], run.config["iterations"], sorted(artifact.type for artifact in run.logged_artifacts())])
    """
    )
    for part, metrics in said[0].items():
        for metric, values in metrics.items():
            assert logged(served, "frameworks/cat", f"{part}-{metric}") == values
    assert "learn" in said[0]
    best = {
        part: {metric: min(values) for metric, values in metrics.items()} for part, metrics in said[0].items()
    }
    assert said[1] == [best, 5, ["model", "run_table"]]
