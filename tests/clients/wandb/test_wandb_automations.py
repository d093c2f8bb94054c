"""Automations that the real SDK makes, set off by what real runs do, and told to a real receiver."""

from __future__ import annotations

import hmac
import http.client
import json
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from sdk import ANY_KEY, Sdk

from runstone.config import ServerOptions
from runstone.domain import aliases, collections, projects, versions
from runstone.domain.automations import lifecycle
from runstone.domain.context import Context
from runstone.server.background import Background
from runstone.types import FileEntry

CTX = Context()
ENTRY = FileEntry(path="a", size=1, url="https://example.org/a", etag="1")


class Receiver:
    """Keeps what it is sent; the first request is answered with 503."""

    def __init__(self):
        self.got, outer = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers), body))
                self.send_response(503 if len(outer.got) == 1 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, enough):
        """What came, once it is enough."""
        until = time.monotonic() + 60
        while not enough(self.got) and time.monotonic() < until:
            time.sleep(0.05)
        return list(self.got)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def telling(tmp_path) -> Iterator[Background]:
    options = ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", private_webhooks=True)
    with Background(options) as server:
        yield server


def native(server, method, path, body=None):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    head = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(
        method, f"/api/v1/namespaces/local/{path}", json.dumps(body) if body is not None else None, head
    )
    response = connection.getresponse()
    found = response.read()
    connection.close()
    assert response.status < 300, found
    return json.loads(found) if found else None


def test_automations_are_made_set_off_and_told(telling, receiver, tmp_path):
    native(telling, "PUT", "secrets/TOKEN", {"value": "a token"})
    native(telling, "PUT", "secrets/SIGN", {"value": "a signing key"})
    native(telling, "POST", "webhooks", {"name": "chat", "url": receiver.url + "/chat"})
    sdk = Sdk(telling.url, ANY_KEY, tmp_path / "sdk")
    program = """
from wandb.automations import OnRunMetric, OnRunState, OnAddArtifactAlias, RunEvent, SendWebhook, SendNotification, DoNothing
from wandb.automations._generated import CREATE_GENERIC_WEBHOOK_INTEGRATION_GQL as MAKE
api = wandb.Api()
api._service_api.execute_graphql(MAKE, variables={"input": {"entityName": "local", "name": "hook", "urlEndpoint": URL + "/hook",
                                                            "accessTokenRef": "TOKEN", "secretRef": "SIGN"}})
api.create_project("watched", "local")
project = api.project("watched", "local")
hook = next(api.webhook_integrations(entity="local"))
chat = next(api.slack_integrations(entity="local"))
say([hook.name, hook.url_endpoint == URL + "/hook", chat.channel_name])
send = SendWebhook.from_integration(hook, payload={"what": "${event_type}", "run": "${run_name}", "value": "${metric_value}", "n": 1})
over = api.create_automation(OnRunMetric(scope=project, filter=RunEvent.metric("loss").avg(2).gt(10)) >> send, name="over")
api.create_automation(OnRunMetric(scope=project, filter=RunEvent.metric("loss").changes_by(diff=25)) >> send, name="jump")
ended = OnRunState(scope=project, filter=RunEvent.state.in_(["failed", "finished"]) & (RunEvent.name == "shown"))
api.create_automation(ended >> SendNotification.from_integration(chat, title="ended ${run_name}", text="now", level="WARN"), name="ended")
api.create_automation(OnRunMetric(scope=project, filter=RunEvent.metric("loss") < 0) >> DoNothing(), name="idle")
say(sorted(each.name for each in api.automations(entity="local")))
for name, values in (("shown", [1, 30, 40, 1, 2]), ("other", [100, 99])):
    with wandb.init(project="watched", id=name, name=name) as run:
        for value in values: run.log({"loss": value})
        if name == "shown": run.alert("careful", "look at it")
"""
    after = """
api = wandb.Api()
over = api.automation(name="over", entity="local")
over.description = "changed"; over.enabled = False
again = api.update_automation(over)
say([again.description, again.enabled, again.event.filter.metric.threshold_filter.threshold, api.automation(name="over", entity="local").enabled])
say(api.delete_automation(api.automation(name="idle", entity="local")))
say(sorted(each.name for each in api.automations(entity="local")))
"""
    said = sdk.run(f"URL = {receiver.url!r}\n" + program)
    got = receiver.wait(lambda got: len({body for _, _, body in got}) >= 5)
    said += sdk.run(after)
    assert said[0] == ["hook", True, "chat"]
    assert said[1] == ["ended", "idle", "jump", "over"]
    assert said[2:] == [["changed", False, 10.0, False], True, ["ended", "jump", "over"]]
    hooks = [(head, body) for path, head, body in got if path == "/hook"]
    bodies = [json.loads(body) for _, body in hooks]
    assert {"what": "RUN_METRIC", "run": "shown", "value": "30.0", "n": 1} in bodies
    assert {"what": "RUN_METRIC", "run": "other", "value": "99.0", "n": 1} in bodies
    assert {"what": "RUN_METRIC_CHANGE", "run": "shown", "value": "30.0", "n": 1} in bodies
    assert not any(
        each["run"] == "shown" and each["value"] == "40.0" and each["what"] == "RUN_METRIC" for each in bodies
    )
    for head, body in hooks:
        assert head["Authorization"] == "Bearer a token"
        assert head["X-Wandb-Signature"] == hmac.new(b"a signing key", body, sha256).hexdigest()
    chats = [json.loads(body)["text"] for path, _, body in got if path == "/chat"]
    assert any(text.startswith("[WARN] ended shown\nnow") for text in chats)
    assert any(text.startswith("[INFO] careful\nlook at it\nrun local/watched/shown") for text in chats)
    assert not any("ended other" in text for text in chats)
    number = next(
        each["id"] for each in native(telling, "GET", "webhooks")["items"] if each["name"] == "hook"
    )
    log = native(telling, "GET", f"webhooks/{number}/deliveries")["items"]
    assert {each["state"] for each in log} == {"delivered"}
    assert len(log) == len({body for _, body in hooks}) and sum(each["attempts"] for each in log) >= len(log)


