"""What holds for every page: it comes back with the server, it is accessible in both themes, and the keyboard reaches all of it."""

import pytest
from playwright.sync_api import expect

import runstone
from runstone.config import ServerOptions
from runstone.server.background import Background

#: Each page, and what is on it when it is whole.
PAGES = {
    "/": ("link", "vision"),
    "/local": ("link", "vision"),
    "/-/keys": ("heading", "API keys"),
    "/-/users": ("heading", "Users"),
    "/-/teams": ("heading", "Teams"),
    "/local/vision": ("img", "loss: 2 lines over step"),
    "/local/vision/table": ("link", "brisk otter"),
    "/local/vision/compare?runs=one,two": ("columnheader", "brisk otter"),
    "/local/vision/compare?runs=one,two&show=scatter": ("heading", "Compare"),
    "/local/vision/reports": ("link", "Weekly"),
    "/local/vision/reports/weekly": ("heading", "What came of it"),
    "/local/vision/reports/weekly?edit=1": ("textbox", "Text of the report"),
    "/local/vision/artifacts": ("link", "net"),
    "/local/vision/artifacts/net": ("link", "v1"),
    "/local/vision/artifacts/net/1": ("heading", "net"),
    "/local/vision/artifacts/net/1/files": ("treeitem", "config.json"),
    "/local/vision/artifacts/net/1/metadata": ("heading", "net"),
    "/local/vision/artifacts/net/1/lineage": ("heading", "net"),
    "/local/vision/artifacts/net/1/history": ("heading", "net"),
    "/local/vision/runs/one": ("heading", "brisk otter"),
    "/local/vision/runs/one/charts": ("img", "loss: 1 lines over step"),
    "/local/vision/runs/one/logs": ("heading", "brisk otter"),
    "/local/vision/runs/one/system": ("heading", "brisk otter"),
    "/local/vision/runs/one/media": ("heading", "brisk otter"),
    "/local/vision/runs/one/files": ("button", "config.json"),
    "/local/vision/runs/one/artifacts": ("link", "net"),
}
#: Those that listen to what happens.
WATCHED = [
    path for path in PAGES if path.startswith(("/local/vision?", "/local/vision/table", "/local/vision/runs"))
]
AWAY = "The server does not answer"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store with something on every page."""
    folder = tmp_path_factory.mktemp("pages")
    files = folder / "files"
    files.mkdir()
    (files / "config.json").write_text('{"layers": 3}')
    with Background(options(folder)) as server, runstone.connect(server.url) as store:
        for name, title in (("one", "brisk otter"), ("two", "calm heron")):
            with store.run(
                "vision", name, display_name=title, config={"lr": len(title) / 100}, system=0
            ) as run:
                for step in range(4):
                    run.log({"loss": 1 / (step + 1), "system/cpu": 10.0 * step}, step=step)
                run.console("a line\n")
        store.save_run_files("vision/one", files)
        store.put("vision/net", files, metadata={"accuracy": 0.5}, description="# Card")
        store.link("run:local/vision/one", "produced", "vision/net:v1")
        store.create_document(
            "vision", "report", "weekly", {"text": "# What came of it\n\nwords\n"}, title="Weekly"
        )
    return folder


def options(folder, port=0):
    return ServerOptions(data=str(folder / "data"), port=port, log_format="off", shutdown_seconds=1)


@pytest.fixture(scope="module")
def served(data):
    with Background(options(data)) as server:
        yield server


def whole(page, path):
    role, name = PAGES[path]
    expect(page.get_by_role(role, name=name).first).to_be_visible()


def loaded(page):
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


def follow(page, path):
    """Goes to a page as its own links do."""
    page.evaluate(
        "path => { const link = document.createElement('a'); link.href = path; document.body.append(link); link.click(); link.remove(); }",
        path,
    )


@pytest.mark.parametrize("path", PAGES)
def test_a_page_gone_to_while_the_server_is_away_comes_with_it(watched, data, path):
    watched.expected = ["ERR_", "Failed to load resource", "Failed to fetch"]
    start = "/-/users" if path != "/-/users" else "/-/teams"
    with Background(options(data)) as server:
        page = watched.page()
        page.goto(f"{server.url}{start}")
        whole(page, start)
        server.close()
        follow(page, path)
        expect(page.get_by_text(AWAY).first).to_be_visible()
        with Background(options(data, server.options.port)):
            whole(page, path)
            expect(page.get_by_text(AWAY)).to_have_count(0)
            # Nothing of the failure is left, and the page asks again as usual.
            expect(page.get_by_role("alert")).to_have_count(0)
            page.goto("about:blank")


@pytest.mark.parametrize("path", WATCHED)
def test_a_page_that_is_watched_says_that_the_server_is_away_and_goes_on(watched, data, path):
    watched.expected = ["ERR_", "Failed to load resource", "Failed to fetch"]
    with Background(options(data)) as server:
        page = watched.page()
        page.goto(f"{server.url}{path}")
        whole(page, path)
        expect(page.get_by_title("Changes are shown as they happen")).to_be_visible()
        server.close()
        expect(page.get_by_text(AWAY).first).to_be_visible()
        whole(page, path)
        with Background(options(data, server.options.port)):
            expect(page.get_by_text(AWAY)).to_have_count(0)
            expect(page.get_by_title("Changes are shown as they happen")).to_be_visible()
            whole(page, path)
            page.goto("about:blank")


UNREACHED = """
() => [...document.querySelectorAll("a[href], button, input, select, textarea, [role=grid], [role=separator][tabindex]")]
  .filter(each => each.checkVisibility({ visibilityProperty: true }) && !each.disabled && each.tabIndex < 0)
  .filter(each => !each.closest("[role=listbox], [role=tablist]"))
  .map(each => each.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("path", PAGES)
def test_the_keyboard_reaches_all_of_a_page_and_axe_finds_nothing_in_either_theme(
    page, served, accessible, path
):
    page.goto(f"{served.url}{path}")
    whole(page, path)
    loaded(page)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function("theme => matchMedia(`(prefers-color-scheme: ${theme})`).matches", arg=theme)
        page.wait_for_function(
            "() => document.getAnimations().every(each => each.playState !== 'running' || each.effect.getTiming().iterations === Infinity)"
        )
        accessible(page)
    assert page.evaluate(UNREACHED) == []
    # Reports that are written begin in their text; all others begin at the top.
    page.evaluate("() => document.activeElement?.blur()")
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
              const at = document.activeElement, box = at.getBoundingClientRect();
              // A field with an icon is outlined with it.
              const styles = [at, at.closest(".filter")].filter(Boolean).map(each => getComputedStyle(each));
              const drawn = styles.some(style => style.outlineStyle !== "none" || style.boxShadow !== "none") || at.matches(".sr-only");
              const name = (at.getAttribute("aria-label") || at.textContent || at.id).slice(0, 40);
              return [`${at.tagName} ${name} ${Math.round(box.x)},${Math.round(box.y)}`, drawn];
            }"""
        )
        seen.append(place)
    assert len({where for where, _ in seen}) >= 8, seen
    hidden = [where for where, drawn in seen if not drawn and not where.startswith(("BODY", "HTML"))]
    assert not hidden, hidden
    page.keyboard.press("Control+k")
    expect(
        page.get_by_role("dialog").or_(page.get_by_role("combobox", name="Search and commands")).first
    ).to_be_visible()
    page.keyboard.press("Escape")
