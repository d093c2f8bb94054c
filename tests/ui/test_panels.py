"""Panels as one arranges them: moved, resized, kept at the top; points that are pinned; and what is done to all runs that match."""

import json
import re
import time
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

KEYS = ("a/one", "a/two", "a/three", "b/four")


@pytest.fixture
def workspace(page, server, store):
    for number in range(3):
        with store.run(
            "vision", f"r{number}", display_name=f"run {number}", config={"n": number}, system=0
        ) as run:
            for step in range(20):
                run.log(dict.fromkeys(KEYS, step * (number + 1.0)), step=step)
    page.set_viewport_size({"width": 1500, "height": 900})
    page.goto(f"{server.url}/local/vision")
    expect(page.get_by_role("img", name="a/one: 3 lines")).to_be_visible()
    return page


def order(page, section="a"):
    return page.locator(f"section[aria-label={section}] article").evaluate_all(
        "panels => panels.map(panel => panel.getAttribute('aria-label'))"
    )


def view(page):
    return json.loads(parse_qs(urlsplit(page.url).query).get("view", ["{}"])[0])


def chosen(page, panel, item):
    page.get_by_role("button", name=f"What to do with {panel}").click()
    page.get_by_role("button", name=item, exact=True).click()


def test_a_panel_is_dragged_to_another_place_and_back(workspace):
    assert order(workspace) == ["a/one", "a/three", "a/two"]
    head = workspace.get_by_role("article", name="a/two").get_by_role("heading")
    head.drag_to(workspace.get_by_role("article", name="a/one"))
    expect(workspace.locator("section[aria-label=a] article").first).to_have_attribute("aria-label", "a/two")
    assert order(workspace) == ["a/two", "a/one", "a/three"]
    workspace.reload()
    expect(workspace.get_by_role("img", name="a/two: 3 lines")).to_be_visible()
    assert order(workspace) == ["a/two", "a/one", "a/three"]
    # Into another section it does not go: a section is a prefix.
    workspace.get_by_role("article", name="b/four").get_by_role("heading").drag_to(
        workspace.get_by_role("article", name="a/one")
    )
    assert order(workspace) == ["a/two", "a/one", "a/three"] and order(workspace, "b") == ["b/four"]
    chosen(workspace, "a/two", "Move back")
    expect(workspace.locator("section[aria-label=a] article").first).to_have_attribute("aria-label", "a/one")
    workspace.keyboard.press("Control+z")
    expect(workspace.locator("section[aria-label=a] article").first).to_have_attribute("aria-label", "a/two")


def test_a_panel_is_resized_by_its_corner_and_by_keys(workspace):
    panel = workspace.get_by_role("article", name="a/one")
    before = panel.bounding_box()
    panel.hover()
    corner = panel.get_by_role("button", name="Size of a/one")
    place = corner.bounding_box()
    x, y = place["x"] + 8, place["y"] + 8
    workspace.mouse.move(x, y)
    workspace.mouse.down()
    workspace.mouse.move(x + before["width"] + 12, y + 100, steps=4)
    workspace.mouse.up()
    expect(panel).to_have_attribute("style", re.compile("span 2"))
    after = panel.bounding_box()
    assert after["width"] == pytest.approx(2 * before["width"] + 12, abs=2)
    assert after["height"] > before["height"] + 80
    chart = panel.get_by_role("img").bounding_box()
    assert chart["width"] > 1.8 * before["width"]
    corner.focus()
    workspace.keyboard.press("ArrowLeft")
    workspace.keyboard.press("ArrowDown")
    expect(panel).not_to_have_attribute("style", re.compile("span"))
    assert view(workspace)["sizes"]["a/one"]["wide"] == 1
    # In a window with one column a wide panel is as wide as the window.
    workspace.keyboard.press("ArrowRight")
    workspace.set_viewport_size({"width": 800, "height": 900})
    expect(panel).to_be_visible()
    assert workspace.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert panel.bounding_box()["width"] < 400
    workspace.set_viewport_size({"width": 1500, "height": 900})
    chosen(workspace, "a/one", "Usual size")
    expect(panel).not_to_have_attribute("style", re.compile("height"))
    assert "sizes" not in view(workspace)


def test_panels_are_kept_at_the_top(workspace, accessible):
    chosen(workspace, "b/four", "Keep at the top")
    expect(workspace.locator(".sections section").first).to_have_attribute("aria-label", "Pinned")
    assert order(workspace, "Pinned") == ["b/four"]
    expect(workspace.locator("section[aria-label=b]")).to_have_count(0)
    accessible(workspace)
    chosen(workspace, "b/four", "Back to its section")
    expect(workspace.locator("section[aria-label=Pinned]")).to_have_count(0)
    assert order(workspace, "b") == ["b/four"]


def test_a_point_is_pinned_with_a_note(workspace, accessible):
    panel = workspace.get_by_role("article", name="a/one")
    chart = panel.locator(".u-over")
    box = chart.bounding_box()
    chart.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(panel.locator(".tip")).to_be_visible()
    before = panel.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    workspace.keyboard.press("p")
    dialog = workspace.get_by_role("dialog", name="Pin this point")
    expect(dialog).to_contain_text("run")
    accessible(workspace)
    dialog.get_by_label("Note").fill("<b>here</b>")
    workspace.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    (pin,) = view(workspace)["pins"]["a/one"]
    assert (
        pin["text"] == "<b>here</b>"
        and pin["axis"] == "step"
        and re.match("local/vision/r[012]", pin["line"])
    )
    workspace.mouse.move(5, 5)
    expect(panel.locator(".tip")).to_have_count(0)
    workspace.wait_for_timeout(100)
    assert panel.locator("canvas").first.evaluate("canvas => canvas.toDataURL()") != before
    # The same point again: what was written can be changed, or the pin taken away.
    chart.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    workspace.keyboard.press("p")
    again = workspace.get_by_role("dialog", name="A pinned point")
    expect(again.get_by_label("Note")).to_have_value("<b>here</b>")
    again.get_by_role("button", name="Take the pin away").click()
    expect(again).to_have_count(0)
    assert "pins" not in view(workspace)


