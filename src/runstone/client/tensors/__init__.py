"""Tensors of a version, as arrays over the mapped files: nothing is copied, and nothing is moved that was not asked for."""
