"""Debian's Chromium, driven by playwright: one for a process, whose tests and benches open contexts of their own."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
from contextlib import ExitStack

from playwright.sync_api import Browser, sync_playwright

PATH = os.environ.get("RUNSTONE_TEST_CHROMIUM") or shutil.which("chromium") or "chromium"


@functools.cache
def chromium() -> Browser:
    """The browser, started by who asks first and closed when the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    playwright = stack.enter_context(sync_playwright())
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    return stack.enter_context(playwright.chromium.launch(executable_path=PATH, args=arguments))
