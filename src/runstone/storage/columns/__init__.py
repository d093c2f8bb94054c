"""A columnar table of rows that answers :mod:`runstone.query`: sealed segments scanned from the memory map, and what changed since.

``table`` is where to begin, and loads numpy; ``rows`` answers the same questions about a few rows, and does not.
"""
