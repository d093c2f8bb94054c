"""mlflow's own rules about keys and values, with its texts."""

from __future__ import annotations

import functools
import posixpath
import re

from runstone.dialects.mlflow.problem import invalid
from runstone.dialects.mlflow.wire import invalid_value
from runstone.errors import RunstoneError

MAX_KEY = 250
MAX_PARAM = 6000
MAX_RUN_TAG = 8000
MAX_EXPERIMENT_TAG = 20_000
MAX_REGISTRY_TAG = 100_000
MAX_EXPERIMENT_NAME = 500
MAX_ALIAS = 255
MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_ENTITIES = 1000, 100, 100, 1000
_KEY = re.compile(r"[/\w.\- :]*\Z")
_ALIAS = re.compile(r"[\w\-]*\Z")
_BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
    "colon(:) and slashes (/)."
)


def key(name: str, path: str, what: str = "") -> str:
    """A key of a metric, param or tag; ``path`` and ``what`` are how mlflow names it in the two kinds of refusals."""
    if not _KEY.match(name):
        raise invalid(invalid_value(path, name, _BAD_CHARACTERS))
    _as_path(name, path)
    short(name, what or path, MAX_KEY)
    return name


@functools.lru_cache(8192)
def is_key(name: str) -> bool:
    """Whether :func:`key` takes it."""
    try:
        key(name, "key")
    except RunstoneError:
        return False
    return True


def _as_path(name: str, path: str) -> None:
    plain = posixpath.normpath(name)
    if plain != name or plain == "." or plain.startswith(("..", "/")):
        raise invalid(
            invalid_value(
                path,
                name,
                "Names may be treated as files in certain cases, and must not resolve to other names"
                f" when treated as such. This name would resolve to {plain!r}",
            )
        )


def short(value: str, what: str, limit: int) -> str:
    """A text of at most ``limit`` characters."""
    if len(value) > limit:
        raise invalid(f"'{what}' exceeds the maximum length of {limit} characters")
    return value


def experiment_name(name: str) -> str:
    """The name of an experiment."""
    return short(name, "name", MAX_EXPERIMENT_NAME)


def experiment_tag(name: str, value: str) -> tuple[str, str]:
    """A tag of an experiment."""
    return key(name, "key"), short(value, "value", MAX_EXPERIMENT_TAG)


def registry_tag(name: str, value: str) -> tuple[str, str]:
    """A tag of a registered model or of one of its versions."""
    return key(name, "key"), short(value, "value", MAX_REGISTRY_TAG)


def tag_key(name: str) -> str:
    """The key of a tag that is to be taken away."""
    return key(name, "key")


def run_tag(name: str, value: str, path: str = "") -> tuple[str, str]:
    """A tag of a run; a value that is too long is cut, as mlflow does."""
    return key(name, f"{path}key"), value[:MAX_RUN_TAG]


def trace_tag(name: str, value: str) -> tuple[str, str]:
    """A tag of a trace; a value that is too long is cut, as mlflow does."""
    return key(name, "key"), value[:MAX_RUN_TAG]


def param(name: str, value: str, path: str = "") -> tuple[str, str]:
    """A param; a value that is too long is cut, as mlflow does."""
    return key(name, f"{path}key", "Param key"), value[:MAX_PARAM]


def model_name(name: str) -> str:
    """The name of a registered model."""
    if not name.strip():
        raise invalid("Missing value for required parameter 'name'.")
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    _as_path(name, "name")
    return name


def alias(name: str) -> str:
    """An alias of a model version."""
    alias_shape(name)
    if name.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if re.match(r"[vV]\d+\Z", name):
        raise invalid(f"Version alias name '{name}' is reserved.")
    return name


def alias_shape(name: str) -> None:
    """Raises for what cannot be an alias; one that is reserved passes."""
    if not name:
        raise invalid("Registered model alias name cannot be empty.")
    if not _ALIAS.match(name):
        raise invalid(
            f"Invalid alias name: '{name}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )
    short(name, "Registered model alias name", MAX_ALIAS)


_DATASET = {
    "name": 500,
    "digest": 36,
    "source": 65_535,
    "schema": 1_048_575,
    "profile": 16_777_215,
}


def dataset_part(name: str, value: str) -> str:
    """A part of the description of a dataset."""
    return short(value, name, _DATASET.get(name, MAX_PARAM))


def input_tag(name: str, value: str) -> tuple[str, str]:
    """A tag of the use of a dataset."""
    return short(name, "key", 255), short(value, "value", 500)


def batch(metrics: int, params: int, tags: int) -> None:
    """Raises when a batch holds more than mlflow allows."""
    for what, limit, count in (
        ("metrics", MAX_METRICS, metrics),
        ("params", MAX_PARAMS, params),
        ("tags", MAX_TAGS, tags),
        ("metrics, params, and tags", MAX_ENTITIES, metrics + params + tags),
    ):
        if count > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {what}. Got {count} {what}. "
                f"Please split up {what} across multiple requests and try again."
            )
