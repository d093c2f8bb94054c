"""Registries of the real SDK: made, linked into, searched and shared; the same collections that the other dialects have."""

from __future__ import annotations

import textwrap

from sdk import Sdk

from runstone import domain
from runstone.config import ServerOptions
from runstone.domain import accounts, keys, registries
from runstone.domain.context import Context
from runstone.server.background import Background

CTX = Context()


def test_a_registry_is_made_linked_into_and_searched(served, sdk):
    said = sdk.run("""
        api = wandb.Api()
        registry = api.create_registry("shop", visibility="organization", description="said", artifact_types=["model"])
        say([registry.name, registry.entity, registry.visibility, registry.description, registry.allow_all_artifact_types,
             list(registry.artifact_types)])
        with wandb.init(project="regs", id="maker") as run:
            for number in range(3):
                artifact = wandb.Artifact("net", type="model", metadata={"f1": number})
                with artifact.new_file("w.txt") as file: file.write(str(number))
                run.log_artifact(artifact)
                run.link_artifact(artifact, "wandb-registry-shop/Net", aliases=["prod"] if number == 1 else [])
            linked = artifact.link("wandb-registry-shop/Other", aliases=["x"])
            say([linked.name, linked.is_link, linked.source_name, sorted(linked.aliases), linked.entity, linked.project])
        with wandb.init(project="regs", id="user") as run:
            used = run.use_artifact("wandb-registry-shop/Net:prod")
            say([used.name, used.version, used.source_version, used.source_name, used.is_link, open(used.file()).read(), used.qualified_name])
        artifact = api.artifact("regs/net:v1")
        say([[each.qualified_name for each in artifact.linked_artifacts], [run.id for run in artifact.used_by()], artifact.aliases])
        say([each.name for each in api.registries()])
        registry = api.registry("shop")
        say([each.name for each in registry.collections(order="name")])
        say([[each.name, each.source_name] for each in registry.versions(filter={"alias": "prod"})])
        found = api.registries(filter={"name": {"$regex": "sh"}}).collections(filter={"name": "Net"})
        say(sorted(each.name for each in found.versions(filter={"metadata.f1": {"$gt": 0}})))
        say([each.name for each in api.registries(filter={"name": "none"})])
        linked = api.artifact("wandb-registry-shop/Other:latest"); linked.unlink()
        say([api.artifact_exists("wandb-registry-shop/Other:v0"), api.artifact_exists("regs/net:v2")])
        used = api.artifact("wandb-registry-shop/Net:v0"); used.aliases.append("staging"); used.save()
        say(sorted(api.artifact("wandb-registry-shop/Net:staging").aliases))
        registry.description = "other"; registry.name = "market"; registry.artifact_types.append("dataset"); registry.save()
        registry = wandb.Api().registry("market")
        say([registry.description, sorted(registry.artifact_types), [each.name for each in registry.collections()]])
    """)
    assert said == [
        ["shop", "local", "organization", "said", False, ["model"]],
        ["Other:v0", True, "net:v2", ["latest", "x"], "local", "wandb-registry-shop"],
        ["Net:prod", "v1", "v1", "net:v1", True, "1", "local/wandb-registry-shop/Net:prod"],
        [["local/wandb-registry-shop/Net:v1"], ["user"], []],
        ["shop"],
        ["Net", "Other"],
        [["Net:v1", "net:v1"]],
        ["Net:v1", "Net:v2"],
        [],
        [False, True],
        ["staging"],
        ["other", ["dataset", "model"], ["Other", "Net"]],
    ]
    registry = domain.projects.get(served.store, CTX, "local/market")
    assert (registry.kind, registry.description) == ("registry", "other")
    for number in (1, 2, 3):
        linked = domain.versions.get(served.store, CTX, f"local/market/Net@v{number}")
        source = domain.versions.get(served.store, CTX, f"local/regs/net@v{number}")
        assert (linked.digest, linked.metadata) == (source.digest, {"f1": number - 1})
    assert domain.aliases.get(served.store, CTX, "local/market/Net", "prod").version == 2
    graph = domain.lineage.closure(served.store, CTX, "local/market/Net@v2", direction="upstream")
    assert {"local/regs/net:v2", "local/regs/maker"} <= {node.name for node in graph.nodes}


