"""Figures, charts of tables, points in space and code that the real clients logged: drawn from their numbers, compared line by line."""

import os
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

EVIL = "<img src=x onerror=alert(1)>"
WANDB = """
import numpy as np
import plotly.graph_objects as go
import wandb

evil = "<img src=x onerror=alert(1)>"
with wandb.init(project="vision", id="m1", settings=wandb.Settings(silent=True, console="off")) as run:
    waves = go.Figure([go.Scatter(x=np.arange(50), y=np.sin(np.arange(50) / 5), name="sine"),
                       go.Scatter(x=np.arange(50), y=np.cos(np.arange(50) / 5), mode="markers", name=evil)])
    waves.update_layout(title="Waves", xaxis_title="t", yaxis_title="height")
    open("water.pdb", "w").write("ATOM      1  O   HOH A   1      11.104   6.134  -6.504  1.00  0.00           O\\nEND\\n")
    turn = np.linspace(0, 20, 2000)
    run.log({
        "waves": wandb.Plotly(waves),
        "bars": wandb.Plotly(go.Figure([go.Bar(x=["cat", "dog"], y=[3, 5], name="a"), go.Bar(x=["cat", "dog"], y=[1, 2], name="b")])),
        "lying": wandb.Plotly(go.Figure(go.Bar(x=[3, 5], y=["cat", "dog"], orientation="h"))),
        "heat": wandb.Plotly(go.Figure(go.Heatmap(z=[[1, 2, 3], [4, 5, 6]], x=["a", "b", "c"], y=["u", "v"]))),
        "boxes": wandb.Plotly(go.Figure(go.Box(y=[1, 2, 3, 4, 9], name="one"))),
        "counts": wandb.Plotly(go.Figure(go.Histogram(x=[1.0, 1.5, 2.0, 2.5, 9.0]))),
        "parts": wandb.Plotly(go.Figure(go.Pie(labels=["x", "y"], values=[1, 3]))),
        "globe": wandb.Plotly(go.Figure(go.Surface(z=[[1, 2], [3, 4]]))),
        "cloud": wandb.Object3D({"type": "lidar/beta", "points": np.stack([np.cos(turn) * turn, np.sin(turn) * turn, turn], 1),
                                 "boxes": np.array([{"corners": [[x, y, z] for z in (0, 5) for x, y in ((0, 0), (0, 5), (5, 5), (5, 0))],
                                                     "label": "car", "color": [255, 0, 0]}])}),
        "water": wandb.Molecule("water.pdb"),
        "lines": wandb.plot.line_series(xs=[0, 1, 2], ys=[[0, 1, 4], [0, 1, 8]], keys=["square", "cube"], title="Powers"),
        "confused": wandb.plot.confusion_matrix(y_true=[0, 1, 1, 1], preds=[0, 1, 1, 0], class_names=["cat", "dog"]),
        "ranked": wandb.plot.bar(wandb.Table(columns=["name", "weight"], data=[["a", 1], ["b", 2]]), "name", "weight", title="Weights"),
    })
"""
MLFLOW = """
import mlflow
import plotly.graph_objects as go

mlflow.set_experiment("vision")
with mlflow.start_run(run_name="with a figure") as run:
    mlflow.log_figure(go.Figure(go.Scatter(x=[1, 2, 3], y=[3, 1, 2])), "plots/figure.html")
    print(run.info.run_id)
"""


@pytest.fixture
def client(server, tmp_path):
    """Runs a program of a client against the server; answers what it prints."""

    def run(code, **more):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": "hf_" + "0" * 40,
            "MLFLOW_TRACKING_URI": server.url,
            **more,
        }
        command = [sys.executable, code] if code.endswith(".py") else [sys.executable, "-c", code]
        made = subprocess.run(
            command, env=environment, cwd=tmp_path, check=True, timeout=300, capture_output=True
        )
        return made.stdout.decode()

    return run


def of(page, key):
    return page.locator(f"section[aria-label={key}]")


