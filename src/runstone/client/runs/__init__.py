"""Logging a training run: the handle, its crash-safe journal, and the delivery of what is in it."""
