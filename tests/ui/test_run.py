"""The page of a run: what it is, its charts, log, media, files and artifacts."""

import os
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

EVIL = "<img src=x onerror=alert(1)>"
PROGRAM = """
import sys
import numpy as np
import wandb

with wandb.init(project="vision", name="with media", id="m1", config={"lr": 0.1, "nested": {"a": {"b": "deep"}}},
                settings=wandb.Settings(silent=True, console="off")) as run:
    for step in range(4):
        run.log({
            "loss": 1 / (step + 1),
            "samples": [wandb.Image(np.full((8, 8, 3), 40 * step + n, dtype=np.uint8), caption=f"picture {n} of step {step}") for n in range(3)],
            "page": wandb.Html(f"<h1>step {step}</h1><script>document.body.append(document.domain + '|' + window.origin)</script>"
                               "<script>try { parent.document.title = 'owned' } catch (e) { document.body.append('|shut out') }</script>"
                               "<script>fetch('/api/v1/whoami').then(() => document.body.append('|reached'),"
                               "() => document.body.append('|unreached'))</script>",
                               inject=False),
            "predictions": wandb.Table(columns=["id", "label", "score"], data=[[n, f"class {n % 3}", n / 10] for n in range(30)]),
            "weights": wandb.Histogram(np.arange(100) + step),
        })
"""