def test_what_wandb_logged_is_drawn(page, server, client, accessible):
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    client(WANDB)
    page.set_viewport_size({"width": 1500, "height": 1000})
    page.goto(f"{server.url}/local/vision/runs/m1/media")
    waves = of(page, "waves")
    drawn = waves.get_by_role("img", name="waves: 2 traces")
    expect(drawn).to_be_visible()
    for words in ("Waves", "t", "height"):
        expect(waves).to_contain_text(words)
    assert drawn.locator("path[d]").count() == 1 and drawn.locator("circle").count() == 50
    expect(waves.get_by_role("list", name="Traces")).to_contain_text(EVIL)
    drawn.locator("circle").nth(10).hover()
    expect(waves.locator(".tip")).to_contain_text("10, -0.41615")
    tall = (
        of(page, "bars")
        .locator("svg > g > rect")
        .evaluate_all("all => all.map(each => Number(each.getAttribute('height')))")
    )
    assert len(tall) == 4 and tall[1] == max(tall) and tall[0] == pytest.approx(0.6 * tall[1], abs=1)
    wide = (
        of(page, "lying")
        .locator("svg > g > rect")
        .evaluate_all("all => all.map(each => Number(each.getAttribute('width')))")
    )
    assert wide[0] == pytest.approx(0.6 * wide[1], abs=1)
    expect(of(page, "heat").locator("text.cell")).to_have_text(["1", "2", "3", "4", "5", "6"])
    expect(of(page, "boxes").locator("g.box rect")).to_have_count(1)
    assert of(page, "counts").locator("svg > g > rect").count() >= 2
    expect(of(page, "parts")).to_contain_text("75.0 %")
    expect(of(page, "globe")).to_contain_text("Not drawn here: surface")
    expect(of(page, "water").get_by_role("link", name=re.compile("Download .*pdb"))).to_be_visible()
    expect(of(page, "lines_table").get_by_role("img", name="lines: Powers")).to_be_visible()
    assert of(page, "lines_table").locator("svg path[d]").count() == 2
    confused = of(page, "confused_table")
    expect(confused.locator("text.cell")).to_have_text(["1", "0", "1", "2"])
    confused.get_by_role("button", name="Show the table").click()
    expect(confused.get_by_role("grid")).to_contain_text("nPredictions")
    confused.get_by_role("button", name="Chart").click()
    expect(of(page, "ranked_table").locator("svg > g > rect")).to_have_count(2)
    accessible(page)


def test_points_in_space_are_turned(page, server, client):
    client(WANDB)
    page.set_viewport_size({"width": 1500, "height": 1000})
    page.goto(f"{server.url}/local/vision/runs/m1/media")
    cloud = of(page, "cloud")
    expect(cloud).to_contain_text("2,000 points, 1 box")
    canvas = cloud.get_by_role("img", name=re.compile("2,000 points in space"))
    picture = "canvas => canvas.toDataURL()"
    marked = """canvas => { const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0; for (let at = 3; at < seen.length; at += 4) if (seen[at]) count++; return count; }"""
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    first = canvas.evaluate(picture)
    assert canvas.evaluate(marked) > 1000

    def changed(before):
        for _ in range(100):
            if canvas.evaluate(picture) != before:
                return canvas.evaluate(picture)
            page.wait_for_timeout(50)
        raise AssertionError("the picture stayed as it was")

    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 130, steps=3)
    page.mouse.up()
    turned = changed(first)
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    again = changed(turned)
    page.keyboard.press("+")
    changed(again)
    cloud.get_by_role("button", name="Reset").click()
    for _ in range(100):
        if canvas.evaluate(picture) == first:
            break
        page.wait_for_timeout(50)
    assert canvas.evaluate(picture) == first


