"""The index: one LMDB environment, opened so that what LMDB leaves to its user is taken care of.

LMDB has no checksums, so every value carries one over its key and body, checked on each read. Its map has a fixed size, so a
large one is reserved and grown when it fills. One long read transaction makes the file grow without end, so reads are
``with index.read() as view`` blocks that refuse to go on after :data:`READ_SECONDS`. After a failed page write an environment is
of no use, so it is reopened (no space) or refuses writes (I/O error).
"""

from runstone.storage.index.index import MAP_SIZE, Index
from runstone.storage.index.txn import TRANSACTION_LOST, MapGrown, Txn
from runstone.storage.index.view import View

__all__ = ["MAP_SIZE", "TRANSACTION_LOST", "Index", "MapGrown", "Txn", "View"]
