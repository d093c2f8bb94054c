"""Webhooks made by the genuine client, received by an HTTP server, their signatures checked as mlflow's documentation says."""

import base64
import hashlib
import hmac
import json
import time

import mlflow
import pytest
from mlflow.entities.webhook import WebhookStatus
from mlflow.exceptions import MlflowException

from runstone.config import ServerOptions
from runstone.domain import aliases
from runstone.domain.context import Context
from runstone.domain.webhooks import hooks, queue
from runstone.library import Library
from runstone.server.background import Background
from runstone.testing.receiver import Receiver
from runstone.types import FileEntry

pytestmark = pytest.mark.filterwarnings("ignore")
SECRET = "a secret of some length"


@pytest.fixture(scope="module")
def open_server(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("hooks") / "data")
    with Background(ServerOptions(data=data, port=0, log_format="off", private_webhooks=True)) as server:
        yield server


@pytest.fixture
def hooked(open_server):
    return mlflow.MlflowClient(open_server.url, open_server.url)


@pytest.fixture
def receiver(hooked):
    made = Receiver()
    yield made
    made.close()
    for hook in hooked.list_webhooks():
        hooked.delete_webhook(hook.webhook_id)


def waited(receiver, count):
    end = time.monotonic() + 30
    while len(receiver.got) < count:
        assert time.monotonic() < end, receiver.bodies()
        time.sleep(0.05)
    return [(f"{each['entity']}.{each['action']}", each["data"]) for each in receiver.bodies()]


def test_the_registry_is_told_in_mlflows_words_and_signed(hooked, receiver):
    events = [
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
        "prompt.created",
        "prompt_version.created",
        "prompt_alias.created",
    ]
    made = hooked.create_webhook("all", receiver.url, events, description="d", secret=SECRET)
    assert (made.status, made.secret, [str(each) for each in made.events]) == ("ACTIVE", None, events)
    hooked.create_registered_model("told", {"a": "b"}, "what")
    hooked.create_model_version("told", "s3://b/x", tags={"k": "v"}, description="first")
    hooked.set_model_version_tag("told", "1", "t", "u")
    hooked.delete_model_version_tag("told", "1", "t")
    hooked.set_registered_model_alias("told", "champion", "1")
    hooked.delete_registered_model_alias("told", "champion")
    hooked.set_registered_model_tag("told", "nobody", "hears")
    hooked.register_prompt("greet", "Hello {{name}}", commit_message="hi", tags={"x": "y"})
    hooked.set_prompt_alias("greet", "prod", 1)
    told = waited(receiver, 9)
    assert told[:6] == [
        ("registered_model.created", {"name": "told", "description": "what", "tags": {"a": "b"}}),
        (
            "model_version.created",
            {
                "name": "told",
                "version": "1",
                "description": "first",
                "source": "s3://b/x",
                "run_id": None,
                "tags": {"k": "v"},
            },
        ),
        ("model_version_tag.set", {"name": "told", "version": "1", "key": "t", "value": "u"}),
        ("model_version_tag.deleted", {"name": "told", "version": "1", "key": "t"}),
        ("model_version_alias.created", {"name": "told", "version": "1", "alias": "champion"}),
        ("model_version_alias.deleted", {"name": "told", "alias": "champion"}),
    ]
    kinds = dict(told[6:])
    assert kinds["prompt.created"]["name"] == "greet"
    assert kinds["prompt_version.created"]["template"] == "Hello {{name}}"
    assert kinds["prompt_alias.created"] == {"name": "greet", "version": "1", "alias": "prod"}
    for headers, body in receiver.got:
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body.decode()}"
        digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
        assert headers["X-MLflow-Signature"] == "v1," + base64.b64encode(digest).decode()
        assert abs(int(headers["X-MLflow-Timestamp"]) - time.time()) < 60
        assert json.loads(body)["timestamp"].endswith("+00:00")


def test_what_others_do_is_told_too(hooked, open_server, receiver):
    hooked.create_webhook("w", receiver.url, ["model_version.created", "model_version_alias.created"])
    library = Library(open_server.store, Context())
    library.create_project("mine", kind="registry")
    entry = FileEntry(path="a", size=1, url="https://example.org/a", etag="1")
    library.put("mine/net", files=[entry])
    library.create_project("not-a-registry")
    library.put("not-a-registry/net", files=[entry])
    aliases.move(open_server.store, Context(), "mine/net@v1", "best")
    told = waited(receiver, 2)
    assert [(name, data["name"], data["version"]) for name, data in told] == [
        ("model_version.created", "mine.net", "1"),
        ("model_version_alias.created", "mine.net", "1"),
    ]


def test_a_webhook_is_disabled_changed_tested_and_deleted(hooked, open_server, receiver):
    made = hooked.create_webhook("h", receiver.url, ["registered_model.created"])
    answer = hooked.test_webhook(made.webhook_id)
    assert (answer.success, answer.response_status, answer.response_body) == (True, 200, "ok")
    assert waited(receiver, 1)[0][0] == "registered_model.created"
    receiver.statuses = [418]
    assert hooked.test_webhook(made.webhook_id, "prompt_tag.set").success is False
    changed = hooked.update_webhook(made.webhook_id, status="DISABLED", name="other")
    assert (changed.status, changed.name) == (WebhookStatus.DISABLED, "other")
    hooked.create_registered_model("quiet")
    hooked.update_webhook(made.webhook_id, url="http://127.0.0.1:9/", status="ACTIVE")
    failed = hooked.test_webhook(made.webhook_id)
    assert not failed.success and "gave no answer" in failed.error_message
    assert [each.webhook_id for each in hooked.list_webhooks()] == [made.webhook_id]
    hooked.delete_webhook(made.webhook_id)
    for call in (hooked.get_webhook, hooked.delete_webhook, hooked.test_webhook):
        with pytest.raises(MlflowException, match="not found"):
            call(made.webhook_id)
    assert len(receiver.got) == 2


def test_a_delivery_is_tried_again_and_can_be_looked_up(hooked, open_server, receiver):
    receiver.statuses = [500, 429]
    hooked.create_webhook("again", receiver.url, ["registered_model.created"])
    hooked.create_registered_model("again and again")
    waited(receiver, 3)
    assert len({headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.got}) == 1
    store = open_server.store
    hook = hooks.list_hooks(store, Context(), "local", channel="mlflow")[0]
    end = time.monotonic() + 20
    while (found := queue.listed(store, Context(), hook.id)[0]).state == "waiting":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (found.state, found.attempts, found.status) == ("delivered", 3, 200)


def test_addresses_inside_are_refused_by_default(client):
    for url in ("http://example.org/x", "https://127.0.0.1/x", "https://10.0.0.1/"):
        with pytest.raises(MlflowException) as refused:
            client.create_webhook("inside", url, ["registered_model.created"])
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
