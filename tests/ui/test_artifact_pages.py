"""Artifacts, the registry, lineage and history, as somebody sees and uses them in a browser."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from playwright.sync_api import Page, expect
from pyarrow import parquet

from runstone.client.remote import Remote
from runstone.server.background import Background

HOSTILE = "<img src=dot.png onload=alert(1)><script>alert(2)</script>"
PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\1\2\3\0\4\5\6")),
        (b"IEND", b""),
    )
)


def make_files(folder: Path, number: int) -> Path:
    """A small model with a file of each kind that is shown."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    head = json.dumps(
        {
            "layer.weight": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]},
            "layer.bias": {"dtype": "F16", "shape": [8], "data_offsets": [128, 144]},
        }
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(144))
    (folder / "config.json").write_text(json.dumps({"layers": number}))
    (folder / "README.md").write_text(
        f"# Card {number}\n\n{HOSTILE}\n\n![plot](./dot.png) ![far](https://example.org/spy.png)\n\n[out](https://example.org/)\n"
    )
    (folder / "bad.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>")
    (folder / "dot.png").write_bytes(PNG)
    table = pyarrow.table({"n": list(range(2500)), "text": [f"row {n}" for n in range(2500)]})
    parquet.write_table(table, folder / "data" / "rows.parquet", row_group_size=1000)
    return folder


@pytest.fixture
def model(store: Remote, tmp_path: Path) -> Remote:
    """Three versions of a model with a run, a dataset and an alias that moved."""
    folder = tmp_path / "model"
    store.put("vision/letters", make_files(tmp_path / "letters", 0), type="dataset")
    store.create_run("vision/train", display_name="brisk otter")
    store.log_rows("vision/train", [(step, step, {"loss": 1 / (step + 1)}) for step in range(5)])
    for number in (1, 2, 3):
        store.put(
            "vision/net",
            make_files(folder, number),
            metadata={"accuracy": number / 10, "nested": {"lr": 0.1, "by": HOSTILE}},
            description=(folder / "README.md").read_text(),
        )
    store.link("vision/letters:v1", "used_by", "run:local/vision/train")
    store.link("run:local/vision/train", "produced", "vision/net:v2")
    store.set_alias("vision/net:v1", "prod", reason="first")
    store.set_alias("vision/net:v2", "prod", reason="better")
    return store


def test_a_project_lists_its_artifacts(
    page: Page, watched: Any, server: Background, model: Remote, accessible: Any
):
    watched.expected = ["422"]
    page.goto(f"{server.url}/local/vision/artifacts")
    row = page.get_by_role("row", name="net model")
    expect(row).to_contain_text("prod → v2")
    page.get_by_role("button", name="dataset", exact=True).click()
    expect(page.get_by_role("row", name="net model")).to_have_count(0)
    expect(page).to_have_url(f"{server.url}/local/vision/artifacts?type=dataset")
    accessible(page)
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Name", exact=True).fill("bad/name")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".toast.failed")).to_contain_text("name")
    page.get_by_label("Name", exact=True).fill("fresh")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("No version yet")).to_be_visible()
    assert model.collection("vision/fresh").type == "model"


def test_versions_are_compared_with_their_metrics(
    page: Page, server: Background, model: Remote, accessible: Any
):
    page.goto(f"{server.url}/local/vision/artifacts/net")
    row = page.get_by_role("row", name="Compare v2")
    expect(row).to_contain_text("0.2")
    expect(row.get_by_role("link", name="brisk otter")).to_be_visible()
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("button", name="metadata.nested.by").click()
    expect(row).to_contain_text("<img")
    accessible(page)
    for number in (1, 3):
        page.get_by_label(f"Compare v{number}").check()
    page.get_by_role("link", name="Compare v1 and v3").click()
    differs = page.get_by_role("region", name="What differs")
    expect(differs.get_by_role("row", name="metadata.accuracy 0.1 0.3")).to_be_visible()
    expect(differs).not_to_contain_text("nested.lr")
    files = page.get_by_role("region", name="Files")
    expect(files.get_by_role("row", name="config.json changed")).to_be_visible()
    expect(files).not_to_contain_text("model.safetensors")
    accessible(page)


