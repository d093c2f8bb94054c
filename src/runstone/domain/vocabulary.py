"""Every command there is. Whoever folds a log imports this, since a log may hold any of them."""

from runstone.domain import (
    accounts,
    aliases,
    collections,
    fields,
    keys,
    lineage,
    projects,
    restoring,
    versions,
)
from runstone.domain.runs import commands, logging

<<<<<<< HEAD
MODULES = (accounts, aliases, collections, commands, fields, keys, lineage, logging, projects, versions)
=======
MODULES = (accounts, aliases, collections, fields, keys, lineage, projects, restoring, versions)
>>>>>>> speed
