"""Everything that a run can log, offline runs and shared ones: read back exactly, through the SDK and through the domain."""

from __future__ import annotations

import signal
import time

import pytest

from runstone import domain
from runstone.domain.context import Context
from runstone.domain.runs import files, lifecycle, rows

CTX = Context()


def values(served, name, key="x"):
    found = rows.read(served.store, CTX, f"local/{name}", wanted=lambda each: each == key)
    return [(step, each[key]) for step, _, each in found]


def test_every_data_type_is_read_back(served, sdk):
    said = sdk.run("""
        import numpy as np, json, os
        import matplotlib; matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        from wandb.sdk.lib.hashutil import md5_file_b64 as md5
        pixels = (np.arange(48).reshape(4, 4, 3) * 5).astype(np.uint8)
        boxes = {"pred": {"box_data": [{"position": {"minX": 0, "maxX": .5, "minY": 0, "maxY": .5}, "class_id": 1, "scores": {"acc": .5}}],
                          "class_labels": {1: "cat"}}}
        masks = {"truth": {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "none", 1: "dog"}}}
        open("m.pdb", "w").write("ATOM      1  N   MET A   1      27.340  24.430   2.614  1.00  9.67           N\\n")
        open("clip.mp4", "wb").write(b"\\0\\0\\0\\x18ftypmp42" + bytes(range(200)))
        import wave
        with wave.open("tone.wav", "wb") as tone: tone.setparams((1, 2, 8000, 0, "NONE", "")); tone.writeframes(bytes(400))
        figure = plt.figure(); plt.plot([1, 2, 3])
        with wandb.init(project="types", id="all") as run:
            run.log({"scalar": 1.5, "int": 7, "bool": True, "text": "t é", "none": None, "list": [1, 2.5, "x"], "nested": {"a": {"b": 2}},
                     "nan": float("nan"), "big": 2**70, "np": np.float32(0.25), "array": np.arange(3)})
            run.log({"hist": wandb.Histogram(np_histogram=([1, 2, 3], [0., 1., 2., 3.])),
                     "image": wandb.Image(pixels, caption="c", boxes=boxes, masks=masks), "images": [wandb.Image(pixels), wandb.Image(pixels + 1)],
                     "video": wandb.Video("clip.mp4"), "audio": wandb.Audio("tone.wav"),
                     "html": wandb.Html("<b>é</b>", inject=False), "molecule": wandb.Molecule("m.pdb"),
                     "points": wandb.Object3D(np.arange(12.).reshape(4, 3)), "figure": wandb.Image(figure),
                     "table": wandb.Table(columns=["n", "img"], data=[[1, wandb.Image(pixels)], [2, wandb.Image(pixels + 2)]])})
            run.log({"plain": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]]),
                     "curve": wandb.plot.line(wandb.Table(columns=["x", "y"], data=[[0, 1], [1, 4]]), "x", "y", title="l")})
        run = wandb.Api().run("types/all")
        lines = list(run.scan_history())
        say(sorted(lines[0])); first = lines[0]
        say([first["scalar"], first["int"], first["bool"], first["text"], first["list"], first["nested.a.b"], first["np"]])
        say([first["nan"] != first["nan"] if not isinstance(first["nan"], str) else first["nan"], first["big"] == float(2**70)])
        second = lines[1]
        say([second["hist"], {key: value for key, value in second["image"].items() if key in ("_type", "format", "caption", "width")}])
        def same(value):
            path = value["path"]; run.file(path).download(root="back", replace=True)
            size = os.path.getsize(os.path.join("back", path)); return [value["_type"], size == value["size"]]
        say([same(second[key]) for key in ("image", "video", "html", "molecule", "points", "figure", "audio")])
        say([line["nan"] for line in run.history(keys=["nan"], pandas=False)])
        say(sorted({file.name.split("/")[1] for file in run.files() if file.name.startswith("media/")}))
        mask = second["image"]["masks"]["truth"]; run.file(mask["path"]).download(root="back")
        from PIL import Image
        say(np.array(Image.open("back/" + mask["path"])).tolist())
        box = second["image"]["boxes"]["pred"]; run.file(box["path"]).download(root="back")
        say(json.load(open("back/" + box["path"]))["box_data"][0]["class_id"])
        say([run.summary["plain"]["_type"], run.summary["plain"]["nrows"]])
        table = run.summary["plain"]["path"]; run.file(table).download(root="back")
        say(json.load(open("back/" + table)))
        found = {art.type: art for art in run.logged_artifacts() if "plain" in art.name}
        say([found["run_table"].get("plain").data, found["run_table"].get("plain").columns])
    """)
    assert {"scalar", "int", "list", "nested.a.b", "_step", "_timestamp"} <= set(said[0])
    assert said[1] == [1.5, 7, True, "t é", [1, 2.5, "x"], 2, 0.25]
    assert said[2] in ([True, True], ["NaN", True])
    assert said[3][0] == {"_type": "histogram", "values": [1, 2, 3], "bins": [0, 1, 2, 3]}
    assert said[3][1] == {"_type": "image-file", "format": "png", "caption": "c", "width": 4}
    assert [name for name, _ in said[4]] == [
        "image-file", "video-file", "html-file", "molecule-file", "object3D-file", "image-file", "audio-file",
    ]  # fmt: skip
    assert all(same for _, same in said[4])
    assert said[5] == ["NaN"]
    assert said[7] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert said[8:10] == [1, ["table-file", 2]]
    assert said[10] == {"columns": ["a", "b"], "data": [[1, "x"], [2.5, None]]}
    assert said[11] == [[[1, "x"], [2.5, None]], ["a", "b"]]
    assert lifecycle.get(served.store, CTX, "local/types/all").summary["video"]["_type"] == "video-file"


