"""People, teams, keys, alerts and saved views, through the real SDK."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from sdk import ANY_KEY, Sdk

from runstone.config import ServerOptions
from runstone.domain import accounts, documents, keys, projects, versions
from runstone.domain.context import Context
from runstone.domain.runs import alerts, lifecycle, rows
from runstone.server.background import Background

CTX = Context()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[Background]:
    """A server that asks for keys, with two users and a service account."""
    data = tmp_path_factory.mktemp("guarded") / "data"
    with Background(ServerOptions(data=str(data), port=0, log_format="off", auth="on")) as server:
        accounts.create_user(server.store, CTX, "ann", email="ann@example.org", admin=True)
        accounts.create_user(server.store, CTX, "bob", email="bob@example.org")
        accounts.create_user(server.store, CTX, "robot", kind="service")
        accounts.create_namespace(server.store, CTX, "crew")
        for name in ("ann", "robot"):
            accounts.set_member(server.store, CTX, "crew", name, "owner" if name == "ann" else "member")
        yield server


def key_of(server, name):
    return keys.create(server.store, CTX, name, "test").key


def test_login_is_verified_and_the_status_told(guarded, tmp_path):
    ann = Sdk(guarded.url, key_of(guarded, "ann"), tmp_path / "ann")
    assert "ann" in ann.command("login", "--verify", "--relogin", "--host", guarded.url, ann.key)
    assert guarded.url in ann.command("status")
    revoked = key_of(guarded, "bob")
    keys.revoke(guarded.store, CTX, keys.list_keys(guarded.store, CTX, "bob")[-1].id)
    for wrong in (revoked, ANY_KEY):
        other = Sdk(guarded.url, wrong, tmp_path / "other")
        other.run("wandb.login(verify=True)", fails=True)
        assert "API key" in other.output or "401" in other.output


def test_several_users_write_into_one_team_and_not_into_each_others_own(guarded, tmp_path):
    robot = Sdk(guarded.url, key_of(guarded, "robot"), tmp_path / "robot")
    said = robot.run("""
        with wandb.init(entity="crew", project="shared", id="by-robot") as run: run.log({"x": 1})
        say([wandb.Api().default_entity, wandb.Api().run("crew/shared/by-robot").user.username])
    """)
    assert said == [["robot", "robot"]]
    bob = Sdk(guarded.url, key_of(guarded, "bob"), tmp_path / "bob")
    bob.run(
        "wandb.init(entity='crew', project='shared', id='by-bob', settings=wandb.Settings(init_timeout=15))",
        fails=True,
    )
    assert "crew" in bob.output
    bob.run("wandb.Api().run('crew/shared/by-robot')", fails=True)
    assert "Could not find" in bob.output
    bob.run("wandb.init(entity='nobody', project='p', settings=wandb.Settings(init_timeout=15))", fails=True)
    assert "nobody" in bob.output


def test_teams_users_and_keys_through_the_public_api(guarded, tmp_path):
    ann = Sdk(guarded.url, key_of(guarded, "ann"), tmp_path / "ann")
    said = ann.run("""
        api = wandb.Api()
        team = api.create_team("builders")
        say([team.name, [(member.username, member.admin) for member in team.members]])
        say(team.invite("bob@example.org"))
        account = team.create_service_account("night builds")
        say([account.name, account.account_type, account.api_key])
        team = api.team("builders")
        say(sorted(member.username for member in team.members))
        say(next(member for member in team.members if member.username == "bob").delete())
        say(sorted(member.username for member in api.team("builders").members))
        user = api.user("bob@example.org")
        say([user.username, user.email, api.user("nobody at all"), [each.username for each in api.users("bo")]])
        made = api.create_user("eve@example.org")
        say(made.username)
        viewer = api.viewer
        say([viewer.username, viewer.admin, sorted(viewer.teams)])
        key = viewer.generate_api_key("from here")
        say(key)
        viewer = wandb.Api().viewer
        say([len(viewer.api_keys), viewer.delete_api_key(viewer.api_keys[-1]), len(wandb.Api().viewer.api_keys)])
    """)
    assert said[0] == ["builders", [["ann", True]]]
    assert said[1] is True
    name, kind, service_key = said[2]
    assert (name, kind) == ("night builds", "SERVICE")
    assert keys.authenticate(guarded.store, service_key).name == "builders-night-builds"
    assert said[3] == ["ann", "bob", "builders-night-builds"]
    assert said[4:6] == [True, ["ann", "builders-night-builds"]]
    assert said[6] == ["bob", "bob@example.org", None, ["bob", "robot"]]
    assert said[7] == "eve"
    assert said[8][:2] == ["ann", True]
    assert {"ann", "crew", "builders"} <= set(said[8][2])
    with pytest.raises(Exception, match="not known"):
        keys.authenticate(guarded.store, said[9])
    assert said[10][1:] == [True, said[10][0] - 1]


def test_alerts_are_kept(served, sdk):
    sdk.run("""
        with wandb.init(project="alerts", id="a") as run:
            run.alert("low", "accuracy is low", level=wandb.AlertLevel.WARN, wait_duration=300)
            run.alert("low", "still", wait_duration=300)
            run.alert("other", "text")
    """)
    found = alerts.listed(served.store, CTX, "local/alerts/a")
    assert [(each.title, each.text, each.severity, each.told) for each in found] == [
        ("low", "accuracy is low", "warn", True),
        ("low", "still", "info", False),
        ("other", "text", "info", True),
    ]
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    connection.request("GET", "/api/v1/runs/local/alerts/a/alerts?limit=2")
    page = json.loads(connection.getresponse().read())
    connection.close()
    assert [each["title"] for each in page["items"]] == ["low", "low"]


def test_a_workspace_and_a_report_are_saved_and_loaded(served, sdk):
    pytest.importorskip("wandb_workspaces")
    said = sdk.run("""
        import wandb_workspaces.workspaces as ws
        import wandb_workspaces.reports.v2 as wr
        with wandb.init(project="views", id="v") as run: run.log({"loss": 1})
        space = ws.Workspace(entity="local", project="views", name="mine",
                             sections=[ws.Section(name="all", panels=[wr.LinePlot(x="Step", y=["loss"])], is_open=True)])
        space.save()
        again = ws.Workspace.from_url(space.url)
        say([again.name, again.sections[0].name, again.sections[0].panels[0].y[0].name])
        again.name = "renamed"; again.save()
        say(ws.Workspace.from_url(again.url).name)
        report = wr.Report(entity="local", project="views", title="About it", description="words", blocks=[wr.H1("Title"), wr.P("text é")])
        report.save()
        back = wr.Report.from_url(report.url)
        say([back.title, back.description, [type(block).__name__ for block in back.blocks], back.blocks[1].text])
        say([[each.display_name, each.user["username"]] for each in wandb.Api().reports("local/views")])
        say(back.delete())
        say(len(list(wandb.Api().reports("local/views"))))
    """)
    assert said[0] == ["mine", "all", "loss"]
    assert said[1] == "renamed"
    assert said[2] == ["About it", "words", ["H1", "P"], "text é"]
    assert said[3:] == [[["About it", "local"]], True, 0]
    kept = documents.list_documents(served.store, CTX, "local/views")
    assert [(each.kind, each.title) for each in kept] == [("wandb-workspace", "renamed")]


def test_compressed_streams(served, sdk):
    sdk.run("""
        packed = {"x_file_stream_no_gzip": False} if "x_file_stream_no_gzip" in wandb.Settings.model_fields else {}  # new in 0.31
        with wandb.init(project="packed", id="p", settings=wandb.Settings(**packed)) as run:
            for step in range(2000): run.log({"x": step})
    """)
    found = rows.read(served.store, CTX, "local/packed/p", wanted=lambda key: key == "x")
    assert [values["x"] for _, _, values in found] == list(range(2000))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b"{}", mtime=0), 200),
        (b"no gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-3], 400),
        (gzip.compress(b" " * (65 << 20), mtime=0), 413),
    ],
)
def test_what_is_sent_compressed_is_checked(served, body, status):
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc)
    made = json.dumps(
        {"query": 'mutation { upsertBucket(input: {name: "r", modelName: "zip"}) { inserted } }'}
    )
    connection.request("POST", "/graphql", made, {"Content-Type": "application/json"})
    connection.getresponse().read()
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    connection.request("POST", "/files/local/zip/r/file_stream", body, head)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == status


def test_who_may_only_read_reads_and_changes_nothing(guarded, tmp_path):
    ann = Sdk(guarded.url, key_of(guarded, "ann"), tmp_path / "ann")
    ann.run("""
        with wandb.init(entity="crew", project="seen", id="r", config={"a": 1}) as run:
            run.log({"x": 1})
            artifact = wandb.Artifact("net", type="model")
            with artifact.new_file("w") as file: file.write("weights")
            run.log_artifact(artifact).wait()
    """)
    before = lifecycle.get(guarded.store, CTX, "crew/seen/r")
    accounts.create_user(guarded.store, CTX, "viewer")
    accounts.set_member(guarded.store, CTX, "crew", "viewer", "reader")
    viewer = Sdk(guarded.url, key_of(guarded, "viewer"), tmp_path / "viewer")
    said = viewer.run("""
        api = wandb.Api()
        run = api.run("crew/seen/r")
        say([run.config["a"], [line["x"] for line in run.scan_history()], open(api.artifact("crew/seen/net:v0").file()).read()])
        def told(change):
            try: change()
            except BaseException as error: return str(error)
        def rename(): run.display_name = "mine"; run.update()
        def alias(): artifact = api.artifact("crew/seen/net:v0"); artifact.aliases.append("mine"); artifact.save()
        def begin(**more): wandb.init(entity="crew", settings=wandb.Settings(init_timeout=15), **more)
        changes = [lambda: begin(project="seen", id="a"), lambda: begin(project="new", id="b"),
                   lambda: begin(project="seen", id="r", resume="allow"), rename, alias,
                   lambda: run.delete(), lambda: run.delete(delete_artifacts=True),
                   lambda: api.artifact("crew/seen/net:v0").delete(delete_aliases=True), lambda: run.upload_file(artifact_file),
                   lambda: wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1]}}}, entity="crew", project="seen")]
        artifact_file = "f.txt"; open(artifact_file, "w").write("no")
        say([told(change) for change in changes])
    """)
    assert said[0] == [1, [1], "weights"]
    assert [text for text in said[1] if text is None or "may read" not in text] == []
    assert lifecycle.get(guarded.store, CTX, "crew/seen/r") == before
    assert set(versions.get(guarded.store, CTX, "crew/seen/net@v1").aliases) <= {"latest"}
    assert [
        each.name for each in projects.list_projects(guarded.store, CTX, "crew") if each.name == "new"
    ] == []
