"""Metric series: the points of a run in blocks, made from the change log in the background."""