def test_who_may_do_what_in_a_registry(tmp_path):
    options = ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", auth="on")
    with Background(options) as server:
        sdks = {}
        for name in ("ann", "max", "ria", "eve"):
            accounts.create_user(server.store, CTX, name)
            sdks[name] = Sdk(server.url, keys.create(server.store, CTX, name, "k").key, tmp_path / name)
        ann = Context(keys.principal_of(_user(server, "ann")))
        accounts.create_namespace(server.store, ann, "acme", kind="organisation")
        accounts.create_namespace(server.store, ann, "lab", kind="team")
        accounts.set_member(server.store, ann, "acme", "max", "member")
        accounts.set_member(server.store, ann, "lab", "ria", "member")
        said = sdks["ann"].run("""
            api = wandb.Api()
            say([api.organization("acme").name, api.organization("acme").org_entity.name])
            registry = api.create_registry("open", visibility="organization")
            closed = api.create_registry("closed", visibility="restricted")
            with wandb.init(project="p") as run:
                artifact = wandb.Artifact("net", type="model")
                with artifact.new_file("w") as file: file.write("w")
                run.log_artifact(artifact).wait()
                say([run.link_artifact(artifact, f"wandb-registry-{name}/Net").qualified_name for name in ("open", "closed")])
            say([closed.visibility, [[each.user.username, each.role] for each in closed.user_members()]])
            say(sorted([each.user.username, each.role] for each in registry.user_members()))
        """)
        assert said == [
            ["acme", "acme"],
            ["acme/wandb-registry-open/Net:v0", "acme/wandb-registry-closed/Net:v0"],
            ["restricted", [["ann", "admin"]]],
            [["ann", "admin"], ["max", "member"]],
        ]
        reading = """
            api = wandb.Api()
            said = [sorted(each.name for each in api.registries(organization="acme"))]
            for name in ("open", "closed"):
                try: said.append(open(api.artifact(f"acme/wandb-registry-{name}/Net:v0").file()).read())
                except Exception: said.append(None)
            say(said)
        """
        assert sdks["max"].run(reading) == [[["open"], "w", None]]
        assert sdks["ria"].run(reading) == [[[], None, None]]
        team = str(_id(server, "lab"))
        said = sdks["ann"].run(f"""
            import base64
            ident = lambda kind, number: base64.b64encode(f"{{kind}}:{{number}}".encode()).decode()
            closed = wandb.Api().registry("closed")
            closed.add_members(ident("User", {_user(server, "max").id}), ident("Entity", {team}))
            closed.update_member(ident("User", {_user(server, "max").id}), "member")
            say(sorted([each.user.username, each.role] for each in closed.user_members()))
            say([[each.team.name, each.role] for each in closed.team_members()])
        """)
        assert said == [[["ann", "admin"], ["max", "member"]], [["lab", "viewer"]]]
        assert sdks["max"].run(reading) == [[["closed", "open"], "w", "w"]]
        assert sdks["ria"].run(reading) == [[["closed"], None, "w"]]
        assert sdks["eve"].run(reading) == [[[], None, None]]
        sdks["ria"].run("wandb.Api().artifact('acme/wandb-registry-closed/Net:v0').delete()", fails=True)
        sdks["ann"].run(f"""
            import base64
            closed = wandb.Api().registry("closed")
            closed.remove_members(base64.b64encode(b"Entity:{team}").decode())
            closed.visibility = "organization"; closed.save(); closed.delete()
            say([each.name for each in wandb.Api().registries()])
        """)
        assert sdks["ria"].run(reading) == [[[], None, None]]


def _user(server, name):
    with server.store.index.read() as view:
        return accounts.find_user(view, name)


def _id(server, namespace):
    return registries.number_of(server.store, CTX, namespace)


def test_an_artifact_is_linked_by_the_name_that_its_client_gave_it(served, sdk):
    """What the SDK's core asks for an artifact that has no id yet."""
    said = sdk.run("""
        from wandb.proto import wandb_internal_pb2 as pb
        wandb.Api().create_registry("byclient", visibility="organization")
        with wandb.init(project="clients", id="c") as run:
            artifact = wandb.Artifact("net", type="model")
            with artifact.new_file("w.txt") as file: file.write("weights")
            given = artifact._client_id
            run.log_artifact(artifact).wait()
            def link(client):
                asked = pb.LinkArtifactRequest(client_id=client, portfolio_name="Net", portfolio_entity="local",
                                               portfolio_project="wandb-registry-byclient", portfolio_aliases=["prod"])
                answer = run._interface._deliver_link_artifact(asked).wait_or(timeout=60)
                return answer.response.link_artifact_response
            found = link(given)
            say([found.error_message, found.HasField("version_index"), found.version_index])
            say(link("x" * 128).error_message)
        say(wandb.Api().artifact("wandb-registry-byclient/Net:prod").source_qualified_name)
    """)
    assert said[0] == ["", True, 0]
    assert "log it first" in said[1]
    assert said[2] == "local/clients/net:v0"
    linked = domain.versions.get(served.store, CTX, "local/byclient/Net@prod")
    assert linked.digest == domain.versions.get(served.store, CTX, "local/clients/net@v1").digest


