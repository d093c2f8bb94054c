"""Every command there is. Whoever folds a log imports this, since a log may hold any of them."""

from runstone.domain import (
    accounts,
    aliases,
    archiving,
    collections,
    documents,
    fields,
    keys,
    labels,
    lineage,
    projects,
    restoring,
    versions,
)
from runstone.domain.entities import commands as entities
from runstone.domain.runs import commands, logging
from runstone.domain.sweeps import commands as sweeps
from runstone.domain.traces import commands as traces
from runstone.domain.traces import judging
from runstone.domain.webhooks import hooks

MODULES = (
    accounts, aliases, archiving, collections, commands, documents, entities, fields, hooks, judging, keys, labels, lineage, logging, projects,
    restoring, sweeps, traces, versions,
)  # fmt: skip