def test_aliases_and_tags_of_versions(telling, receiver, tmp_path):
    store = telling.store
    native(telling, "POST", "webhooks", {"name": "chat", "url": receiver.url + "/chat", "alerts": False})
    hook = native(telling, "GET", "webhooks")["items"][0]["id"]
    projects.create(store, CTX, "local/p")
    collections.create(store, CTX, "local/p/model")
    version = versions.commit(store, CTX, "local/p/model", [ENTRY])
    with store.index.read() as view:
        place = domain_place(store, view)
    make = {
        "action": "notification",
        "webhook": hook,
        "message": {"title": "${event_type} ${alias}${tag} ${artifact_collection_name}"},
    }
    prod = {"$or": [{"$and": [{"alias": {"$regex": "^prod"}}]}]}
    lifecycle.create(
        store, CTX, "collection", place, name="a", event="ADD_ARTIFACT_ALIAS", filter=prod, **make
    )
    lifecycle.create(store, CTX, "collection", place, name="t", event="ADD_ARTIFACT_TAG", filter={}, **make)
    aliases.move(store, CTX, "local/p/model@v1", "staging")
    aliases.move(store, CTX, "local/p/model@v1", "prod-eu")
    versions.update(store, CTX, "local/p/model@v1", tags=("good",))
    versions.update(store, CTX, "local/p/model@v1", tags=("good", "better"))
    assert version.number == 1
    got = receiver.wait(lambda got: len({body for _, _, body in got}) >= 3)
    titles = {json.loads(body)["text"].partition("\n")[0] for _, _, body in got}
    assert titles == {
        "[INFO] ADD_ARTIFACT_ALIAS prod-eu model",
        "[INFO] ADD_ARTIFACT_TAG good model",
        "[INFO] ADD_ARTIFACT_TAG better model",
    }


def domain_place(store, view):
    from runstone.domain import names

    return names.find_collection(store, view, CTX, names.parse(CTX, "local/p/model")).collection.id


