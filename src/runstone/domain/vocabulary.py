"""Every command there is. Whoever folds a log imports this, since a log may hold any of them."""

from runstone.domain import (
    accounts,
    aliases,
    archiving,
    collections,
    fields,
    keys,
    labels,
    lineage,
    projects,
    restoring,
    versions,
)
from runstone.domain.runs import commands, logging
from runstone.domain.traces import commands as trace_commands
from runstone.domain.traces import judging as trace_judging

MODULES = (
    accounts, aliases, archiving, collections, commands, fields, keys, labels, lineage, logging, projects, restoring,
    trace_commands, trace_judging, versions
)  # fmt: skip
