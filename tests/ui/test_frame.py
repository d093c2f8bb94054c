"""The frame of every page: signing in and out, the theme, the palette, the keyboard, addresses that lead nowhere, a server that goes away."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from runstone.domain import keys
from runstone.domain.context import LOCAL, Context

UI = Path(__file__).parents[2] / "src" / "runstone" / "ui"
#: A colour of the theme that a script asks for.
DRAWN = re.compile(r'"(--[a-z][a-z0-9-]*)"')


def test_an_empty_server_says_how_to_connect_each_client(page, server, accessible):
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Nothing is logged here yet")).to_be_visible()
    for tab, word in (
        ("wandb", "WANDB_BASE_URL"),
        ("mlflow", "MLFLOW_TRACKING_URI"),
        ("huggingface_hub", "HF_ENDPOINT"),
        ("runstone", "runstone.connect"),
    ):
        page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.locator(".snippet")).to_contain_text(word)
        expect(page.locator(".snippet")).to_contain_text(server.url)
    accessible(page)


@pytest.mark.parametrize("client", ["runstone", "wandb", "mlflow"])
def test_what_it_says_works_as_it_stands(page, server, client, tmp_path):
    page.goto(server.url)
    page.get_by_role("tab", name=client, exact=True).click()
    code = page.locator(".snippet pre").inner_text().replace("python -", f"{sys.executable} -")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "WANDB_SILENT": "true"}
    subprocess.run(
        ["bash", "-ec", code], env=environment, cwd=tmp_path, check=True, timeout=120, capture_output=True
    )
    page.reload()
    expect(page.get_by_role("link", name="demo").first).to_be_visible()
    expect(page.locator(".pill.finished").first).to_be_visible()


def test_signing_in_and_out(watched, start, accessible):
    server = start(auth="on")
    key = keys.create(server.store, Context(principal=LOCAL), "local", "browser").key
    watched.expected = ["401"]
    page = watched.page()
    page.goto(f"{server.url}/local")
    accessible(page)
    page.get_by_label("API key").fill("hf_" + "x" * 40)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="local")).to_be_visible()
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert key not in kept and "runstone_" not in kept
    page.reload()
    expect(page.get_by_role("heading", name="local")).to_be_visible()
    page.get_by_role("button", name="Signed in as local").click()
    page.get_by_role("menuitem").or_(page.get_by_text("Sign out")).click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_theme_is_the_systems_until_one_is_chosen(watched, server, accessible):
    page = watched.page()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    page.emulate_media(color_scheme="dark")
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    dark = page.evaluate(ground)
    accessible(page)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    page.get_by_role("button", name="Theme").click()
    page.get_by_text("Dark", exact=True).click()
    assert page.evaluate(ground) == dark
    page.reload()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    assert page.evaluate(ground) == dark


def test_what_canvases_draw_with_is_a_colour_in_both_themes(page, server):
    names = {
        name
        for path in UI.rglob("*.js")
        if "vendor" not in path.parts
        for name in DRAWN.findall(path.read_text())
    }
    assert "--surface" in names
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    seen = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        seen.append(
            page.evaluate(
                "names => names.map(name => getComputedStyle(document.documentElement).getPropertyValue(name))",
                sorted(names),
            )
        )
    for name, light, dark in zip(sorted(names), *seen, strict=True):
        assert light.startswith("rgb(") and dark.startswith("rgb("), f"{name} has no @property in theme.css"
        assert light != dark, name


def test_the_palette_by_keyboard_alone(page, server):
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox")
    expect(box).to_be_focused()
    page.keyboard.type("theme dark")
    page.keyboard.press("Enter")
    expect(box).to_have_count(0)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_address_that_leads_nowhere_says_so(page, server):
    page.goto(f"{server.url}/a/b/c/d/e/f/g")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_a_namespace_that_is_not_there_is_an_error_that_names_it(watched, server):
    watched.expected = ["404"]
    page = watched.page()
    page.goto(f"{server.url}/nowhere")
    expect(page.get_by_role("alert")).to_contain_text(re.compile("nowhere"))
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_the_page_recovers_when_the_server_is_back(watched, start):
    watched.expected = ["ERR_CONNECTION_REFUSED", "Failed to load resource"]
    server = start()
    page = watched.page()
    page.goto(f"{server.url}/local")
    expect(page.get_by_role("heading", name="No project yet")).to_be_visible()
    server.close()
    page.get_by_role("link", name="runstone, home").click()
    expect(page.get_by_text("The server does not answer").first).to_be_visible()
    start(port=server.options.port)
    expect(page.get_by_role("heading", name="Nothing is logged here yet")).to_be_visible()
    expect(page.get_by_text("The server does not answer")).to_have_count(0)