#: Makes an automation for each event that there is, whose webhook says what set it off.
EVERY_EVENT = """
from wandb.automations import *
from wandb.automations._generated import CREATE_GENERIC_WEBHOOK_INTEGRATION_GQL as MAKE
api = wandb.Api()
api._service_api.execute_graphql(MAKE, variables={"input": {"entityName": "local", "name": "hook", "urlEndpoint": URL + "/hook"}})
hook = next(api.webhook_integrations(entity="local"))
registry = api.create_registry("shelf", visibility="organization")
def log(run, text, name="net", **more):
    artifact = wandb.Artifact(name, type="model")
    with artifact.new_file("w") as file: file.write(text)
    return run.log_artifact(artifact, **more).wait()
with wandb.init(project="seen", id="first") as run:
    first = log(run, "0")
    run.link_artifact(first, "wandb-registry-shelf/Net", aliases=["old"])
api = wandb.Api()
project, home = api.project("seen", "local"), api.artifact_collection("model", "seen/net")
shelf = api.artifact_collection("model", "wandb-registry-shelf/Net")
metric, event = RunEvent.metric, ArtifactEvent
made = {
    "created": OnCreateArtifact(scope=home),
    "created-best": OnCreateArtifact(scope=home, filter=event.alias.eq("best")),
    "linked": OnLinkArtifact(scope=shelf),
    "linked-prod": OnLinkArtifact(scope=shelf, filter=event.alias.eq("prod")),
    "unlinked": OnUnlinkArtifact(scope=shelf),
    "alias": OnAddArtifactAlias(scope=home, filter=event.alias.matches_regex("^be")),
    "tagged": OnAddArtifactTag(scope=home),
    "untagged": OnRemoveArtifactTag(scope=home, filter=event.tag.eq("good")),
    "collection-tagged": OnAddCollectionTag(scope=home),
    "collection-untagged": OnRemoveCollectionTag(scope=home),
    "over": OnRunMetric(scope=project, filter=metric("loss").max(3).gte(30)),
    "rises": OnRunMetric(scope=project, filter=metric("loss").increases_by(frac=5)),
    "falls": OnRunMetric(scope=project, filter=metric("loss").decreases_by(diff=39)),
    "far": OnRunMetric(scope=project, filter=metric("loss").zscore(5).abs().gt(2.5)),
    "started": OnRunState(scope=project, filter=RunEvent.state.eq("running")),
    "failed": OnRunState(scope=project, filter=RunEvent.state.eq("failed")),
}
said = ("event_type", "run_name", "run_state", "metric_name", "metric_value", "artifact_version", "artifact_collection_name", "alias", "tag",
        "automation_name")
send = SendWebhook.from_integration(hook, payload={name: "${" + name + "}" for name in said})
for name, each in made.items(): api.create_automation(each >> send, name=name)
kept = {each.name: each for each in api.automations(entity="local")}
say([sorted(kept) == sorted(made), all(kept[name].event.event_type == each.event_type for name, each in made.items())])
with wandb.init(project="seen", id="second", name="second") as run:
    for value in (1, 1.5, 1, 1.5, 1, 40, 40, 40): run.log({"loss": value})
    run.log({"loss": 0.5})
    second = log(run, "1", aliases=["latest", "best"], tags=["good"])
    log(run, "2"); log(run, "other", name="other", aliases=["best"], tags=["good"])
    run.link_artifact(second, "wandb-registry-shelf/Net", aliases=["prod"])
    run.link_artifact(api.artifact("seen/net:v2"), "wandb-registry-shelf/Net")
artifact = wandb.Api().artifact("seen/net:v1")
artifact.tags.append("more"); artifact.save()
artifact.tags.remove("good"); artifact.save()
artifact.tags.remove("more"); artifact.save()
collection = wandb.Api().artifact_collection("model", "seen/net")
collection.tags.append("kept"); collection.save()
collection.tags.remove("kept"); collection.save()
wandb.Api().artifact("wandb-registry-shelf/Net:prod").unlink()
try:
    with wandb.init(project="seen", id="third", name="third") as run: raise RuntimeError
except RuntimeError: pass
"""
EXPECTED = {
    ("created", "net:v1"),
    ("created", "net:v2"),
    ("created-best", "net:v1"),
    ("linked", "Net:v1"),
    ("linked", "Net:v2"),
    ("linked-prod", "Net:v1"),
    ("unlinked", "Net:v1"),
    ("alias", "net:v1", "best"),
    ("tagged", "net:v1", "good"),
    ("tagged", "net:v1", "more"),
    ("untagged", "net:v1", "good"),
    ("collection-tagged", "net", "kept"),
    ("collection-untagged", "net", "kept"),
    ("over", "second", "40.0"),
    ("rises", "second", "40.0"),
    ("falls", "second", "0.5"),
    ("far", "second", "40.0"),
    ("started", "second"),
    ("started", "third"),
    ("failed", "third"),
}


def told(body):
    """What a webhook's body says: which automation, of what, and by what."""
    run, about = body["run_name"], body["artifact_version"]
    name = body["automation_name"]
    if "collection" in name:
        return name, body["artifact_collection_name"], body["tag"]
    if name in ("alias", "tagged", "untagged"):
        return name, about, body["alias"] + body["tag"]
    if name in ("over", "rises", "falls", "far"):
        assert body["metric_name"] == "loss"
        return name, run, body["metric_value"]
    return name, run if "${" not in run else about


def test_every_event_sets_its_automation_off(telling, receiver, tmp_path):
    sdk = Sdk(telling.url, ANY_KEY, tmp_path / "sdk")
    assert sdk.run(f"URL = {receiver.url!r}\n" + EVERY_EVENT) == [[True, True]]
    got = receiver.wait(lambda got: {told(json.loads(body)) for _, _, body in got} >= EXPECTED)
    assert {told(json.loads(body)) for _, _, body in got} == EXPECTED


def test_what_cannot_be_is_refused(telling, tmp_path):
    sdk = Sdk(telling.url, ANY_KEY, tmp_path / "sdk")
    sdk.run(
        """
        from wandb.automations._generated import CREATE_GENERIC_WEBHOOK_INTEGRATION_GQL as MAKE
        asked = {"entityName": "local", "name": "x", "urlEndpoint": "http://127.0.0.1:1/", "secretRef": "NONE"}
        wandb.Api()._service_api.execute_graphql(MAKE, variables={"input": asked})
        """,
        fails=True,
    )
    assert "no secret 'NONE'" in sdk.output