def test_a_figure_of_mlflow_is_drawn_though_its_page_asks_elsewhere(page, server, client, accessible):
    run = client(MLFLOW).split()[0]
    # The address that mlflow prints leads to the run.
    page.goto(f"{server.url}/#/experiments/0")
    expect(page).to_have_url(f"{server.url}/local/Default")
    page.goto(f"{server.url}/local/vision/runs/{run}/files?folder=plots&file=plots%2Ffigure.html")
    preview = page.locator("section[aria-label='Preview of plots/figure.html']")
    expect(preview.get_by_role("img", name="figure.html: 1 traces")).to_be_visible()
    expect(page.get_by_role("navigation", name="Where you are")).to_contain_text("with a figure")
    accessible(page)
    preview.get_by_role("button", name="Show the text").click()
    expect(preview.locator("pre")).to_contain_text("Plotly.newPlot")


def test_addresses_that_clients_print(page, server, client):
    told = client(
        """
import mlflow
import wandb

mlflow.set_experiment("printed")
with mlflow.start_run(run_name="of mlflow") as run:
    print("run", run.info.run_id)
with wandb.init(project="printed", id="w1", settings=wandb.Settings(silent=True, console="off")) as run:
    artifact = wandb.Artifact("data", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write("a")
    run.log_artifact(artifact).wait()
    print("wandb", run.url, artifact.url)
"""
    )
    run = re.search(r"^run (\w+)$", told, re.M)[1]
    page.goto(re.search(rf"{server.url}/#/experiments/\d+/runs/\w+", told)[0])
    expect(page).to_have_url(f"{server.url}/local/printed/runs/{run}")
    expect(page.get_by_role("heading", name="of mlflow")).to_be_visible()
    page.goto(f"{server.url}/")
    page.goto(re.search(rf"at: ({server.url}/#/experiments/\d+)$", told, re.M)[1])
    expect(page).to_have_url(f"{server.url}/local/printed")
    run, artifact = re.search(r"^wandb (\S+) (\S+)$", told, re.M).groups()
    page.goto(run)
    expect(page).to_have_url(f"{server.url}/local/printed/runs/w1")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(artifact)
    expect(page).to_have_url(f"{server.url}/local/printed/artifacts/data/v1")
    expect(page.get_by_role("heading", name="data v1")).to_be_visible()
    page.goto(f"{server.url}/local/printed/sweeps/s1")
    expect(page).to_have_url(re.compile("/local/printed\\?filter=sweep"))


CODE = """
import wandb
rate = {rate}
with wandb.init(project="code", id="c{number}", name="code {number}",
                settings=wandb.Settings(silent=True, console="off", save_code=True)) as run:
    run.log_code(".", include_fn=lambda path: path.endswith((".py", ".yaml")))
    run.log({{"loss": rate}})
"""


def test_the_saved_code_of_two_runs_is_compared(page, server, client, tmp_path, accessible):
    (tmp_path / "net.py").write_text(f"layers = 2\nsame = 1\n# {EVIL}\n")
    (tmp_path / "same.py").write_text("nothing = 0\n")
    for number in (1, 2):
        (tmp_path / "train.py").write_text(CODE.format(rate=number / 10, number=number))
        if number == 2:
            (tmp_path / "net.py").write_text(f"layers = 3\nsame = 1\n# {EVIL}\n")
            (tmp_path / "new.yaml").write_text("added: true\n")
        client("train.py")
    page.goto(f"{server.url}/local/code/compare?runs=c1,c2&tab=code")
    saved = page.get_by_role("region", name="Saved code")
    expect(saved).to_contain_text(re.compile("files of .* differ"))
    net = page.get_by_role("region", name="net.py: changes")
    expect(net.locator(".out")).to_have_text(["−layers = 2"])
    expect(net.locator(".in")).to_have_text(["+layers = 3"])
    expect(net).to_contain_text(EVIL)
    train = page.get_by_role("region", name="train.py: changes").first
    expect(train.locator(".in").first).to_have_text("+rate = 0.2")
    added = saved.locator("details").filter(has_text="new.yaml")
    expect(added.locator(".pill")).to_have_text("added")
    added.locator("summary").click()
    expect(added).to_contain_text("added: true")
    expect(saved.locator("summary").filter(has_text="same.py")).to_have_count(0)
    accessible(page)
