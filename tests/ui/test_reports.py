"""Reports: written beside their preview, with panels that live, are fixed, and are printed."""

import json
import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect

import runstone

HOSTILE = "<img src=x onerror=alert(1)> 😀"
PANEL = {"title": "How it fell", "keys": ["loss", "acc"], "runs": 3, "axis": "step"}


@pytest.fixture
def project(server, store):
    for number in range(4):
        with store.run("vision", f"r{number}", config={"depth": number}, system=0) as run:
            for step in range(6):
                run.log({"loss": 1 / (step + 1 + number), "acc": step / 6}, step=step)
    return f"{server.url}/local/vision"


def block(panel):
    return f"```panel\n{json.dumps(panel)}\n```\n"


@pytest.fixture
def report(store, project):
    text = f"# What we found\n\nIt **works**.\n\n{block(PANEL)}\nAnd so on.\n"
    store.create_document("vision", "report", "weekly", {"text": text}, title=HOSTILE)
    return f"{project}/reports/weekly"


def choose(page, item):
    page.get_by_role("button", name="What to do with the report").click()
    page.get_by_role("button", name=item).click()


def test_a_report_is_written_beside_its_preview(page, project, store, accessible):
    page.goto(f"{project}/reports")
    expect(page.get_by_text("No report yet")).to_be_visible()
    page.get_by_role("button", name="New report").click()
    page.get_by_label("Title").fill(HOSTILE)
    page.keyboard.press("Enter")
    preview = page.get_by_role("region", name="Preview")
    expect(preview.get_by_role("img", name="loss: 4 lines over step")).to_be_visible()
    box = page.get_by_label("Text of the report")
    box.fill(f"## Depth\n\n{block({'keys': ['acc'], 'filter': 'config.depth > 1'})}\n{block({'keys': 5})}")
    expect(preview.get_by_role("img", name="acc: 2 lines over step")).to_be_visible()
    expect(preview.get_by_role("alert")).to_contain_text("This panel is not understood")
    accessible(page)
    box.fill(f"## Depth\n\n{block({'y': '`loss` - acc', 'title': 'Gap'})}\n<script>alert(1)</script>")
    box.press("Control+s")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    expect(page.get_by_role("img", name="Gap: 4 lines over step")).to_be_visible()
    accessible(page)
    stored = store.documents("vision", kind="report")[0]
    assert (stored.title, stored.revision) == (HOSTILE, 2)
    page.goto(f"{project}/reports")
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", name="Depth")).to_be_visible()


def test_figures_are_fixed_and_live_again(page, report, store, accessible):
    page.goto(report)
    expect(page.get_by_role("img", name="loss: 3 lines over step")).to_be_visible()
    choose(page, "Snapshot: fix the figures")
    fixed = page.get_by_role("img", name="loss, as it was")
    expect(fixed).to_be_visible()
    assert fixed.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    accessible(page)
    spec = store.document("vision", "report", "weekly").spec
    (pictures,) = spec["pictures"].values()
    assert [picture.count("<polyline") for picture in pictures] == [3, 3]
    with store.run("vision", "later", system=0) as run:
        run.log({"loss": 9.0}, step=0)
    page.reload()
    expect(fixed).to_be_visible()
    assert store.document("vision", "report", "weekly").spec == spec
    choose(page, "Let the figures live")
    expect(page.get_by_role("img", name="loss: 3 lines over step")).to_be_visible()
    page.get_by_role("button", name="Revisions").click()
    page.get_by_role("button", name="revision 2").click()
    expect(fixed).to_be_visible()
    expect(page).to_have_url(f"{report}?revision=2")


def test_who_saves_a_report_too_late_is_asked(watched, server, report, store):
    watched.expected = ["409"]
    page = watched.page()
    page.goto(f"{report}?edit=1")
    page.get_by_label("Text of the report").fill("mine")
    with runstone.connect(server.url) as colleague:
        colleague.update_document("vision", "report", "weekly", spec={"text": "theirs"})
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="It was changed meanwhile")
    expect(dialog).to_contain_text("revision 2")
    dialog.get_by_role("button", name="Overwrite theirs").click()
    expect(page.locator(".report-body")).to_have_text("mine")
    assert store.document("vision", "report", "weekly", revision=2).spec == {"text": "theirs"}


