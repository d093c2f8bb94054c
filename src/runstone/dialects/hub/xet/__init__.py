"""Xet: the protocol by which ``hf_xet`` moves large files, chunk by chunk."""

from __future__ import annotations

from runstone.dialects.hub.xet import downloads, tokens, uploads

ROUTES = (*tokens.ROUTES, *uploads.ROUTES, *downloads.ROUTES)
