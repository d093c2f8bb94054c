"""What runs read and make, beside versions."""

from __future__ import annotations

from runstone.storage.tables.table import Record, state_table


class Dataset(Record, frozen=True):
    """A dataset that runs of a project say they read: named by name and digest, described in the words of whoever logged it first."""

    id: int
    project: int
    name: str
    digest: str
    created: int
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""

    @property
    def entry(self) -> int:
        """The log entry that described it: the id is that of what the entry made, and the dataset's place among them."""
        return (self.id >> 16) - 1


DATASETS = state_table(144, "datasets", "id:u64", Dataset)
DATASET_NAMES = state_table(145, "dataset_names", "project:u64 digest:text name:text", int)
RUN_DATASETS = state_table(146, "run_datasets", "run:u64 dataset:u64", dict[str, str])
DATASET_RUNS = state_table(147, "dataset_runs", "dataset:u64 run:u64", int)
RUN_MODELS = state_table(148, "run_models", "run:u64 output:u8 model:text step:u64", int)
