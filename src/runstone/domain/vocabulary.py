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

MODULES = (accounts, aliases, collections, fields, keys, lineage, projects, restoring, versions)
