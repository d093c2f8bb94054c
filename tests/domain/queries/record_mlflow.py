"""Asks the genuine mlflow the golden questions and ``filters_mlflow.py``, and keeps its answers in ``mlflow_recorded.json``.

Not a test: run by hand, from the root of the repository, by a Python that has mlflow (with SQLAlchemy), msgspec and this package on its path:
``PYTHONPATH=src:. python -m tests.domain.queries.record_mlflow``. The store is a fresh SQLite file, as ``mlflow server`` has by default.
"""

import json
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking
from tests.domain.queries import golden
from tests.domain.queries.filters_mlflow import FILTERS, ORDERS

STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "crashed": "FAILED",
    "killed": "KILLED",
}


def fill(store, experiment):
    """Logs the golden rows; the row's id by the run's."""
    found = {}
    for row_id, row in golden.dataset().items():
        start = row["created"] // 1000
        # mlflow has no runs without a user: they get the one that no question finds.
        run = store.create_run(experiment, row.get("user") or "bob", start, [], row["name"]).info.run_id
        found[run] = row_id
        held = {name.partition(".")[2]: value for name, value in row.items() if name.startswith("config.")}
        params = [
            Param(key, str(value))
            for key, value in held.items()
            if value is not None and not isinstance(value, list)
        ]
        metrics = [
            Metric(name.removeprefix("summary."), float(value), start, 0)
            for name, value in row.items()
            if name.startswith("summary.") and type(value) in (int, float) and ":" not in name
        ]
        tags = [
            RunTag(name.removeprefix("tags."), value)
            for name, value in row.items()
            if name.startswith("tags.")
        ]
        store.log_batch(run, metrics, params, tags)
        end = row["ended"] // 1000 if "ended" in row else None
        store.update_run_info(run, RunStatus.from_string(STATUS[row["state"]]), end, row["name"])
    return found


def answer(ask):
    """What was found, or how it was refused."""
    try:
        return {"found": ask()}
    except MlflowException as error:
        return {"refused": error.message, "code": error.error_code}
    except Exception as error:
        return {"broke": type(error).__name__}


def main():
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/mlflow.db"
        tracking, registry = Tracking(url, folder), Registry(url)
        experiment = tracking.create_experiment("golden")
        rows = fill(tracking, experiment)

        def search(text, orders):
            return tracking.search_runs([experiment], text, ViewType.ACTIVE_ONLY, 1000, orders)

        searches = {
            "runs": search,
            "experiments": lambda text, orders: tracking.search_experiments(ViewType.ALL, 10, text, orders),
            "models": lambda text, orders: registry.search_registered_models(text, 10, orders),
            "versions": lambda text, orders: registry.search_model_versions(text, 10, orders),
            "logged": lambda text, orders: tracking.search_logged_models([experiment], text, max_results=10),
        }

        def whole(text, orders):
            return answer(lambda: [rows[run.info.run_id] for run in search(text, orders)])

        def asked(texts, place):
            for text in texts:
                kind, bar, rest = text.partition("|")
                kind, rest = (kind, rest) if bar and kind in searches else ("runs", text)
                pair = (rest, None) if place == "filters" else ("", [rest])
                yield text, answer(lambda kind=kind, pair=pair: searches[kind](*pair) and None)

        recorded = {
            "mlflow": mlflow.__version__,
            "golden": {
                each.name: whole(*golden._parts(each.mlflow))
                for each in golden.QUESTIONS
                if each.mlflow is not None and "run_id" not in str(each.mlflow)  # mlflow gives the ids itself
            },
            "filters": dict(asked(FILTERS, "filters")),
            "orders": dict(asked(ORDERS, "orders")),
        }
    path = Path(__file__).with_name("mlflow_recorded.json")
    path.write_text(json.dumps(recorded, indent=0, ensure_ascii=False) + "\n")
    print(path, len(recorded["golden"]), len(recorded["filters"]), len(recorded["orders"]))


if __name__ == "__main__":
    main()