def test_all_that_match_are_tagged_and_deleted_and_taken_back(workspace, store):
    workspace.get_by_role("combobox", name="Filter runs").fill("config.n >= 1")
    workspace.keyboard.press("Enter")
    expect(workspace.get_by_text("2 runs", exact=True).first).to_be_visible()
    workspace.get_by_role("checkbox", name="Choose all runs that match").check()
    bar = workspace.get_by_role("toolbar", name="Chosen runs")
    expect(bar).to_contain_text("All 2 runs that match")
    bar.get_by_label("Tag to add").fill("good")
    bar.get_by_role("button", name="Add").click()
    expect(workspace.get_by_text("2 runs tagged good")).to_be_visible()
    tags = lambda: [sorted(store.get_run(f"vision/r{number}").tags) for number in range(3)]  # noqa: E731
    assert tags() == [[], ["good"], ["good"]]
    workspace.get_by_role("button", name="Undo", exact=True).click()
    expect(workspace.get_by_text("2 runs tagged good")).to_have_count(0)
    bar.get_by_role("button", name="Delete").click()
    dialog = workspace.get_by_role("dialog", name="Delete 2 runs?")
    expect(dialog).to_contain_text("config.n >= 1")
    dialog.get_by_role("button", name="Delete 2 runs").click()
    expect(workspace.get_by_text("No run fits the filter")).to_be_visible()
    assert store.get_run("vision/r0").tags == {} and store.get_run("vision/r2", deleted=True).deleted
    workspace.get_by_role("button", name="Undo", exact=True).click()
    expect(workspace.get_by_role("link", name="run 2")).to_be_visible()
    assert tags() == [[], [], []]


def test_some_are_chosen_and_then_all(workspace):
    workspace.get_by_role("checkbox", name="Choose run 1").check()
    bar = workspace.get_by_role("toolbar", name="Chosen runs")
    expect(bar).to_contain_text("1 run chosen")
    bar.get_by_role("button", name="Choose all 3 that match").click()
    expect(bar).to_contain_text("All 3 runs that match")
    expect(workspace.get_by_role("checkbox", name="Choose run 0")).to_be_checked()
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_have_count(0)


def test_arrows_lead_from_panel_to_panel_in_full_screen(workspace, accessible):
    chosen(workspace, "a/one", "Full screen and settings")
    expect(
        workspace.get_by_role("dialog", name="a/one").get_by_role("img", name="a/one: 3 lines")
    ).to_be_visible()
    workspace.keyboard.press("ArrowRight")
    expect(
        workspace.get_by_role("dialog", name="a/three").get_by_role("img", name="a/three: 3 lines")
    ).to_be_visible()
    accessible(workspace)
    workspace.keyboard.press("ArrowLeft")
    workspace.keyboard.press("ArrowLeft")
    expect(workspace.get_by_role("dialog", name="b/four")).to_be_visible()
    # In its settings the arrows belong to them.
    workspace.get_by_label("Along x").focus()
    workspace.keyboard.press("ArrowRight")
    expect(workspace.get_by_role("dialog", name="b/four")).to_be_visible()
    workspace.keyboard.press("Escape")
    expect(workspace.get_by_role("dialog")).to_have_count(0)


def test_what_happened_meanwhile_is_pointed_out(page, server, store, accessible):
    store.create_run("p/told", display_name="the told one")
    logged = [(step, time.time_ns() // 1000, {"loss": 1 / (step + 1)}) for step in range(51)]
    store.log_rows("p/told", logged)
    alert = {"title": "loss is <b>odd</b>", "severity": "error"}
    post = urllib.request.Request(
        f"{server.url}/api/v1/runs/local/p/told/alerts",
        json.dumps(alert).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(post).close()
    logged = [(step, time.time_ns() // 1000, {"loss": 1 / (step + 1)}) for step in range(51, 101)]
    store.log_rows("p/told", logged)
    page.goto(f"{server.url}/local/p/runs/told/charts")
    chart = page.get_by_role("img", name="loss: 1 lines over step, 1 moments")
    expect(chart).to_be_visible()
    over = chart.locator(".u-over")
    box = over.bounding_box()
    red = """chart => {
        const canvas = chart.querySelector("canvas"), { width, height } = canvas;
        const data = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
        let found = 0;
        for (let at = 0; at < data.length; at += 4) found += data[at] > 150 && data[at + 1] < 70 && data[at + 2] < 70;
        return found;
    }"""
    page.wait_for_timeout(200)
    assert chart.evaluate(red) > 20
    over.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(page.locator(".tip")).to_contain_text("Alert loss is <b>odd</b>")
    expect(page.locator(".tip")).to_contain_text("the told one")
    over.hover(position={"x": box["width"] / 4, "y": box["height"] / 2})
    expect(page.locator(".tip")).not_to_contain_text("Alert")
    accessible(page)
