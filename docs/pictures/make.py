"""Makes the pictures of the README: a real server, runs that the wandb client logs, and Chromium that looks at them.

    python docs/pictures/make.py

Needs what the tests need (``pip install -e '.[test]'`` and Debian's ``chromium``).
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import runstone
from runstone.client.remote import Remote
from runstone.config import ServerOptions
from runstone.server.background import Background

HERE = Path(__file__).parent
SIZE = {"width": 1360, "height": 850}
TRAIN = """
import math, random, sys, wandb
number = int(sys.argv[1])
chance = random.Random(number)
lr, width = [0.004, 0.008, 0.012, 0.02, 0.03, 0.05][number], chance.choice([64, 128, 256])
config = {"lr": lr, "width": width, "optimizer": chance.choice(["adam", "sgd"])}
name = f"{config['optimizer']} {width} at {lr}"
with wandb.init(project="letters", name=name, config=config, notes="which width is enough?") as run:
    data = run.use_artifact("mail:latest") if number else None
    if data is None:
        data = wandb.Artifact("mail", "dataset", metadata={"rows": 12000})
        data.add_file(sys.argv[2] + "/README.md")
        run.log_artifact(data)
    for step in range(400):
        noise = chance.gauss(0, 0.02)
        loss = (0.2 + 20 * lr / width) + 2 * math.exp(-step * lr) + noise
        run.log({"train/loss": loss, "train/accuracy": 1 - loss / 2.6, "eval/loss": loss * 1.1 + 0.03,
                 "eval/f1": 0.94 - loss / 5, "system/gradient": abs(noise) * 40})
    model = wandb.Artifact("spam-filter", "model", metadata={"f1": round(0.94 - loss / 5, 4), "width": width})
    model.add_dir(sys.argv[2])
    run.log_artifact(model, aliases=["latest", "candidate"] if number == 5 else ["latest"])
"""


def model_files(folder: Path) -> Path:
    """A folder of a small encoder."""
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for layer in range(6):
        for name, shape in (("attention.query.weight", [128, 128]), ("attention.query.bias", [128])):
            size = math.prod(shape) * 4
            head[f"encoder.layer.{layer}.{name}"] = {
                "dtype": "F32",
                "shape": shape,
                "data_offsets": [at, at + size],
            }
            at += size
    packed = json.dumps(head).encode()
    folder.mkdir()
    noise = random.Random(1).randbytes(at)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(packed)) + packed + noise)
    (folder / "config.json").write_text(json.dumps({"layers": 6, "hidden": 128}))
    (folder / "README.md").write_text(
        "# Spam filter\n\nA small encoder, tuned on **12,000** letters.\n\n"
        "| split | accuracy | F1 |\n|---|---|---|\n| train | 0.98 | 0.97 |\n| eval | 0.94 | 0.91 |\n\n"
        "It reads English only, and takes newsletters for spam more often than it should.\n"
    )
    return folder


def log(server: str, folder: Path) -> None:
    """Runs of the unmodified wandb client."""
    environment = {
        **os.environ,
        "WANDB_BASE_URL": server,
        "WANDB_API_KEY": "hf_" + 40 * "0",
        "WANDB_SILENT": "true",
    }
    for number in range(6):
        (folder / "config.json").write_text(json.dumps({"layers": 6, "hidden": 128, "seed": number}))
        subprocess.run(
            [sys.executable, "-c", TRAIN, str(number), str(folder)],
            env=environment,
            cwd=folder.parent,
            check=True,
        )


def promote(store: Remote, folder: Path) -> None:
    """An alias that moves, with reasons, and a description."""
    name = "letters/spam-filter"
    for number, reason in (
        (2, "first release"),
        (4, "better on eval"),
        (3, "v4 was slow on long letters: back"),
    ):
        store.set_alias(f"{name}:v{number}", "prod", reason=reason)
    for number in range(1, 7):
        store.update_version(f"{name}:v{number}", description=(folder / "README.md").read_text())


def shoot(page: Page, server: str, path: str, name: str) -> None:
    """One picture."""
    page.goto(server + path, wait_until="networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=HERE / f"{name}.png")


def main() -> None:
    """Makes all of them."""
    root = Path(tempfile.mkdtemp())
    options = ServerOptions(data=str(root / "data"), port=0, log_format="off")
    try:
        folder = model_files(root / "model")
        with Background(options) as server, runstone.connect(server.url) as store:
            log(server.url, folder)
            promote(store, folder)
            with sync_playwright() as playwright:
                arguments = ["--no-sandbox"] if os.getuid() == 0 else []
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
                for scheme in ("light", "dark"):
                    page = browser.new_context(viewport=SIZE, color_scheme=scheme).new_page()  # type: ignore[arg-type]
                    shoot(page, server.url, "/local/letters", f"workspace-{scheme}")
                shoot(page, server.url, "/local/letters/artifacts/spam-filter/v3/lineage", "lineage-dark")
                page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
                run = store.runs("letters", limit=1).items[0]
                shoot(page, server.url, f"/local/letters/runs/{run.name}/charts", "run-light")
                shoot(page, server.url, "/local/letters/artifacts/spam-filter/v3", "version-light")
                shoot(page, server.url, "/local/letters/artifacts/spam-filter?tab=aliases", "aliases-light")
                browser.close()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
