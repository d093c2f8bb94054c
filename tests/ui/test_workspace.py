"""The workspace of a project: the table of its runs, its panels, and what happens while one looks."""

import json
import math
import os
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

RUNS = 12


@pytest.fixture
def project(store):
    """A dozen runs of a project; returns what logs one more."""

    def log(number, **given):
        rate = 10 ** -(1 + number % 4)
        with store.run(
            "vision",
            f"r{number:02}",
            display_name=f"run {number}",
            config={"lr": rate, "optimizer": "adam" if number % 2 else "sgd", "depth": 18 + number},
            tags=["baseline"] if number % 3 == 0 else [],
            system=0,
            **given,
        ) as run:
            for step in range(50):
                run.log(
                    {"train/loss": 1 / (step + 1 + number), "val/acc": step / 60, "epoch": step // 10},
                    step=step,
                )

    for number in range(RUNS):
        log(number)
    return log


@pytest.fixture
def workspace(page, server, project):
    page.goto(f"{server.url}/local/vision")
    expect(page.get_by_role("grid", name="Runs")).to_be_visible()
    expect(page.get_by_text(f"{RUNS} runs", exact=True).first).to_be_visible()
    expect(page.get_by_role("img", name=f"train/loss: {RUNS} lines")).to_be_visible()
    return page


def names(page):
    """The runs in sight, from the top."""
    cells = page.locator(".vrow .name-cell a")
    expect(cells.first).to_be_visible()
    rows = page.locator(".vrow").evaluate_all(
        "rows => rows.map(row => [row.getBoundingClientRect().top, row.querySelector('a')?.textContent])"
    )
    return [name for _, name in sorted(rows) if name]


def asked(request):
    return json.loads(request.post_data)


def only_draws(request, run):
    return request.url.endswith("/series/draw") and asked(request)["runs"] == [run]


def test_runs_and_panels_are_there_in_both_themes(workspace, accessible):
    assert names(workspace)[0] == f"run {RUNS - 1}"
    expect(workspace.get_by_role("img", name=f"train/loss: {RUNS} lines over step")).to_be_visible()
    expect(
        workspace.get_by_role("region", name="val").or_(workspace.locator("section[aria-label=val]"))
    ).to_be_visible()
    accessible(workspace)
    workspace.emulate_media(color_scheme="dark")
    workspace.wait_for_timeout(200)
    accessible(workspace)


def test_a_filter_is_completed_asked_and_corrected(workspace):
    box = workspace.get_by_role("combobox", name="Filter runs")
    workspace.keyboard.press("/")
    expect(box).to_be_focused()
    workspace.keyboard.type("config.op")
    expect(workspace.get_by_role("option")).to_have_text(["config.optimizer"])
    workspace.keyboard.press("ArrowDown")
    workspace.keyboard.press("Enter")
    expect(box).to_have_value("config.optimizer ")
    workspace.keyboard.type('= "adam"')
    workspace.keyboard.press("Enter")
    expect(workspace.get_by_text("6 runs", exact=True).first).to_be_visible()
    expect(workspace.get_by_role("img", name="train/loss: 6 lines")).to_be_visible()
    assert "filter=" in workspace.url
    workspace.reload()
    expect(workspace.get_by_text("6 runs", exact=True).first).to_be_visible()


def test_a_wrong_filter_says_where(watched, server, project):
    watched.expected = ["400", "422"]
    page = watched.page()
    page.goto(f"{server.url}/local/vision?filter=config.lr+%3C+running")
    expect(page.get_by_role("alert")).to_contain_text("column 13")
    page.get_by_role("button", name="Clear the filter").first.click()
    expect(page.get_by_text(f"{RUNS} runs", exact=True).first).to_be_visible()


def test_sorting_and_columns(workspace):
    workspace.set_viewport_size({"width": 2000, "height": 900})
    workspace.goto(workspace.url.replace("/vision", "/vision/table"))
    expect(workspace.get_by_role("columnheader", name="lr")).to_be_visible()
    workspace.get_by_role("columnheader", name="depth").get_by_role("button").click()
    expect(workspace.get_by_role("columnheader", name="depth")).to_have_attribute("aria-sort", "descending")
    expect(workspace.locator(".vrow .name-cell a").first).to_be_visible()
    assert names(workspace)[0] == f"run {RUNS - 1}"
    workspace.get_by_role("columnheader", name="depth").get_by_role("button").click()
    expect(workspace.get_by_role("columnheader", name="depth")).to_have_attribute("aria-sort", "ascending")
    workspace.wait_for_function("document.querySelectorAll('.vrow .name-cell a').length > 5")
    assert names(workspace)[0] == "run 0"
    workspace.get_by_role("button", name="Columns").click()
    workspace.get_by_role("checkbox", name="config.depth").uncheck()
    workspace.get_by_role("button", name="Keep config.lr at the left").click()
    workspace.get_by_label("Find a field").fill("summary.train/loss:")
    workspace.get_by_role("checkbox", name="summary.train/loss:min").check()
    workspace.get_by_role("button", name="Done").click()
    expect(workspace.get_by_role("columnheader", name="train/loss:min")).to_be_attached()
    expect(workspace.get_by_role("columnheader", name="depth")).to_have_count(0)
    expect(workspace.locator(".vhead .vpinned").get_by_role("columnheader", name="lr")).to_be_visible()
    workspace.keyboard.press("Control+z")
    expect(workspace.get_by_role("columnheader", name="train/loss:min")).to_have_count(0)


def test_notes_and_tags_are_edited_in_place(workspace, store):
    workspace.goto(workspace.url.replace("/vision", "/vision/table"))
    workspace.get_by_role("button", name="Notes of run 3").click()
    workspace.keyboard.type("the <b>best</b> one")
    workspace.keyboard.press("Enter")
    expect(workspace.get_by_role("button", name="Notes of run 3")).to_have_text("the <b>best</b> one")
    workspace.get_by_role("button", name="Tags of run 3").click()
    workspace.get_by_label("Tags of run 3, with commas").fill("keep, champion")
    workspace.keyboard.press("Enter")
    expect(workspace.get_by_role("button", name="Tags of run 3")).to_contain_text("champion")
    workspace.wait_for_function("!document.querySelector('.toast.failed')")
    workspace.reload()
    expect(workspace.get_by_role("button", name="Tags of run 3")).to_contain_text("champion")
    found = store.get_run("vision/r03")
    assert (found.notes, set(found.tags)) == ("the <b>best</b> one", {"keep", "champion"})


def test_runs_are_hidden_deleted_and_taken_back(workspace, store):
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.get_by_role("button", name="Do not draw run 11").click()
    assert "local/vision/r11" not in asked(drawn.value)["runs"]
    expect(workspace.get_by_role("img", name=f"train/loss: {RUNS - 1} lines")).to_be_visible()
    workspace.get_by_role("checkbox", name="Choose run 1", exact=True).check()
    workspace.get_by_role("checkbox", name="Choose run 2", exact=True).check()
    workspace.get_by_role("toolbar", name="Chosen runs").get_by_role("button", name="Delete").click()
    expect(workspace.get_by_text(f"{RUNS - 2} runs", exact=True).first).to_be_visible()
    workspace.get_by_role("button", name="Undo").click()
    expect(workspace.get_by_text(f"{RUNS} runs", exact=True).first).to_be_visible()
    assert store.get_run("vision/r01").deleted == 0


def test_groups_have_their_mean_and_open_into_their_runs(workspace):
    workspace.get_by_role("button", name="Group").click()
    workspace.get_by_role("button", name="config.optimizer").click()
    workspace.keyboard.press("Escape")
    groups = workspace.get_by_role("region", name="Groups")
    expect(groups.get_by_role("row", name=re.compile("adam"))).to_contain_text("6")
    expect(workspace.get_by_role("img", name="train/loss: 2 lines")).to_be_visible()
    groups.get_by_role("button", name="adam").click()
    expect(workspace.get_by_text("6 runs", exact=True).first).to_be_visible()


def over(page, title):
    chart = page.get_by_role("article", name=title, exact=True)
    place = chart.locator(".u-over")
    expect(place).to_be_visible()
    box = place.bounding_box()
    return lambda x, y=0.5: (box["x"] + box["width"] * x, box["y"] + box["height"] * y)


def test_dragging_zooms_on_the_server_and_a_double_click_sees_everything(workspace):
    at = over(workspace, "train/loss")
    workspace.mouse.move(*at(0.2))
    workspace.mouse.down()
    workspace.mouse.move(*at(0.4), steps=4)
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.mouse.up()
    bounds = asked(drawn.value)
    assert 5 < bounds["low"] < 11 and 18 < bounds["high"] < 24 and bounds["keys"] == ["train/loss"]
    expect(workspace.get_by_role("button", name="zoomed")).to_be_visible()
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.mouse.dblclick(*at(0.5))
    assert asked(drawn.value)["low"] is None
    expect(workspace.get_by_role("button", name="zoomed")).to_have_count(0)


def test_hovering_tells_lines_apart_and_a_click_opens_the_run(workspace):
    at = over(workspace, "val/acc")
    workspace.mouse.move(*at(0.5))
    workspace.mouse.move(*at(0.51))
    tip = workspace.locator(".tip")
    expect(tip).to_contain_text("step")
    expect(tip).to_contain_text("run 11")
    workspace.mouse.click(*at(0.51))
    expect(workspace).to_have_url(re.compile(r"/local/vision/runs/r\d\d"))


def test_the_pointer_is_shown_in_every_chart(workspace, watched):
    watched.expected = ["willReadFrequently"]
    at = over(workspace, "train/loss")
    painted = """title => {
        const canvas = document.querySelector(`article[aria-label="${title}"] .overlay`);
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(value => value);
    }"""
    assert not workspace.evaluate(painted, "epoch")
    workspace.mouse.move(*at(0.5))
    workspace.mouse.move(*at(0.52))
    workspace.wait_for_function(painted, arg="epoch")
    workspace.mouse.move(5, 5)
    workspace.wait_for_function(f"title => !({painted})(title)", arg="epoch")


def test_shift_moves_what_is_seen(workspace):
    at = over(workspace, "train/loss")
    workspace.keyboard.down("Shift")
    workspace.mouse.move(*at(0.5))
    workspace.mouse.down()
    workspace.mouse.move(*at(0.25), steps=5)
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.mouse.up()
    workspace.keyboard.up("Shift")
    bounds = asked(drawn.value)
    assert 5 < bounds["low"] < 10 and 60 < bounds["high"] < 70


def test_a_panel_in_full_screen_has_settings_of_its_own(workspace, accessible):
    workspace.get_by_role("article", name="train/loss", exact=True).get_by_role(
        "button", name="What to do with train/loss"
    ).click()
    workspace.get_by_text("Full screen and settings").click()
    dialog = workspace.get_by_role("dialog", name="train/loss")
    expect(dialog.get_by_role("img", name="train/loss: 12 lines")).to_be_visible()
    box = dialog.bounding_box()
    assert box["width"] > 1000 and box["height"] > 600
    dialog.get_by_label("Logarithmic y").check()
    accessible(workspace)
    workspace.keyboard.press("Escape")
    expect(workspace.get_by_role("article", name="train/loss", exact=True)).to_contain_text("own")
    expect(workspace.get_by_role("article", name="val/acc")).not_to_contain_text("own")
    workspace.reload()
    expect(workspace.get_by_role("article", name="train/loss", exact=True)).to_contain_text("own")


def test_how_charts_are_drawn_is_in_the_address(workspace):
    workspace.get_by_role("button", name="How charts are drawn").click()
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.get_by_label("Along x").select_option("epoch")
    assert asked(drawn.value)["x"] == "epoch"
    workspace.get_by_label("Smoothing").select_option("ema")
    workspace.get_by_label("Logarithmic y").check()
    workspace.keyboard.press("Escape")
    workspace.reload()
    expect(workspace.get_by_role("img", name="train/loss: 12 lines over epoch")).to_be_visible()
    with workspace.expect_request("**/series/draw") as drawn:
        workspace.get_by_role("button", name="How charts are drawn").click()
        workspace.get_by_label("Along x").select_option("relative")
    assert asked(drawn.value)["by"] == "time"
    expect(workspace.get_by_label("Smoothing")).to_have_value("ema")
    expect(workspace.get_by_label("Logarithmic y")).to_be_checked()


def test_an_expression_is_a_panel_and_is_exported(workspace, tmp_path):
    workspace.get_by_role("button", name="Expression").click()
    field = workspace.get_by_label("y", exact=True)
    field.fill("nothing + 1")
    expect(workspace.get_by_text("No run has logged nothing")).to_be_visible()
    field.fill("1 / `train/loss` - `epoch` * 0")
    workspace.keyboard.press("Enter")
    panel = workspace.get_by_role("article", name="= 1 / `train/loss` - `epoch` * 0")
    expect(panel.get_by_role("img")).to_be_visible()
    with workspace.expect_download() as saved:
        panel.get_by_role("button", name=re.compile("What to do with")).click()
        workspace.get_by_text("Save as CSV").click()
    rows = [line.split(",") for line in saved.value.path().read_text().splitlines()]
    values = [float(row[2]) for row in rows if row[0] == "run 0"]
    assert len(values) == 50 and all(math.isclose(value, n + 1) for n, value in enumerate(values))
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with workspace.expect_download() as saved:
            panel.get_by_role("button", name=re.compile("What to do with")).click()
            workspace.get_by_text(f"Save as {kind}").click()
        assert saved.value.path().read_bytes().startswith(start)


def test_what_is_logged_is_seen_at_once(workspace, store):
    with store.run("vision", "fresh", display_name="fresh one", system=0) as run:
        run.log({"train/loss": 3.0, "brand/new": 1.0}, step=0)
        run.flush()
        expect(workspace.get_by_role("link", name="fresh one")).to_be_visible()
        expect(workspace.get_by_text(f"{RUNS + 1} runs", exact=True).first).to_be_visible()
        expect(workspace.get_by_role("article", name="brand/new")).to_be_attached()
        expect(workspace.get_by_role("img", name="train/loss: 13 lines")).to_be_visible()
        # What the page asked before may still be on its way; this is what it asks for because of the point.
        with workspace.expect_request(lambda each: only_draws(each, "local/vision/fresh")):
            run.log({"train/loss": 2.0}, step=1)
            run.flush()
        expect(workspace.locator(".vrow .pill.running")).to_have_count(1)
    expect(workspace.locator(".vrow .pill.running")).to_have_count(0)


def test_the_palette_finds_runs_and_projects(workspace):
    workspace.keyboard.press("Control+k")
    workspace.keyboard.type("RUN 7")
    workspace.get_by_role("option", name="run 7").click()
    expect(workspace).to_have_url(re.compile("/local/vision/runs/r07$"))
    workspace.keyboard.press("Control+k")
    workspace.keyboard.type("visi")
    workspace.get_by_role("option", name="local/vision").click()
    expect(workspace).to_have_url(re.compile("/local/vision$"))


def test_only_panels_in_sight_ask(page, server, store):
    with store.run("many", "r", system=0) as run:
        run.log({f"section{number // 20}/key{number:03}": 1.0 for number in range(200)}, step=0)
    keys = set()
    page.on(
        "request",
        lambda request: keys.update(asked(request)["keys"]) if request.url.endswith("/series/draw") else None,
    )
    page.goto(f"{server.url}/local/many")
    expect(page.get_by_role("img").first).to_be_visible()
    page.wait_for_timeout(500)
    assert 0 < len(keys) < 30
    page.locator(".sections").evaluate("element => element.scrollTo(0, element.scrollHeight)")
    expect(page.get_by_role("article", name="section9/key199")).to_be_visible()
    page.wait_for_timeout(500)
    assert "section9/key199" in keys and len(keys) < 80
    assert page.locator(".panel canvas").count() < 120


def test_the_page_goes_on_when_the_server_is_back(watched, start, tmp_path):
    import runstone

    watched.expected = ["ERR_", "Failed to load resource"]
    server = start()
    with runstone.connect(server.url) as store, store.run("live", "r", system=0) as run:
        run.log({"loss": 1.0}, step=0)
    page = watched.page()
    page.goto(f"{server.url}/local/live")
    expect(page.get_by_role("img", name="loss: 1 lines")).to_be_visible()
    server.close()
    page.get_by_role("combobox", name="Filter runs").fill('name = "second"')
    page.keyboard.press("Enter")
    expect(page.get_by_text("The server does not answer").first).to_be_visible()
    server = start(port=server.options.port)
    expect(page.get_by_text("No run fits the filter")).to_be_visible()
    with runstone.connect(server.url) as store, store.run("live", "second", system=0) as run:
        run.log({"loss": 2.0}, step=0)
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(page.get_by_text("The server does not answer")).to_have_count(0)


CLIENTS = {
    "wandb": """
import wandb
with wandb.init(project="clients", name="from wandb", config={"lr": 0.1}, settings=wandb.Settings(silent=True)) as run:
    for step in range(20):
        run.log({"loss": 1 / (step + 1)})
""",
    "mlflow": """
import mlflow
mlflow.set_experiment("clients")
with mlflow.start_run(run_name="from mlflow"):
    mlflow.log_param("lr", 0.2)
    for step in range(20):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
""",
}


def test_runs_of_every_client_are_in_one_chart(page, server, tmp_path):
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "hf_" + "0" * 40,
        "MLFLOW_TRACKING_URI": server.url,
    }  # fmt: skip
    for code in CLIENTS.values():
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=tmp_path,
            check=True,
            timeout=120,
            capture_output=True,
        )
    page.goto(f"{server.url}/local/clients")
    expect(page.get_by_role("link", name="from wandb")).to_be_visible()
    expect(page.get_by_role("link", name="from mlflow")).to_be_visible()
    expect(page.get_by_role("img", name="loss: 2 lines")).to_be_visible()


def test_what_is_hostile_is_shown_as_text(page, server, store, accessible):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    with store.run(
        "hostile", "r", display_name=evil + "🦆" * 40, notes=evil * 400, tags=[evil[:60]], group=evil,
        config={evil: evil, "deep": {"a": [1, {"b": evil}]}, **{f"c{n}": n for n in range(3000)}}, system=0,
    ) as run:  # fmt: skip
        run.log({evil: 1.0, "a`b${c}": 2.0, "🦆/🦆": 3.0, "nan": float("nan"), "inf": float("inf")}, step=0)
        run.log({evil: 2.0, "🦆/🦆": -3.0, "nan": float("nan"), "inf": 1.0}, step=1)
    page.goto(f"{server.url}/local/hostile")
    expect(page.get_by_role("link", name=re.compile("🦆"))).to_be_visible()
    expect(page.get_by_role("article", name="🦆/🦆")).to_be_visible()
    expect(page.get_by_role("article", name="nan")).to_be_attached()
    assert page.locator("#app img, #app script").count() == 0
    page.wait_for_timeout(300)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