def test_a_report_is_printed_whole(page, report, accessible):
    page.goto(report)
    page.evaluate(
        "window.print = () => { window.printed = document.querySelectorAll('.panel.fixed img').length }"
    )
    choose(page, "Print")
    page.wait_for_function("() => window.printed === 2")
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Project")).to_be_hidden()
    expect(page.get_by_role("button", name="Edit")).to_be_hidden()


def test_hostile_documents_are_text(page, project, store):
    spec = {"text": 7, "pictures": [1], "taken": "x"}
    store.create_document("vision", "report", "odd", spec, title=HOSTILE)
    text = block({"keys": ["loss"]}) + block({"keys": ["acc"], "nothing": 1}) + "```panel\n{\n```\n"
    held = {
        f"{json.dumps({'keys': ['loss']})}\n": [
            "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
        ]
    }
    store.create_document("vision", "report", "worse", {"text": text, "pictures": held, "taken": 1})
    page.goto(f"{project}/reports/odd")
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    page.goto(f"{project}/reports/worse")
    expect(page.get_by_role("alert")).to_have_count(2)
    expect(page.get_by_role("alert").first).to_contain_text('no "nothing"')
    expect(page.get_by_role("img", name="loss, as it was")).to_have_count(1)


WANDB_REPORT = """
import wandb_workspaces.reports.v2 as wr
runs = wr.Runset(entity="local", project="vision", name="deep", filters="Config('depth') >= 2")
others = wr.Runset(entity="local", project="vision", name="others")
wr.Report(entity="local", project="vision", title="<b>Weekly</b> 😀", description="words", blocks=[
    wr.TableOfContents(), wr.H1("What *came* of it"), wr.P(["see ", wr.Link("here", "https://example.org/a b")]),
    wr.UnorderedList(["first", "second"]), wr.CheckedList([wr.CheckedListItem("done", checked=True)]),
    wr.CodeBlock("print(1)", language="python"), wr.MarkdownBlock("some **bold** words"),
    wr.P("<script>alert(1)</script> [x](javascript:alert(1))"), wr.Image("https://example.org/x.png"),
    wr.PanelGrid(runsets=[runs, others], panels=[
        wr.LinePlot(x="Step", y=["loss"], title="How it fell", log_y=True), wr.MarkdownPanel("**panel words**"),
        wr.ScalarChart(metric="acc"), wr.RunComparer()]),
]).save()
"""


def test_a_report_of_wandb_workspaces_is_read_here(page, server, project, tmp_path, accessible):
    pytest.importorskip("wandb_workspaces")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "hf_" + "0" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-c", WANDB_REPORT],
        env=environment,
        cwd=tmp_path,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page.goto(f"{project}/reports")
    page.get_by_role("link", name="<b>Weekly</b> 😀").click()
    expect(page.get_by_role("heading", name="<b>Weekly</b> 😀")).to_be_visible()
    expect(page.get_by_role("heading", name="What *came* of it")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="second")).to_be_visible()
    expect(page.get_by_text("some bold words")).to_be_visible()
    expect(page.get_by_text("<script>alert(1)</script> [x](javascript:alert(1))")).to_be_visible()
    assert page.get_by_role("link", name="here").get_attribute("href") == "https://example.org/a%20b"
    expect(page.get_by_text("How it fell")).to_be_visible()
    expect(page.get_by_role("img", name="loss: 2 lines over step")).to_be_visible()
    for missing in (
        "Scalar Chart",
        "Run Comparer",
        "a picture at https://example.org/x.png",
        "1 more sets of runs: others",
    ):
        expect(page.get_by_text(missing)).to_be_visible()
    accessible(page)
    assert page.get_by_role("button", name="Edit").count() == 0


@pytest.mark.parametrize(
    "spec",
    [None, 7, [], {"blocks": 3}, {"blocks": [None, 3, {"type": 9}, {"type": "paragraph", "children": {}}]},
     {"blocks": [{"type": "panel-grid", "metadata": {"runSets": [None], "panelBankSectionConfig": {"panels": [None, {"config": None}]}}}]}],
)  # fmt: skip
def test_what_wandb_did_not_write_is_still_a_page(page, project, store, spec):
    store.create_document("vision", "wandb-report", "odd", spec, title="Odd")
    page.goto(f"{project}/reports/odd?by=wandb")
    expect(page.get_by_role("heading", name="Odd")).to_be_visible()
