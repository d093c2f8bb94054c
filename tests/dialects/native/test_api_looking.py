"""The routes that people look at a project by: stored documents and previews of files, against a live server."""

from __future__ import annotations

from calling import Caller

DOCUMENTS = "/api/v1/projects/lab/looking/documents"


def test_documents(people: dict[str, Caller]):
    ann, ria, eve = people["ann"], people["ria"], people["eve"]
    ann.post("/api/v1/namespaces/lab/projects", {"name": "looking"}).expect(201)
    made = ann.post(DOCUMENTS, {"kind": "view", "name": "mine", "spec": {"a": [1]}, "title": "Mine"}).expect(
        201
    )
    assert (made["spec"], made["revision"]) == ({"a": [1]}, 1)
    assert ann.post(DOCUMENTS, {"kind": "view", "name": "mine"}).code == "exists"
    assert ann.post(DOCUMENTS, {"kind": "view", "name": "b/c"}).code == "invalid"
    assert ria.post(DOCUMENTS, {"kind": "view", "name": "hers"}).code == "denied"
    one = f"{DOCUMENTS}/view/mine"
    assert ann.patch(one, {"spec": 2, "revision": 1}).expect(200)["spec"] == 2
    late = ann.patch(one, {"title": "late", "revision": 1})
    assert (late.status, late.code) == (409, "conflict")
    assert ria.get(one).expect(200)["spec"] == 2
    assert ria.get(f"{one}?revision=1").expect(200)["spec"] == {"a": [1]}
    assert eve.get(one).code == "missing"
    assert [step["by"] for step in ria.get(f"{one}/revisions").expect(200)["items"]] == ["ann", "ann"]
    ann.post(DOCUMENTS, {"kind": "report", "name": "all", "spec": {}}).expect(201)
    first = ria.get(f"{DOCUMENTS}?limit=1").expect(200)
    assert [item["name"] for item in first["items"]] == ["all"]
    rest = ria.get(f"{DOCUMENTS}?after=report%2Fall").expect(200)
    assert ([item["name"] for item in rest["items"]], rest["next"]) == (["mine"], "")
    ann.delete(one).expect(204)
    assert ann.get(one).code == "missing"


def test_previews(people: dict[str, Caller]):
    ann, ria, eve = people["ann"], people["ria"], people["eve"]
    ann.put_version("lab/looking/m", {"a b/t.csv": b"x,y\n1,2\n3,4\n", "config.json": b"{}"})
    path = "/api/v1/collections/lab/looking/m/versions/latest/preview/a%20b/t.csv"
    part = ria.get(f"{path}?limit=1").expect(200)
    assert (part["kind"], part["columns"], part["rows"]) == (
        "table",
        [["x", "text"], ["y", "text"]],
        [["1", "2"]],
    )
    assert ria.get(f"{path}?after={part['next']}").expect(200)["rows"] == [["3", "4"]]
    assert ria.get(f"{path}?after=-1").code == "invalid"
    assert ria.get(f"{path}?column=-1").code == "invalid"
    assert eve.get(path).code == "missing"
    run = "/api/v1/runs/lab/looking/seen"
    ann.post("/api/v1/runs/lab/looking", {"name": "seen"}).expect(201)
    digest = ann.upload(b"some text", "lab")["sha256"]
    ann.put(f"{run}/files", {"files": [{"path": "note.txt", "size": 9, "sha256": digest}]}).expect(200)
    assert ria.get(f"{run}/preview/note.txt").expect(200)["text"] == "some text"
    assert eve.get(f"{run}/preview/note.txt").code == "missing"
    assert ria.get(f"{run}/preview/none").code == "missing"
