"""Every command there is. Whoever folds a log imports this, since a log may hold any of them."""

from runstone.domain import (
    abandoned,
    accounts,
    aliases,
    archiving,
    artifacts,
    beside,
    cataloguing,
    collections,
    documents,
    drafts,
    fields,
    gates,
    keys,
    labels,
    lineage,
    links,
    projects,
    registries,
    restoring,
    versions,
)
from runstone.domain.automations import commands as automations
from runstone.domain.entities import commands as entities
from runstone.domain.runs import alerts, commands, inputs, logging, purging, rewinding
from runstone.domain.sweeps import commands as sweeps
from runstone.domain.traces import commands as traces
from runstone.domain.traces import judging
from runstone.domain.webhooks import hooks

MODULES = (
    abandoned, accounts, alerts, aliases, archiving, artifacts, automations, beside, cataloguing, collections, commands, documents, drafts, entities,
    fields, gates, hooks, inputs, judging, keys, labels, lineage, links, logging, projects, purging, registries, restoring, rewinding, sweeps, traces,
    versions,
)  # fmt: skip
