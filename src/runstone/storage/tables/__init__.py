"""Every table of the index: its key layout, its value record, and whether the state hash covers it.

A stored value is ``xxh3-64(table id; key || body)`` in 8 little-endian bytes, then the body. A body is a MessagePack array of the
record's fields in order; a field may be added at the end with a default, and is never removed or reordered. ``docs/format/index.md``
has the byte tables.

*State* tables are a pure function of the change log and are covered by the state hash. *Log* tables are the log itself.
*Local* tables say where this machine keeps the bytes; they differ between replicas. *Derived* tables are made from the log in the
background, may lag behind it, and are left out when an index is rebuilt.

One module for each part of the domain; everybody imports from here, and so has all tables registered.
"""

from runstone.storage.tables.accounts import *
from runstone.storage.tables.artifacts import *
from runstone.storage.tables.blobs import *
from runstone.storage.tables.entities import *
from runstone.storage.tables.gates import *
from runstone.storage.tables.inputs import *
from runstone.storage.tables.lineage import *
from runstone.storage.tables.log import *
from runstone.storage.tables.manifests import *
from runstone.storage.tables.projects import *
from runstone.storage.tables.runs import *
from runstone.storage.tables.series import *
from runstone.storage.tables.sweeps import *
from runstone.storage.tables.table import *
from runstone.storage.tables.traces import *
from runstone.storage.tables.versions import *
from runstone.storage.tables.webhooks import *
