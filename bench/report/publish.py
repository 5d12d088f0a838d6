"""Records that others may have: a results folder without lists, logs, models, or any path of this machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import BenchError, ResultsError, one_line, plain
from bench.files import new_file, regular, write_text
from bench.messages.cell import Result
from bench.report.files import write_files
from bench.report.row import Row
from bench.report.table import Table
from bench.report.table import tables as tables_of
from bench.runs.store import Store
from bench.runs.studies import studies_of, study_path

_METRICS = 2
"""Main metrics whose values per user are kept."""
_PLACES = ("--results", "--raw-dir")
"""Options of a command that say where something lies, not what was run."""
_FOLDERS = re.compile(r"(?:^|(?<=[=,]))/(?:[^/,]*/)*")
"""Of absolute paths, in a word or behind a comma: what stands before the last part."""
_FOLDERS_IN_TEXT = re.compile(r"(?<![\w.:/])/(?:[^/\s,'\"\\]+/)+")
"""Of absolute paths anywhere in a text, but for addresses."""


def publish(tables: Sequence[Table], store: Store, target: Store) -> list[Path]:
    """Put the records of tables into ``target``, which may hold others, and write all its tables anew.

    Of each cell, its result and the values per user of the first main metrics; of a tuned row, its study. Tables and
    comparisons made of ``target`` are those of ``store``. Returns the tables' files.

    Raises
    ------
    ResultsError
        If the values per user of a cell cannot be read, or ``target`` is ``store`` itself.
    """
    if target.root.resolve() == store.root.resolve():
        raise ResultsError(f"{target.root} is where the results are: give another --to")
    for table in tables:
        for row in table.rows:
            for result in row.results:
                _values_per_user(table, result, store, target)
            for result in (*row.results, *row.failures):
                target.write(_anywhere(result))
            _study(row, store, target)
    return [path for table in tables_of(target.results()) for path in write_files(table, target)]


def _values_per_user(table: Table, result: Result, store: Store, target: Store) -> None:
    """A smaller ``per_user.parquet``: users of the same groups stand together, so that who is in one takes no room."""
    source = store.path(result.cell_id) / "per_user.parquet"
    wanted = {f"{group}/{metric}" for group in result.groups for metric in table.main_metrics[:_METRICS]}
    try:
        with pq.ParquetFile(regular(source)) as file:
            values = file.read(["user", *(name for name in file.schema_arrow.names if name in wanted)])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ResultsError(
            f"{plain(str(source))} cannot be read ({plain(one_line(error), 200)}): run the model again, "
            "its lists are measured again without training"
        ) from error
    metrics = values.column_names[1:]
    keys = [values["user"].to_numpy(), *(values[name].is_null().to_numpy() for name in reversed(metrics))]
    values = values.take(np.lexsort(keys))
    with new_file(target.path(result.cell_id) / "per_user.parquet") as draft:
        pq.write_table(
            values,
            draft,
            compression="zstd",
            compression_level=19,
            use_dictionary=metrics,
            column_encoding={"user": "DELTA_BINARY_PACKED"},  # they rise: a dictionary of them is most of the file
        )


def _anywhere(result: Result) -> Result:
    """The result without the places of files on this machine: names of files are left, and what the cell's id is of."""
    words = shlex.split(result.command)
    left = [word for i, word in enumerate(words) if word not in _PLACES and (i == 0 or words[i - 1] not in _PLACES)]
    left = [word for word in left if not word.startswith(tuple(f"{option}=" for option in _PLACES))]
    command = shlex.join(_FOLDERS.sub("", word) for word in left)
    if (spec := result.spec) is not None:
        names = {
            "dataset": _FOLDERS.sub("", spec.dataset),
            "groups": [_FOLDERS.sub("", group) for group in spec.groups],
        }
        spec = spec.model_copy(update={"raw_dir": None, **names})
    told = result.model_dump(mode="json", include={"reason", "warnings", "facts"})
    texts = json.loads(_FOLDERS_IN_TEXT.sub("", json.dumps(told)))
    return result.model_copy(update={"command": command, "spec": spec, **texts})


def _study(row: Row, store: Store, target: Store) -> None:
    try:
        studies = studies_of(store.roots, row.cells)
    except BenchError:  # the row stays true without it, and its table does not tell of tuning
        return
    for study in studies:
        path = study_path(target.root, study.dataset, study.model, study.fingerprint, study.fold)
        write_text(path, study.model_dump_json(indent=2))
