"""The web application in a real Chromium, on a server that is a process of its own.

Goals: first paint under 300 ms, interactive under 1 s, at most 100 kB of packed JavaScript; a project of a million runs open in 1 s; 1,000 lines of
1,000 buckets moved at 30 frames a second; 100 panels scrolled with less than 150 MB of heap; from the call of ``log`` to the pixel in 1 s.
RUNSTONE_BENCH_RUNS is the number of runs of the large project (1,000,000 for the figures), RUNSTONE_BENCH_LINES that of lines and of buckets of
each (1,000), RUNSTONE_BENCH_PANELS that of panels (100), RUNSTONE_BENCH_ROUNDS how often each thing is done (5), RUNSTONE_BENCH_LIVE how many
times a run that is watched logs (3,600: an hour at one a second, as fast as it goes). The browser shares the machine's cores with the server,
so the same browser's time for a page without anything is told beside.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.chromium import chromium

import runstone
from benches import bench_tracking
from benches.record import record
from runstone._native.points import encode_rows
from runstone.library import open_library

RUNS = int(os.environ.get("RUNSTONE_BENCH_RUNS", "300"))
LINES = int(os.environ.get("RUNSTONE_BENCH_LINES", "40"))
PANELS = int(os.environ.get("RUNSTONE_BENCH_PANELS", "30"))
ROUNDS = int(os.environ.get("RUNSTONE_BENCH_ROUNDS", "2"))
LIVE = int(os.environ.get("RUNSTONE_BENCH_LIVE", "60"))
#: When each answer that is drawn was on the screen, in the clock that this process has too.
WATCH = """
const fetched = window.fetch;
window.drawn = [];
window.fetch = async (...given) => {
  const answer = await fetched(...given);
  const seen = () => setTimeout(() => window.drawn.push(Date.now()), 0);
  if (String(given[0]).includes("series/draw")) requestAnimationFrame(() => requestAnimationFrame(seen));
  return answer;
};
"""
FRAMES = """
() => new Promise(done => {
  const times = [];
  const next = now => { times.push(now); if (window.moving) requestAnimationFrame(next); else done(times); };
  window.moving = true;
  requestAnimationFrame(next);
})
"""


@pytest.fixture(scope="module")
def browser() -> Browser:
    return chromium()


@contextlib.contextmanager
def served(data: Path) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "runstone.server",
        "--data",
        str(data),
        "--port",
        "0",
        "--log-format",
        "off",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()


def opened(browser: Browser, **given: Any) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}, **given).new_page()
    page.set_default_timeout(120_000)
    return page


def heap(page: Page) -> float:
    """Megabytes of the heap after a collection."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return float(metrics["JSHeapUsedSize"]) / 1e6


