"""Every command there is. Whoever folds a log imports this, since a log may hold any of them."""

from runstone.domain import (
    accounts,
    aliases,
    archiving,
    collections,
    documents,
    fields,
    gates,
    keys,
    labels,
    lineage,
    projects,
    restoring,
    versions,
)
from runstone.domain.runs import commands, logging
from runstone.domain.sweeps import commands as sweeps
from runstone.domain.webhooks import hooks

MODULES = (
    accounts, aliases, archiving, collections, commands, documents, fields, gates, hooks, keys, labels, lineage, logging, projects, restoring,
    sweeps, versions,
)  # fmt: skip
