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

MODULES = (
    accounts, aliases, collections, commands, fields, keys, lineage, logging, projects, restoring, versions
)  # fmt: skip