def test_figures_scenes_and_what_is_drawn_on_images_are_read_back_whole(served, sdk):
    pytest.importorskip("plotly")
    said = sdk.run("""
        import numpy as np, hashlib, os
        import plotly.graph_objects as go
        figure = go.Figure(data=[go.Scatter(x=[1, 2, 3], y=[4, 1, 9], name="é")], layout={"title": {"text": "t"}})
        pixels = (np.arange(48).reshape(4, 4, 3) * 5).astype(np.uint8)
        box = {"position": {"middle": [10, 20], "width": 4, "height": 6}, "domain": "pixel", "class_id": 2, "box_caption": "a cat",
               "scores": {"acc": .75, "loss": 1}}
        image = wandb.Image(pixels, boxes={"pred": {"box_data": [box, box | {"class_id": 1}], "class_labels": {1: "dog", 2: "cat"}}},
                            masks={"truth": {"mask_data": np.eye(4, dtype=np.uint8) * 3, "class_labels": {0: "none", 3: "cat"}},
                                   "other": {"mask_data": np.ones((4, 4), dtype=np.uint8)}})
        cloud = np.array([[0, 0, 0, 1], [1.5, 2, 3, 2], [-1, -2, -3, 14]], dtype=float)
        scene = {"type": "lidar/beta", "points": np.array([[1., 2., 3.], [4., 5., 6.]]),
                 "vectors": np.array([{"start": [0, 0, 0], "end": [1, 1, 1]}]),
                 "boxes": np.array([{"corners": [[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]],
                                     "label": "box", "color": [123, 221, 111]}])}
        open("a.obj", "w").write("v 0 0 0\\nv 1 0 0\\nv 0 1 0\\nf 1 2 3\\n")
        open("m.pdb", "w").write("ATOM      1  N   MET A   1      27.340  24.430   2.614  1.00  9.67           N\\n")
        open("m.sdf", "w").write("\\n  x\\n\\n  0  0  0  0  0  0  0  0  0  0999 V2000\\nM  END\\n")
        with wandb.init(project="types", id="drawn") as run:
            run.log({"plotly": figure, "wrapped": wandb.Plotly(figure), "image": image, "cloud": wandb.Object3D(cloud),
                     "scene": wandb.Object3D(scene), "mesh": wandb.Object3D(open("a.obj")), "pdb": wandb.Molecule("m.pdb"),
                     "sdf": wandb.Molecule("m.sdf")})
        run = wandb.Api().run("types/drawn")
        (line,) = run.scan_history()
        def read(value):
            run.file(value["path"]).download(root="back", replace=True)
            content = open("back/" + value["path"], "rb").read()
            assert value.get("sha256", hashlib.sha256(content).hexdigest()) == hashlib.sha256(content).hexdigest(), value
            assert value.get("size", len(content)) == len(content), value
            return content
        say([go.Figure(json.loads(read(line[key]))) == figure for key in ("plotly", "wrapped")])
        say([line["image"]["boxes"]["pred"]["_type"], json.loads(read(line["image"]["boxes"]["pred"]))["box_data"] == [box, box | {"class_id": 1}]])
        from PIL import Image
        import io
        masks = line["image"]["masks"]
        say({key: np.array(Image.open(io.BytesIO(read(masks[key])))).tolist() for key in masks})
        say([np.array(Image.open(io.BytesIO(read(line["image"])))).tolist() == pixels.tolist(), sorted(line["image"]["all_mask_classes"]) if
             "all_mask_classes" in line["image"] else None])
        say([json.loads(read(line["cloud"])) == cloud.tolist(), line["cloud"]["_type"]])
        seen = json.loads(read(line["scene"]))
        say([seen["points"], seen["boxes"] == scene["boxes"].tolist(), seen["vectors"], seen["type"]])
        say([read(line["mesh"]).decode() == open("a.obj").read(), read(line["pdb"]).decode() == open("m.pdb").read(),
             read(line["sdf"]).decode() == open("m.sdf").read(), sorted({line[key]["_type"] for key in ("mesh", "pdb", "sdf")})])
        say([run.summary["plotly"]["_type"], dict(run.summary["plotly"]) == line["plotly"]])
    """)
    assert said[0] == [True, True]
    assert said[1] == ["boxes2D", True]
    eye = [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]]
    assert said[2] == {"truth": eye, "other": [[1] * 4] * 4}
    assert said[3][0] is True
    assert said[4] == [True, "object3D-file"]
    assert said[5] == [
        [[1, 2, 3], [4, 5, 6]],
        True,
        [{"start": [0, 0, 0], "end": [1, 1, 1]}],
        "lidar/beta",
    ]
    assert said[6] == [True, True, True, ["molecule-file", "object3D-file"]]
    assert said[7] == ["plotly-file", True]
    held = {file.path: file for file in files.listed(served.store, CTX, "local/types/drawn")}
    value = lifecycle.get(served.store, CTX, "local/types/drawn").summary["pdb"]
    assert held[value["path"]].sha256 == value["sha256"]