USING = textwrap.dedent("""
    with wandb.init(project=NAME, id="r", config={"a": 1}) as run:
        run.log({"x": 1}); run.summary["y"] = 2; print("a line")
        open("f.txt", "w").write("kept"); run.save("f.txt"); run.alert("title", "text")
        artifact = wandb.Artifact("net", type="model")
        with artifact.new_file("w.txt") as file: file.write(NAME)
        run.log_artifact(artifact).wait()
        run.link_artifact(artifact, f"wandb-registry-{NAME}/Net", aliases=["prod"])
    with wandb.init(project=NAME, id="user") as run:
        say([open(run.use_artifact(name).file()).read() for name in ("net:v0", f"wandb-registry-{NAME}/Net:prod")])
    with wandb.init(project=NAME, id="r", resume="must") as run: run.log({"x": 2})
    sweep = wandb.sweep({"method": "grid", "parameters": {"a": {"values": [1]}}}, project=NAME)
    def train():
        with wandb.init() as run: run.log({"x": run.config.a})
    wandb.agent(sweep, train, project=NAME)
    api = wandb.Api()
    run = api.run(f"{NAME}/r")
    say([run.project, run.url.split("/")[-3], run.config["a"], run.summary["y"], [line["x"] for line in run.scan_history(keys=["x"])],
         run.file("f.txt").download(root="back").read(), [each.qualified_name for each in run.logged_artifacts()]])
    say([len(api.runs(NAME)), api.sweep(f"{NAME}/{sweep}").state, sorted(each.name for each in api.projects() if NAME in each.name)])
    say([[each.name, [found.name for found in each.collections()]] for each in api.registries() if each.name == NAME])
    found = api.artifact(f"wandb-registry-{NAME}/Net:prod")
    say([found.qualified_name, found.source_qualified_name, api.artifact(f"{NAME}/net:v0").qualified_name])
    try: wandb.init(project=f"wandb-registry-{NAME}", id="no")
    except Exception as error: say("holds no runs" in str(error))
""")


def is_used(name, said):
    assert said[0] == [name, name]
    assert said[1] == [name, name, 1, 2, [1, 2], "kept", [f"local/{name}/net:v0"]]
    assert said[2] == [3, "FINISHED", [name, f"wandb-registry-{name}"]]
    assert said[3] == [[name, ["Net"]]]
    assert said[4] == [
        f"local/wandb-registry-{name}/Net:prod",
        f"local/{name}/net:v0",
        f"local/{name}/net:v0",
    ]
    assert said[5] is True


def test_a_project_has_the_name_of_a_registry_that_was_there_before(served, sdk):
    sdk.run("wandb.Api().create_registry('first', visibility='organization')")
    is_used("first", sdk.run(f"NAME = 'first'{USING}"))
    kinds = {each.name: each.kind for each in domain.projects.list_projects(served.store, CTX, "local")}
    assert (kinds["first"], kinds["first.project"]) == ("registry", "project")
    said = sdk.run("""
        registry = wandb.Api().registry("first"); registry.name = "moved"; registry.save()
        with wandb.init(project="first", id="again") as run: run.log({"x": 3})
        say([len(wandb.Api().runs("first")), wandb.Api().registry("moved").name])
    """)
    assert said == [[4, "moved"]]


def test_a_registry_has_the_name_of_a_project_that_was_there_before(served, sdk):
    sdk.run("""
        with wandb.init(project="second", id="old") as run: run.log({"x": 1})
        wandb.Api().run("second/old").delete()
        wandb.Api().create_registry("second", visibility="organization")
    """)
    is_used("second", sdk.run(f"NAME = 'second'{USING}"))
    kinds = {each.name: each.kind for each in domain.projects.list_projects(served.store, CTX, "local")}
    assert (kinds["second"], kinds["wandb-registry-second"]) == ("project", "registry")


def test_names_that_somebody_may_not_know_of_are_not_told(tmp_path):
    options = ServerOptions(data=str(tmp_path / "data"), port=0, log_format="off", auth="on")
    with Background(options) as server:
        for name in ("ann", "eve"):
            accounts.create_user(server.store, CTX, name)
        ann, eve = (Context(keys.principal_of(_user(server, name))) for name in ("ann", "eve"))
        domain.projects.create(server.store, ann, "ann/secret", kind="registry")
        assert domain.projects.kind_of(server.store, ann, "ann/secret") == "registry"
        assert domain.projects.kind_of(server.store, ann, "ann/none") == ""
        assert domain.projects.kind_of(server.store, eve, "ann/secret") == ""
        assert domain.projects.kind_of(server.store, eve, "nobody/secret") == ""
