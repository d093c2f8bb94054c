"""Durable bytes: the LMDB index, the change log, packs and chunks, and what keeps them true."""