def test_defined_metrics_code_and_git(served, sdk):
    said = sdk.run(
        """
        import subprocess, os
        os.makedirs("repo"); os.chdir("repo")
        git = lambda *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True, capture_output=True)
        git("init"); git("remote", "add", "origin", "https://example.org/a.git")
        open("train.py", "w").write("print(1)"); git("add", "."); git("commit", "-m", "x")
        with wandb.init(project="defined", id="d") as run:
            run.define_metric("epoch"); run.define_metric("val/*", step_metric="epoch", summary="min")
            for epoch in range(3): run.log({"epoch": epoch, "val/loss": [3, 1, 2][epoch], "train": epoch})
            run.log_code(".")
        run = wandb.Api().run("defined/d")
        say([run.summary["val/loss"]["min"] if hasattr(run.summary["val/loss"], "get") else run.summary["val/loss"], run.summary["train"]])
        say([len(run.commit), run.metadata["git"]["remote"]])
        say([art.type for art in run.logged_artifacts()])
        """,
        WANDB_DISABLE_GIT="false",
    )
    assert said[0] == [1, 2]
    assert said[1] == [40, "https://example.org/a.git"]
    assert "code" in said[2]


def test_offline_runs_are_synced_once_however_often(served, sdk):
    sdk.run(
        """
        with wandb.init(project="later", id="off", config={"a": 1}) as run:
            for step in range(600): run.log({"x": step, "h": wandb.Histogram([step, step + 1])} if step % 100 == 0 else {"x": step})
            open("f.txt", "w").write("kept"); run.save("f.txt")
            print("a line")
        """,
        WANDB_MODE="offline",
    )
    folder = str(next(sdk.folder.glob("wandb/offline-run-*-off")))
    for _ in range(3):
        sdk.command("sync", "--include-synced", folder)
        assert values(served, "later/off") == [(step, step) for step in range(600)]
    run = lifecycle.get(served.store, CTX, "local/later/off")
    assert (run.config, run.state) == ({"a": 1}, "finished")
    assert "f.txt" in {file.path for file in files.listed(served.store, CTX, "local/later/off")}
    texts = [line.text for line in domain.runs.console.read(served.store, CTX, "local/later/off")]
    assert texts.count("a line") == 1


def test_a_sync_that_is_cut_off_is_done_again(served, sdk):
    sdk.run(
        """
        with wandb.init(project="later", id="cut") as run:
            for step in range(8000): run.log({"x": step})
        """,
        WANDB_MODE="offline",
    )
    folder = str(next(sdk.folder.glob("wandb/offline-run-*-cut")))
    program = f"import sys; sys.argv = ['wandb', 'sync', {folder!r}]\nfrom wandb.cli.cli import cli\ncli()"
    process = sdk.start(program)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if lifecycle.get(served.store, CTX, "local/later/cut").points:
                break
        except Exception:
            time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    sdk.command("sync", "--include-synced", folder)
    assert values(served, "later/cut") == [(step, step) for step in range(8000)]


def test_several_writers_of_one_run(served, sdk):
    program = """
        with wandb.init(project="shared", id="s", settings=wandb.Settings(mode="shared", x_label="{label}", x_primary={primary},
                        x_update_finish_state={primary})) as run:
            for step in range(200): run.log({{"{label}": step}})
            print("from {label}")
    """
    primary = sdk.start(program.format(label="first", primary=True))
    primary_out = primary.communicate(timeout=90)[0]
    assert primary.returncode == 0, primary_out
    others = [sdk.start(program.format(label=label, primary=False)) for label in ("second", "third")]
    for other in others:
        out, _ = other.communicate(timeout=90)
        assert other.returncode == 0, out
    for label in ("first", "second", "third"):
        assert [value for _, value in values(served, "shared/s", label)] == list(range(200)), label
    texts = [line.text for line in domain.runs.console.read(served.store, CTX, "local/shared/s")]
    assert {f"from {label}" for label in ("first", "second", "third")} <= {
        text.split("] ")[-1] for text in texts
    }