@pytest.fixture
def logged(server, tmp_path):
    """A run of the wandb SDK with media."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "hf_" + "0" * 40,
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=tmp_path,
        check=True,
        timeout=120,
        capture_output=True,
    )
    return f"{server.url}/local/vision/runs/m1"


def test_overview_has_config_summary_environment_and_notes(page, server, store, accessible):
    with store.run(
        "vision",
        "r1",
        display_name=f"first {EVIL}",
        config={"lr": 0.1, "opt": {"name": "adam"}},
        tags=["keep"],
        system=0,
    ) as run:
        run.log({"loss": 0.25}, step=3)
    page.goto(f"{server.url}/local/vision/runs/r1")
    expect(page.get_by_role("heading", name=f"first {EVIL}")).to_be_visible()
    expect(
        page.get_by_role("region", name="Config").or_(page.locator("section[aria-label=Config]"))
    ).to_contain_text("opt.name")
    expect(page.locator("section[aria-label=Summary]")).to_contain_text("0.25")
    expect(page.locator("section[aria-label=Environment]")).to_contain_text("Python")
    expect(page.locator("section[aria-label='How to reproduce']")).to_contain_text("pip install")
    page.get_by_role("button", name="Edit notes").click()
    page.get_by_label("Notes").fill(EVIL)
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notes")).to_have_text(EVIL)
    assert store.get_run("vision/r1").notes == EVIL
    accessible(page)


def test_charts_and_system_are_of_this_run_alone(page, server, store):
    for name in ("r1", "r2"):
        with store.run("vision", name, system=0) as run:
            run.log({"loss": 1.0, f"only/{name}": 1.0, "system/cpu": 50.0}, step=0)
    page.goto(f"{server.url}/local/vision/runs/r1/charts")
    expect(page.get_by_role("img", name="loss: 1 lines")).to_be_visible()
    expect(page.get_by_role("article", name="only/r1")).to_be_attached()
    expect(page.get_by_role("article", name="only/r2")).to_have_count(0)
    expect(page.get_by_role("article", name="system/cpu")).to_have_count(0)
    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_role("img", name="system/cpu: 1 lines over relative")).to_be_visible()


def test_a_run_of_more_keys_than_one_asks_for(page, server, store):
    with store.run("vision", "r1", system=0) as run:
        run.log({f"{section}/k{key:03}": 1.0 for section in "abcd" for key in range(300)}, step=0)
        run.log({"zeta": 2.0, "system/cpu": 50.0}, step=0)
    page.goto(f"{server.url}/local/vision/runs/r1/charts")
    expect(page.get_by_role("img", name="zeta: 1 lines")).to_be_visible()
    page.get_by_role("textbox", name="Find panels").fill("d/K299")
    expect(page.get_by_role("img", name="d/k299: 1 lines")).to_be_visible()
    page.get_by_role("textbox", name="Find panels").fill("cpu")
    expect(page.get_by_text("No panel is called that")).to_be_visible()
    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_role("img", name="system/cpu: 1 lines over relative")).to_be_visible()
    expect(page.locator(".panel")).to_have_count(1)


def test_the_log_follows_its_end_and_is_searched(page, server, store, accessible):
    store.create_run("vision/r1")

    def write(*texts):
        store.log_lines("vision/r1", [(1, "stdout", "info", text) for text in texts])

    write(*(f"line {number} \x1b[31mred\x1b[0m {EVIL}" for number in range(3000)))
    page.goto(f"{server.url}/local/vision/runs/r1/logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 2999 red <img")
    write("the last one")
    expect(log).to_contain_text("the last one")
    log.evaluate("box => box.scrollTo(0, 0)")
    expect(log).to_contain_text("line 3 red")
    write("after it")
    expect(page.get_by_text("3,002 lines")).to_be_visible()
    expect(log).not_to_contain_text("after it")
    page.get_by_role("button", name="Follow the end").click()
    expect(log).to_contain_text("after it")
    assert page.locator(".log-line").count() < 150
    page.keyboard.press("/")
    find = page.get_by_label("Find in the log")
    find.fill("line 2718 ")
    find.press("Enter")
    found = page.get_by_role("region", name="Lines that were found")
    expect(found.locator(".log-line")).to_have_count(1)
    expect(found.locator("mark")).to_have_text("line 2718 ")
    accessible(page)


def test_media_step_by_step_and_pages_in_a_frame_that_reaches_nothing(watched, logged, accessible):
    watched.expected = ["Content Security Policy", "Fetch API cannot load", "Blocked a frame", "Refused to"]
    page = watched.page()
    page.goto(f"{logged}/media")
    samples = page.locator("section[aria-label=samples]")
    expect(samples.locator("img")).to_have_count(3)
    expect(samples).to_contain_text("picture 0 of step 3")
    assert (
        samples.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    )
    frame = page.frame_locator("section[aria-label=page] iframe")
    expect(frame.locator("h1")).to_have_text("step 3")
    expect(frame.locator("body")).to_contain_text("|null|shut out")
    expect(frame.locator("body")).to_contain_text("|unreached")
    assert "owned" not in page.title()
    slider = page.get_by_role("slider")
    slider.fill("1")
    expect(samples).to_contain_text("picture 0 of step 1")
    expect(frame.locator("h1")).to_have_text("step 1")
    table = page.get_by_role("grid", name="predictions")
    expect(table).to_contain_text("class 1")
    page.get_by_label("Find in predictions").fill("class 2")
    expect(table).to_have_attribute("aria-rowcount", "11")
    expect(page.get_by_role("img", name=re.compile("Histogram from 1 to"))).to_be_visible()
    accessible(page)


def test_a_logged_page_opened_by_itself_runs_nothing(page, server, logged, store):
    path = next(file.path for file in store.run_files("vision/m1") if file.path.endswith(".html"))
    answer = page.request.get(f"{server.url}/api/v1/runs/local/vision/m1/files/{path}")
    policy = answer.headers["content-security-policy"]
    assert (
        "sandbox" in policy
        and "allow-scripts" not in policy
        and answer.headers["x-content-type-options"] == "nosniff"
    )


def test_files_are_folders_that_can_be_looked_into(page, logged, accessible):
    page.goto(f"{logged}/files")
    page.get_by_role("button", name="config.yaml").click()
    expect(page.locator("section[aria-label^='Preview of']")).to_contain_text("lr")
    page.get_by_role("button", name="media").click()
    page.get_by_role("button", name="images").click()
    expect(page.get_by_role("button", name=re.compile(r"samples_0_"))).to_have_count(3)
    accessible(page)
    with page.expect_download() as saved:
        page.get_by_role("link", name=re.compile("Download samples_0")).first.click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_versions_that_it_used_and_made(page, server, store, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w.bin").write_bytes(b"w")
    version = store.put("models/net", tmp_path / "model")
    with store.run("vision", "r1", system=0) as run:
        run.use("models/net:v1")
        run.produce(store.put("models/tuned", tmp_path / "model").name)
    page.goto(f"{server.url}/local/vision/runs/r1/artifacts")
    expect(page.locator("section[aria-label=Used]")).to_contain_text(version.name)
    expect(page.locator("section[aria-label=Made]")).to_contain_text("local/models/tuned:v1")


def test_a_run_is_renamed_deleted_and_taken_back(page, server, store):
    with store.run("vision", "r1", system=0) as run:
        run.log({"loss": 1.0}, step=0)
    page.goto(f"{server.url}/local/vision/runs/r1")
    page.get_by_role("button", name="What to do with the run").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Name").fill("a better name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="a better name")).to_be_visible()
    page.get_by_role("button", name="What to do with the run").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No run yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="a better name")).to_be_visible()


def test_a_run_that_is_not_there_is_named(watched, server, store):
    watched.expected = ["404"]
    store.create_project("local/vision")
    page = watched.page()
    page.goto(f"{server.url}/local/vision/runs/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("nowhere does not exist")