PLAIN = "<!doctype html><html><head><title>plain</title></head><body><p>plain</p></body></html>"
#: When the first row of the table and the first chart were in the document.
NOTICE = """
new MutationObserver(() => {
  if (!window.rowAt && document.querySelector(".vrow .name-cell a")) window.rowAt = performance.now();
  if (!window.chartAt && document.querySelector(".u-over")) window.chartAt = performance.now();
}).observe(document, { childList: true, subtree: true });
"""
FAR = "(grid, share) => grid.scrollTo(0, grid.scrollHeight * share)"
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@contextlib.contextmanager
def plain() -> Iterator[str]:
    """A server of a page without anything: what this browser takes for a page at all."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PLAIN.encode())

        def log_message(self, *given: Any) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def painted(browser: Browser, url: str) -> float:
    page = opened(browser)
    page.goto(url)
    page.wait_for_function(PAINT)
    paint = page.evaluate(PAINT)
    page.context.close()
    return float(paint)


def middle(values: list[float]) -> str:
    values = sorted(values)
    return f"{values[len(values) // 2]:.0f} ms ({values[0]:.0f}-{values[-1]:.0f})"


def test_opening(browser: Browser, tmp_path: Path):
    data, _ = bench_tracking.stored(tmp_path / "data")
    figures: dict[str, list[float]] = {"floor": [], "paint": [], "row": [], "chart": [], "home": []}
    with served(data) as url, plain() as bare:
        for turn in range(ROUNDS + 1):
            figures["floor"].append(painted(browser, bare))
            page = opened(browser)
            page.add_init_script(NOTICE)
            page.goto(f"{url}/local/demo", wait_until="commit")
            page.wait_for_function("() => window.rowAt && window.chartAt")
            row, chart = page.evaluate("() => [window.rowAt, window.chartAt]")
            paint = page.evaluate(PAINT)
            loaded = "performance.getEntriesByType('resource').filter(each => /[.]js$/.test(each.name))"
            weight = page.evaluate(f"{loaded}.reduce((sum, each) => sum + each.encodedBodySize, 0)")
            requests = page.evaluate("performance.getEntriesByType('resource').length")
            page.context.close()
            if turn == 0:  # of a server that has answered nothing
                cold = (paint, row, chart)
                continue
            for name, value in (("paint", paint), ("row", row), ("chart", chart)):
                figures[name].append(value)
            figures["home"].append(painted(browser, url))
    record(
        "ui opening", size=f"{RUNS} runs of 50 fields, {ROUNDS} new browser contexts", plain_page=middle(figures["floor"]),
        first_paint=middle(figures["paint"]), first_row=middle(figures["row"]), first_chart=middle(figures["chart"]), home=middle(figures["home"]),
        cold=f"paint {cold[0]:.0f}, row {cold[1]:.0f}, chart {cold[2]:.0f} ms", javascript=f"{weight / 1000:.0f} kB", requests=requests,
    )  # fmt: skip


def test_asking_the_server(browser: Browser, tmp_path: Path):
    """From a click or a key to what it asks for on the screen, the answer's way and the drawing of it included."""
    data, _ = bench_tracking.stored(tmp_path / "data")
    rows = "() => document.querySelector('.vrow .name-cell a')?.textContent"
    figures: dict[str, list[float]] = {}

    def timed(what: str, act: Callable[[], object], seen: str, given: Any = None) -> None:
        began = time.perf_counter()
        act()
        page.wait_for_function(seen, arg=given, polling="raf")
        figures.setdefault(what, []).append((time.perf_counter() - began) * 1000)

    with served(data) as url:
        page = opened(browser)
        page.goto(f"{url}/local/demo/table")
        page.wait_for_selector(".vrow .name-cell a")
        grid, counted = (
            page.get_by_role("grid", name="Runs"),
            "() => document.querySelector('.pane-head b.num').textContent",
        )
        for turn in range(ROUNDS):
            before = page.evaluate(counted)
            box = page.get_by_role("combobox", name="Filter runs")
            box.fill(f'summary.m1 < 0.{4 + turn % 5} and config.opt = "{"abcde"[turn % 5]}"')
            changed = "before => document.querySelector('.pane-head b.num').textContent !== before && document.querySelector('.vrow .name-cell a')"
            timed("filter", lambda box=box: box.press("Enter"), changed, before)
            before = page.evaluate(counted)
            timed(
                "clear", lambda: page.get_by_role("button", name="Clear the filter").click(), changed, before
            )
            first, sort = (
                page.evaluate(rows),
                page.get_by_role(
                    "columnheader", name=("m0", "m1", "m10", "m11", "m12")[turn % 5], exact=True
                ),
            )
            other = "first => { const now = document.querySelector('.vrow .name-cell a')?.textContent; return now && now !== first; }"
            timed("sort", sort.get_by_role("button").click, other, first)
            first = page.evaluate(rows)
            timed("far_down", lambda turn=turn: grid.evaluate(FAR, 0.9 - turn / 50), other, first)
            grid.evaluate("grid => grid.scrollTo(0, 0)")
            page.get_by_role("button", name="Group").click()
            timed(
                "group",
                page.get_by_role("button", name="config.opt", exact=True).click,
                "() => document.querySelectorAll('[aria-label=Groups] tbody tr').length > 1",
            )
            page.keyboard.press("Escape")
            page.get_by_role("button", name="By opt").click()
            page.get_by_role("button", name="Do not group").click()
            page.wait_for_selector(".vrow .name-cell a")
            page.get_by_role("button", name="Columns").click()
            find = page.get_by_role("textbox", name="Find a field")
            page.wait_for_selector(".picks label")
            listed = "name => [...document.querySelectorAll('.picks label')].some(each => each.textContent.trim().startsWith(name))"
            timed(
                "find_column",
                lambda turn=turn, find=find: find.fill(f"summary.m{turn % 5}:me"),
                listed,
                f"summary.m{turn % 5}:me",
            )
            page.get_by_role("button", name="Done").click()
        page.context.close()
    record("ui asking", size=f"{RUNS} runs of 50 fields, {ROUNDS} rounds", **{name: middle(taken) for name, taken in figures.items()})  # fmt: skip


