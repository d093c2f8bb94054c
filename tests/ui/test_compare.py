"""Runs beside each other: fields, code, scatter, parallel coordinates with importance, bars and boxes."""

import json
import random

import pytest
from playwright.sync_api import expect

RUNS = 24
HOSTILE = "<img src=x onerror=alert(1)> 😀"


@pytest.fixture
def compared(server, store):
    """Runs whose loss is made of their rate and optimizer."""
    chance = random.Random(3)
    for number in range(RUNS):
        lr, optimizer = 10 ** -(1 + 3 * chance.random()), ["adam", "sgd"][number % 2]
        info = {
            "command": ["python", "train.py", f"--seed={number}"],
            "git": {"commit": f"{number:040}", "diff": f"--- a\n+++ b\n-x = 0\n+x = {number}\n"},
            "packages": {"torch": f"2.{number}", "numpy": "2.1"},
        }
        with store.run(
            "sweep",
            f"r{number:02}",
            display_name=HOSTILE if number == 7 else f"run {number}",
            config={"lr": lr, "optimizer": optimizer, "same": 5, "noise": chance.random(), HOSTILE: number},
            system=0,
        ) as run:
            run.log({"loss": lr + (0.02 if optimizer == "sgd" else 0), "acc": 1 - lr})
        store.update_run(f"sweep/r{number:02}", info=info)
    return f"{server.url}/local/sweep/compare"


def row(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


def test_chosen_runs_are_compared_from_the_table(page, server, compared, accessible):
    page.goto(f"{server.url}/local/sweep")
    page.get_by_role("checkbox", name="Choose run 3").check()
    page.get_by_role("checkbox", name="Choose run 4").check()
    page.keyboard.press("c")
    expect(page).to_have_url(f"{compared}?runs=r03%2Cr04")
    expect(page.get_by_role("link", name="Compare", exact=True)).to_have_attribute("aria-current", "page")
    expect(row(page, "optimizer").get_by_role("cell")).to_have_text(["sgd", "adam"])
    expect(row(page, "same")).to_have_count(0)
    expect(row(page, "Commit")).to_have_count(1)
    page.get_by_role("checkbox", name="All fields").check()
    expect(row(page, "same").get_by_role("cell")).to_have_text(["5", "5"])
    accessible(page)
    expect(row(page, "optimizer").get_by_role("cell").nth(1)).to_contain_class("is")
    page.get_by_role("button", name="Hold the others against run 4").click()
    expect(row(page, "optimizer").get_by_role("cell").nth(0)).to_contain_class("is")
    page.get_by_role("checkbox", name="Runs as rows").check()
    expect(page.get_by_role("columnheader", name="optimizer")).to_be_visible()
    page.get_by_label("Find a field").fill("noi")
    expect(page.get_by_role("columnheader")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("columnheader", name="optimizer")).to_be_visible()


def test_code_and_environment_are_told_as_changes(page, compared, accessible):
    page.goto(f"{compared}?runs=r01,r02&tab=code")
    expect(page.get_by_role("region", name="Packages: changes")).to_contain_text("−torch==2.1")
    expect(page.get_by_role("region", name="Packages: changes")).to_contain_text("+torch==2.2")
    expect(page.get_by_role("region", name="Packages: changes")).to_contain_text(" numpy==2.1")
    changes = page.get_by_role("region", name="Changes that were not committed: changes")
    expect(changes.locator(".in")).to_have_text(["++x = 2"])
    expect(changes.locator(".out")).to_have_text(["−+x = 1"])
    accessible(page)
    page.get_by_label("Baseline").select_option("run 2")
    expect(changes.locator(".in")).to_have_text(["++x = 1"])


def test_scatter_leads_to_a_run(page, compared, accessible):
    page.goto(f"{compared}?tab=scatter")
    page.get_by_label("Along x").select_option("config.lr")
    page.get_by_label("Along y").select_option("summary.loss")
    page.get_by_label("Colour").select_option("config.optimizer")
    expect(page.get_by_role("img", name=f"summary.loss over config.lr: {RUNS} runs")).to_be_visible()
    page.get_by_label("log x").check()
    expect(page.get_by_role("list", name="config.optimizer")).to_contain_text("sgd")
    accessible(page)
    page.locator("circle[data-run=r07]").hover()
    expect(page.locator(".tip")).to_contain_text(HOSTILE)
    page.locator("circle[data-run=r07]").click()
    expect(page).to_have_url(f"{compared.replace('compare', 'runs')}/r07")


def test_parallel_coordinates_are_ranked_and_brushed(page, compared, accessible):
    page.goto(f"{compared}?tab=parallel&target=summary.loss")
    ranking = page.get_by_role("region", name="Ranking")
    expect(ranking.get_by_role("row").nth(1)).to_contain_text("optimizer", timeout=60_000)
    expect(ranking.get_by_role("row").nth(2)).to_contain_text("lr")
    expect(ranking).not_to_contain_text("same")
    expect(page.get_by_role("img", name=f"{RUNS} of {RUNS} runs over 5 axes")).to_be_visible()
    accessible(page)
    axis = page.get_by_role("slider", name="Brush of config.optimizer")
    axis.focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("img", name=f"12 of {RUNS} runs over 5 axes")).to_be_visible()
    expect(axis).to_have_attribute("aria-valuetext", "from sgd to sgd")
    loss = page.get_by_role("slider", name="Brush of summary.loss").bounding_box()
    x = loss["x"] + loss["width"] / 2
    page.mouse.move(x, loss["y"] + loss["height"] / 2)
    page.mouse.down()
    page.mouse.move(x, loss["y"] + loss["height"] + 5, steps=4)
    page.mouse.up()
    expect(page.get_by_text("runs in the brushes")).to_be_visible()
    assert set(json.loads(page.evaluate("new URLSearchParams(location.search).get('brush')"))) == {
        "config.optimizer",
        "summary.loss",
    }
    said = page.get_by_text("runs in the brushes").inner_text()
    page.get_by_role("link", name="Open these in the workspace").click()
    expect(page.get_by_text(f"{said.split()[0]} runs", exact=True).first).to_be_visible()


def test_metrics_by_a_field_as_boxes_and_bars(page, compared, accessible):
    page.goto(f"{compared}?tab=groups&y=summary.loss&by=config.optimizer")
    expect(page.get_by_role("img", name="summary.loss by config.optimizer: 2 groups")).to_be_visible()
    page.get_by_label("Drawn as").select_option("Bars of the mean")
    expect(page.locator("g.group rect")).to_have_count(2)
    page.get_by_text("Figures").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("adam")
    accessible(page)
    page.get_by_label("Bars and boxes").locator("select").nth(1).select_option("config.lr")
    expect(page.get_by_role("img", name="summary.loss by config.lr: 6 groups")).to_be_visible()


def test_runs_that_are_gone_and_hostile_names(watched, compared):
    watched.expected = ["404"]
    page = watched.page()
    page.goto(f"{compared}?runs=r07,none,r08")
    expect(page.get_by_role("alert")).to_contain_text("Not found: none")
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    expect(row(page, HOSTILE).get_by_role("cell")).to_have_text(["7", "8+14%"])
    page.goto(f"{compared}?runs=none")
    expect(page.get_by_text("No run to compare")).to_be_visible()