def test_files_are_shown_by_what_they_are(page: Page, server: Background, model: Remote, accessible: Any):
    base = f"{server.url}/local/vision/artifacts/net/v3/files"
    page.goto(base)
    page.get_by_role("treeitem", name="model.safetensors").click()
    preview = page.get_by_role("region", name="Preview")
    expect(preview).to_contain_text("40 parameters in 2 tensors")
    expect(preview.get_by_role("row", name="layer.weight F32 4 × 8")).to_be_visible()
    page.get_by_role("treeitem", name="rows.parquet").click()
    expect(preview).to_contain_text("2,500 rows, 2 columns")
    grid = preview.get_by_role("grid")
    for _ in range(4):
        grid.evaluate("element => { element.scrollTop = element.scrollHeight; }")
        page.wait_for_timeout(150)
    expect(grid.get_by_text("row 2499", exact=True)).to_be_visible()
    page.get_by_role("treeitem", name="dot.png").click()
    # Its header is looked at first: until then something else has its name.
    picture = preview.locator("img[alt='dot.png']")
    expect(picture).to_be_visible()
    assert picture.evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    ) == [3, 2]
    page.get_by_role("treeitem", name="config.json").click()
    expect(preview.get_by_label("Content")).to_have_text('{\n  "layers": 3\n}')
    accessible(page)


def test_what_users_wrote_runs_nothing(page: Page, server: Background, model: Remote):
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(f"{server.url}/local/vision/artifacts/net/v3")
    card = page.get_by_role("region", name="Description")
    expect(card.get_by_role("heading", name="Card 3")).to_be_visible()
    expect(card.locator("script")).to_have_count(0)
    expect(card.locator("img")).to_have_count(2)
    assert card.get_by_alt_text("plot").evaluate("image => [image.naturalWidth, image.onload]") == [3, None]
    expect(card.get_by_role("link", name="far")).to_be_visible()
    assert card.get_by_role("link", name="out").get_attribute("rel") == "noopener noreferrer nofollow"
    page.goto(f"{server.url}/local/vision/artifacts/net/v3/files?file=bad.svg")
    expect(page.get_by_text("This picture cannot be shown")).to_be_visible()
    page.goto(f"{server.url}/local/vision/artifacts/net/v3/metadata")
    expect(page.get_by_role("row", name="nested.by")).to_contain_text(HOSTILE)
    page.wait_for_timeout(200)
    assert said == []


def test_a_version_is_verified(page: Page, server: Background, model: Remote, accessible: Any):
    page.goto(f"{server.url}/local/vision/artifacts/net/prod")
    expect(page.get_by_role("heading", name="net v2")).to_be_visible()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_text("every byte is right")).to_be_visible()
    accessible(page)


def test_an_alias_is_moved_by_keyboard_and_a_lost_race_is_shown(
    page: Page, watched: Any, server: Background, model: Remote, accessible: Any
):
    watched.expected = ["412"]
    page.goto(f"{server.url}/local/vision/artifacts/net/v3")
    page.get_by_role("button", name="Move an alias here").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("prod points at v2")
    accessible(page)
    model.set_alias("vision/net:v1", "prod", reason="meanwhile")
    page.keyboard.press("Tab")
    page.keyboard.type("it is best")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog).to_contain_text("prod points at v1")
    assert model.alias("vision/net", "prod").version == 1
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    assert model.alias("vision/net", "prod").version == 3
    assert model.alias_history("vision/net", "prod")[-1].reason == "it is best"


def test_aliases_are_shown_as_of_any_step(page: Page, server: Background, model: Remote, accessible: Any):
    page.goto(f"{server.url}/local/vision/artifacts/net?tab=aliases")
    pointing = page.get_by_role("region", name="As of")
    expect(pointing.get_by_role("row", name="prod v2")).to_be_visible()
    accessible(page)
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    expect(pointing.get_by_role("row", name="prod v1")).to_be_visible()
    slider.press("ArrowLeft")
    expect(pointing).to_contain_text("There was no alias yet")
    page.get_by_role("button", name="Now").click()
    expect(pointing.get_by_role("row", name="prod v2")).to_contain_text("better")


