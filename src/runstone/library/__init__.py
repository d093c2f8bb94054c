"""The embedded library: a data directory opened in this process, with no server at all.

Names are ``namespace/project/collection``, with ``@alias`` or ``:v3`` for a version; without a namespace, one's own (``local``).
:class:`runstone.client.remote.Remote` has the same methods over HTTP.
"""

from runstone.library.library import Library, open_library

__all__ = ["Library", "open_library"]
