"""Runs that nobody means well with: pictures that fill the memory, keys without end, notes like books, numbers that are none."""

import os
import re
import struct
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import expect

import runstone
from runstone.domain.runs import columns

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
KEYS = int(os.environ.get("RUNSTONE_TEST_KEYS", "20000"))


def png(width, height, rows=b""):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


#: 1.6 gigapixels in 1.6 MB, and 4 pixels.
BOMB = png(40_000, 40_000, zlib.compress(bytes(40_001) * 40_000, 9)[:200_000])
GOOD = png(2, 2, zlib.compress(b"\0\0\xff\0\xff\0"))
GIF = b"GIF89a" + struct.pack("<HH", 65_000, 65_000) + bytes(16)
WEBP = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\x00\xff\xff\x00" + bytes(8)  # fmt: skip
JPEG = b"\xff\xd8\xff\xe0\x00\x04\0\0\xff\xc2\x00\x11\x08" + struct.pack(">HH", 60_000, 60_000) + bytes(12)
PICTURES = {"bomb.png": BOMB, "bomb.gif": GIF, "bomb.webp": WEBP, "bomb.jpg": JPEG}


def count_of(page, name):
    return page.evaluate(
        "name => performance.getEntriesByType('resource').filter(each => each.name.endsWith(name) && each.initiatorType === 'img').length",
        name,
    )


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_would_fill_the_memory_is_not_loaded(page, server, store, tmp_path, name):
    folder = tmp_path / "files"
    folder.mkdir()
    for each, content in {**PICTURES, "good.png": GOOD}.items():
        (folder / each).write_bytes(content)
    store.create_run("bombs/r")
    store.save_run_files("bombs/r", folder)
    page.goto(f"{server.url}/local/bombs/runs/r/files?file={name}")
    expect(page.get_by_text(re.compile(r"This picture has [\d,]+ × [\d,]+ pixels"))).to_be_visible()
    assert page.locator("img").count() == 0 and count_of(page, name) == 0
    page.get_by_role("button", name="good.png").click()
    expect(page.get_by_role("img", name="good.png")).to_be_visible()
    page.wait_for_function("() => document.querySelector('img')?.naturalWidth === 2")


def test_a_version_with_such_a_picture_and_one_that_is_none(page, server, store, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, content in {"bomb.png": BOMB, "none.png": b"no picture at all"}.items():
        (folder / name).write_bytes(content)
    store.put("bombs/pictures", folder, type="dataset")
    page.goto(f"{server.url}/local/bombs/artifacts/pictures/1/files?file=bomb.png")
    expect(page.get_by_text("40,000 × 40,000 pixels, which would take 6.4 GB")).to_be_visible()
    page.goto(f"{server.url}/local/bombs/artifacts/pictures/1/files?file=none.png")
    expect(page.get_by_text("This is no picture that is known here")).to_be_visible()
    assert page.locator("img").count() == 0


@pytest.fixture
def answers(page):
    """The sizes of what the API answered to a page, by path."""
    found = []

    def heard(asked):
        if "/api/" in asked.url and "/events/" not in asked.url:
            found.append((asked.url, asked.sizes()["responseBodySize"]))

    page.on("requestfinished", heard)
    return found


def many_keys(folder):
    """A project of KEYS distinct keys and parameters, a thousand in each run, and two that all runs have."""
    with runstone.open(folder, map_size=16 << 30) as library:
        for first in range(0, KEYS - 2, 1000):
            name, those = f"keys/r{first:07}", range(first, min(first + 1000, KEYS - 2))
            library.create_run(name, config={"lr": first / KEYS, f"option{first:07}": first})
            rows = {f"part-{number % 4000:04}/key-{number:07}": number / 7 for number in those}
            library.log_rows(
                name, [(step, step, {"loss": 1 / (1 + step), "zeta": 1.0, **rows}) for step in (0, 1)]
            )
        table = columns.tables(library.store)
        table.maintain()


def test_keys_without_end(page, answers, start, tmp_path, accessible):
    """Nothing that is asked for or drawn grows with the number of keys: RUNSTONE_TEST_KEYS says how many there are."""
    folder = Path(os.environ.get("RUNSTONE_TEST_KEYS_STORE") or tmp_path / "data")
    if not folder.exists():
        many_keys(folder)
    server = start(data=str(folder))
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/local/keys")
    expect(page.locator(".vrow .name-cell a").first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^loss: [0-9]+ lines over step"))).to_be_visible()
    # What most runs have is a column without being asked for.
    grid = page.get_by_role("grid", name="Runs")
    grid.evaluate("grid => grid.scrollTo(700, 0)")
    expect(page.get_by_role("columnheader", name="loss", exact=True)).to_be_attached()
    page.get_by_role("button", name="More sections").click()
    last = f"{KEYS - 3:07}"
    find = page.get_by_role("textbox", name="Find panels")
    find.fill(f"KEY-{last}")
    expect(page.get_by_role("article", name=f"part-{(KEYS - 3) % 4000:04}/key-{last}")).to_be_visible()
    find.fill("nothing is called so")
    expect(page.get_by_text("No panel is called that")).to_be_visible()
    find.fill("")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("textbox", name="Find a field").fill(last)
    page.get_by_text(f"summary.part-{(KEYS - 3) % 4000:04}/key-{last}", exact=True).click()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("combobox", name="Filter runs").fill(f"key-{last}")
    expect(page.get_by_role("option", name=re.compile(f"key-{last}"))).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("exists")
    page.keyboard.press("Enter")
    expect(page.locator(".pane-head b.num").first).to_have_text("1 run")
    assert (
        page.locator(".panel").count() < 1200
        and page.evaluate("document.querySelectorAll('*').length") < 8000
    )
    assert max(size for _, size in answers) < 200_000, sorted(answers, key=lambda each: each[1])[-1]
    assert len(answers) < 100, [url for url, _ in answers]
    accessible(page)


def test_a_run_of_many_keys(page, server, store, accessible):
    with store.run("keys", "r", config={f"c{number:05}": number for number in range(7000)}, system=0) as run:
        run.log({f"k{number:05}": float(number) for number in range(7000)}, step=0)
    page.goto(f"{server.url}/local/keys")
    expect(page.get_by_role("img", name="k00000: 1 lines over step")).to_be_visible()
    assert page.locator(".panel").count() < 100
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("article", name="k00110")).to_be_attached()
    page.get_by_role("textbox", name="Find panels").fill("k06999")
    expect(page.get_by_role("img", name="k06999: 1 lines over step")).to_be_visible()
    page.get_by_role("textbox", name="Find panels").fill("")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("textbox", name="Find a field").fill("config.c069")
    page.get_by_text("config.c06998", exact=True).click()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("grid", name="Runs").evaluate("grid => grid.scrollTo(100000, 0)")
    expect(page.get_by_role("gridcell", name="6,998")).to_be_visible()
    page.goto(f"{server.url}/local/keys/runs/r")
    expect(
        page.get_by_text(f"{7000 - 300:,} more: find them by name.".replace(",", "")).first
    ).to_be_visible()
    page.get_by_role("textbox", name="Find in Config").fill("c06999")
    expect(page.get_by_role("row", name="c06999")).to_be_visible()
    accessible(page)


def test_notes_like_a_book(page, server, store):
    notes = "line 🦆\n" * 25_000 + "the end"
    with store.run("books", "r", notes=notes, system=0) as run:
        run.log({"loss": 1.0}, step=0)
    page.goto(f"{server.url}/local/books/table")
    # A row has the beginning of them, which must not be saved as the whole.
    page.get_by_role("link", name="Notes of r").click()
    expect(page.get_by_role("button", name="Edit notes")).to_be_visible()
    page.goto(f"{server.url}/local/books/runs/r")
    shown = page.locator("p.notes")
    expect(shown).to_contain_text("line 🦆")
    assert "the end" not in shown.inner_text()
    page.get_by_role("button", name=re.compile("Show all 2[0-9]{2},[0-9]{3} characters")).click()
    expect(shown).to_contain_text("the end")


def test_notes_that_are_too_long_are_refused_in_words_and_kept_in_the_field(watched, server, store):
    with store.run("books", "r", notes="short", system=0) as run:
        run.log({"loss": 1.0}, step=0)
    page = watched.page()
    watched.expected.append("the server responded with a status of")
    page.goto(f"{server.url}/local/books/runs/r")
    page.get_by_role("button", name="Edit notes").click()
    page.get_by_role("textbox", name="Notes").evaluate(
        "field => { field.value = 'word '.repeat(6e4); field.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    expect(page.get_by_text("300,000 of 262,144 bytes. Longer", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast.failed")).to_contain_text("the limit is 262144; keep longer text among")
    assert page.get_by_role("textbox", name="Notes").input_value() == "word " * 60_000
    assert store.get_run("books/r").notes == "short"