def test_moving_many_lines(browser: Browser, tmp_path: Path):
    with open_library(tmp_path / "data", map_size=8 << 30) as library:
        for number in range(LINES):
            library.create_run(f"lines/r{number:04}")
            rows = [(step, step, {"loss": number + step % 17 / 3}) for step in range(LINES)]
            library.log_batch(f"lines/r{number:04}", encode_rows(rows))
    with served(tmp_path / "data") as url:
        page = opened(browser)
        page.goto(f'{url}/local/lines?view={{"most":{LINES},"table":0,"band":false}}')
        page.get_by_role("button", name="What to do with loss").click()
        began = time.perf_counter()
        page.get_by_text("Full screen and settings").click()
        chart = page.locator(".plot.large .u-over")
        expect(chart).to_be_visible(timeout=120_000)
        page.wait_for_timeout(500)
        drawn = time.perf_counter() - began - 0.5
        box = chart.bounding_box()
        assert box is not None
        page.evaluate("() => { window.frames = (" + FRAMES + ")(); }")
        page.keyboard.down("Shift")
        page.mouse.move(box["x"] + 700, box["y"] + 200)
        page.mouse.down()
        for step in range(90):
            page.mouse.move(box["x"] + 700 - step * 4, box["y"] + 200)
        times = page.evaluate("() => { window.moving = false; return window.frames; }")
        page.mouse.up()
        page.keyboard.up("Shift")
        gaps = sorted(after - before for before, after in itertools.pairwise(times))
        page.context.close()
    record(
        "ui moving", size=f"{LINES} lines of {LINES} buckets", frames=f"{1000 * len(gaps) / sum(gaps):.0f}/s",
        longest=f"{gaps[-1]:.0f} ms", shown_after=f"{drawn * 1000:.0f} ms",
    )  # fmt: skip


def test_scrolling_many_panels(browser: Browser, tmp_path: Path):
    with open_library(tmp_path / "data") as library:
        for number in range(10):
            library.create_run(f"panels/r{number}")
            rows = [
                (step, step, {f"key{key:03}": float(step * key) for key in range(PANELS)})
                for step in range(200)
            ]
            library.log_batch(f"panels/r{number}", encode_rows(rows))
    with served(tmp_path / "data") as url:
        page = opened(browser)
        page.goto(f"{url}/local/panels")
        page.wait_for_selector(".u-over")
        before = heap(page)
        while page.get_by_role("button", name="Show ").count():
            page.get_by_role("button", name="Show ").first.click()
        box = page.locator(".sections")
        for _ in range(3):
            for place in range(0, PANELS * 150, 400):
                box.evaluate("(box, place) => box.scrollTo(0, place)", place)
                page.wait_for_timeout(40)
        page.wait_for_timeout(500)
        after, canvases = heap(page), page.locator(".panel canvas").count()
        assert page.locator(".panel").count() == PANELS
        page.context.close()
    record(
        "ui panels",
        size=f"{PANELS} panels, scrolled three times",
        heap=f"{before:.0f} -> {after:.0f} MB",
        canvases=canvases,
    )


def test_from_the_call_to_the_pixel(browser: Browser, tmp_path: Path):
    rounds = 8
    with (
        served(tmp_path / "data") as url,
        runstone.connect(url) as store,
        store.run("live", "r", system=0) as run,
    ):
        run.log({"loss": 1.0}, step=0)
        run.flush()
        page = opened(browser)
        page.add_init_script(WATCH)
        page.goto(f"{url}/local/live")
        page.wait_for_selector(".u-over")
        page.wait_for_timeout(1500)
        taken = []
        for step in range(1, rounds + 1):
            seen = page.evaluate("window.drawn.length")
            before = time.time() * 1000
            run.log({"loss": 1.0 / step}, step=step)
            page.wait_for_function("seen => window.drawn.length > seen", arg=seen)
            taken.append(page.evaluate("seen => window.drawn[seen]", seen) - before)
            page.wait_for_timeout(700)
        page.context.close()
    taken.sort()
    record(
        "ui live",
        size=f"{rounds} calls of log",
        median=f"{taken[len(taken) // 2]:.0f} ms",
        longest=f"{taken[-1]:.0f} ms",
    )


def test_watching_a_run_for_an_hour(browser: Browser, tmp_path: Path):
    """As many points and events as an hour of a run that logs ten metrics each second, in less time."""
    samples: list[float] = []
    with (
        served(tmp_path / "data") as url,
        runstone.connect(url) as store,
        store.run("hour", "r", system=0) as run,
    ):
        run.log({f"m{key}": 0.0 for key in range(10)}, step=0)
        run.flush()
        page = opened(browser)
        page.add_init_script(WATCH)
        page.goto(f"{url}/local/hour")
        page.wait_for_selector(".u-over")
        for step in range(1, LIVE + 1):
            run.log({f"m{key}": 1.0 / step + key for key in range(10)}, step=step)
            if step % 4 == 0:
                run.flush()
                time.sleep(0.1)
            if step % max(1, LIVE // 12) == 0:
                samples.append(heap(page))
        drawn = page.evaluate("window.drawn.length")
        page.context.close()
    half = len(samples) // 2
    record(
        "ui an hour", size=f"{LIVE} calls of log, 10 metrics each, as fast as they are sent", heap_first_half=f"{max(samples[:half]):.1f} MB",
        heap_second_half=f"{max(samples[half:]):.1f} MB", heap_end=f"{samples[-1]:.1f} MB", redraws=drawn,
    )  # fmt: skip