def test_lineage_is_a_graph_that_leads_on(page: Page, server: Background, model: Remote, accessible: Any):
    page.goto(f"{server.url}/local/vision/artifacts/net/v2/lineage")
    run = page.get_by_role("link", name="run local/vision/train")
    expect(run).to_be_visible()
    expect(page.get_by_role("link", name="version local/vision/letters")).to_have_count(0)
    letters = page.get_by_role("link", name="artifact local/vision/letters:v1")
    expect(letters).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="What came of it").click()
    expect(page.get_by_text("Nothing is linked")).to_be_visible()
    page.get_by_role("button", name="Both").click()
    letters.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{server.url}/local/vision/artifacts/letters/v1/lineage")


def test_a_large_lineage_is_folded(page: Page, server: Background, model: Remote):
    for number in range(400):
        model.link("vision/net:v3", "fetched_by", f"consumer:host-{number}")
    model.link("vision/net:v2", "derived_to", "vision/net:v3")
    page.goto(f"{server.url}/local/vision/artifacts/net/v2/lineage")
    far = page.get_by_role("link", name="artifact local/vision/net:v3, unfolds")
    expect(far).to_be_visible()
    far.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("404 nodes of 404")).to_be_visible()


def test_history_is_proven_in_the_browser(page: Page, server: Background, model: Remote, accessible: Any):
    page.goto(f"{server.url}/local/vision/artifacts/net?tab=history")
    expect(page.get_by_text("made the collection")).to_be_visible()
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status").filter(has_text="proven")).to_contain_text("and the signature")
    accessible(page)


def altered(bundle: dict[str, Any], how: str) -> dict[str, Any]:
    entry = bundle["entries"][0]
    if how == "payload":
        data = bytearray(base64.b64decode(entry["payload"]))
        data[-1] ^= 1
        entry["payload"] = base64.b64encode(data).decode()
    elif how == "header":
        data = bytearray(base64.b64decode(entry["header"]))
        data[13] ^= 1
        entry["header"] = base64.b64encode(data).decode()
    elif how == "root":
        lines = entry["proof"].split("\n\n")[1].split("\n")
        entry["proof"] = entry["proof"].replace(lines[2], base64.b64encode(bytes(32)).decode())
    elif how == "path":
        lines = entry["proof"].split("\n")
        lines[2] = base64.b64encode(bytes(32)).decode()
        entry["proof"] = "\n".join(lines)
    else:
        bundle["entries"].reverse()
    return bundle


@pytest.mark.parametrize("how", ["payload", "header", "root", "path", "order"])
def test_what_was_tampered_with_is_not_proven(page: Page, server: Background, model: Remote, how: str):
    def tamper(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=altered(answer.json(), how))

    page.route("**/api/v1/proof*", tamper)
    page.goto(f"{server.url}/local/vision/artifacts/net?tab=history")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("alert")).to_contain_text("NOT proven")


def test_a_registry_and_a_withdrawn_version(page: Page, server: Background, model: Remote, tmp_path: Path):
    model.create_project("models", kind="registry", description="What is served")
    model.put("models/net", make_files(tmp_path / "model", 3))
    page.goto(server.url)
    page.get_by_role("link", name="local / models").click()
    expect(page.get_by_role("heading", name="Registry models")).to_be_visible()
    page.get_by_role("link", name="net", exact=True).click()
    page.get_by_role("link", name="v1", exact=True).click()
    usage = page.get_by_role("region", name="Use it")
    usage.get_by_label("Client").select_option("mlflow")
    expect(usage).to_contain_text("models:/net/1")
    packs = {path: path.read_bytes() for path in (tmp_path / "data" / "packs").rglob("*.pack")}
    (pack,) = (path for path, data in packs.items() if b"layer.weight" in data)
    with pack.open("r+b") as file:
        file.seek(packs[pack].find(b"layer.weight"))
        file.write(b"X")
    model.scrub()
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Withdrawn")
