"""A real server, and a real Chromium that looks at it. Whatever a page complains of in the console fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.chromium import chromium

import runstone
from runstone.client.remote import Remote
from runstone.config import ServerOptions
from runstone.server.background import Background

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser() -> Browser:
    return chromium()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Background]]:
    """Starts servers in this process."""
    with ExitStack() as stack:

        def started(**given: Any) -> Background:
            options = {
                "data": str(tmp_path / "data"),
                "port": 0,
                "log_format": "off",
                "shutdown_seconds": 1,
                **given,
            }
            return stack.enter_context(Background(ServerOptions(**options)))

        yield started


@pytest.fixture
def server(start: Callable[..., Background]) -> Background:
    """A server in local mode."""
    return start()


@pytest.fixture
def store(server: Background) -> Iterator[Remote]:
    """The server's store, as a client has it."""
    with runstone.connect(server.url) as connected:
        yield connected


class Watched:
    """Pages of one browser context, whose complaints are kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        #: Parts of complaints that a test brings about on purpose.
        self.expected: list[str] = []

    def page(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.set_default_timeout(15_000)
        return page

    def check(self) -> None:
        unexpected = [text for text in self.complaints if not any(part in text for part in self.expected)]
        assert not unexpected, unexpected


@pytest.fixture
def watched(browser: Browser, start: Callable[..., Background]) -> Iterator[Watched]:
    # The servers outlive the pages, which would complain.
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Watched(context)
    yield found
    context.close()
    found.check()


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page()


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Asserts that axe finds nothing serious on a page."""

    def check(page: Page) -> None:
        found = Axe().run(page).response["violations"]
        grave = [
            (each["id"], [node["html"][:160] for node in each["nodes"][:4]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not grave, grave

    return check