def test_numbers_that_are_none_are_a_chart_with_words(page, server, store, accessible):
    with store.run("nothing", "r", system=0) as run:
        for step in range(5):
            run.log({"nan": float("nan"), "inf": float("inf"), "loss": 1.0 * step}, step=step)
    page.goto(f"{server.url}/local/nothing")
    panel = page.get_by_role("article", name="nan", exact=True)
    expect(
        panel.get_by_text("Nothing that could be drawn: all that was logged is NaN or infinite.")
    ).to_be_visible()
    infinite = page.get_by_role("article", name="inf", exact=True)
    expect(infinite.get_by_text("Nothing that could be drawn")).to_be_visible()
    expect(page.get_by_role("img", name="loss: 1 lines")).to_be_visible()
    accessible(page)


@pytest.mark.parametrize("path", ["", "/table", "/runs/r", "/runs/r/charts", "/runs/r/logs", "/runs/r/files", "/compare?runs=r,s", "/artifacts",
                                  "/artifacts/evil", "/artifacts/evil/1/metadata", "/reports"])  # fmt: skip
def test_scripts_in_every_field_are_text_on_every_page(page, server, store, tmp_path, path):
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    for name in ("r", "s"):
        with store.run(
            "evil", name, display_name=f"{EVIL} {name}", notes=EVIL, tags=[EVIL[:60]], group=EVIL, job_type=EVIL,
            config={EVIL: EVIL + name, "deep": {EVIL: [EVIL]}}, system=0,
        ) as run:  # fmt: skip
            run.log({EVIL: 1.0}, step=0)
            run.console(f"{EVIL} \x1b[31m{EVIL}\n")
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "README.md").write_text(EVIL)
    (folder / "<img src=x onerror=alert(1)>").write_text(EVIL)
    store.save_run_files("evil/r", folder)
    store.put("evil/evil", folder, type="dataset", description=EVIL, metadata={"a": EVIL, EVIL: [EVIL]})
    store.create_document("evil", "report", "evil", {"text": EVIL}, title=EVIL)
    page.goto(f"{server.url}/local/evil{path}")
    if path in ("/artifacts", "/artifacts/evil"):
        expect(page.get_by_role("link", name="evil" if path == "/artifacts" else "v1").first).to_be_visible()
    else:
        expect(page.get_by_text("<img src=x onerror").first).to_be_attached()
    page.wait_for_load_state("networkidle") if path not in ("", "/table") else None
    assert page.locator("#app img[src=x], #app script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
