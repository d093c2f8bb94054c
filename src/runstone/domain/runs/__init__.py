"""Runs: what was tried, with what configuration, what came of it, and every point that was logged on the way.

``commands`` and ``logging`` hold the changes (commands and how they apply); the other modules are what callers use.
"""
