"""Tables that are written: made anew only where something that they are made of has changed.

With thousands of cells, what takes time is to compare all pairs of rows, user by user. So the cache keeps what each
table was made of, by the stamps of all its files, and what was shown of it. It may be removed at any time.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.errors import ResultsError
from bench.files import content_hash, packaged
from bench.runs.index import WORTHWHILE, index_file, read, stamp, write
from bench.runs.store import Store
from bench.runs.studies import FOLDER
from bench.strict import Strict


class Written(Strict):
    """A table, and those of its ablations, in files."""

    made_of: str
    """Hash of the stamps of all that it was made of."""
    texts: list[str]
    """What a terminal shows: the table, then those of ablations."""
    files: list[list[Path]]
    """As ``.md``, ``.csv`` and ``.json``, in the same order; none if the results folder takes none."""
    stamps: list[list[str]]
    """Of these files."""

    def document(self) -> dict[str, Any]:
        """The table for programs.

        Raises
        ------
        ResultsError
            If it could not be written.
        """
        if not self.files:
            raise ResultsError(
                "the results folder takes no files: give a folder of yours first, --results MINE --results …"
            )
        table, *parts = (json.loads(paths[2].read_text(encoding="utf-8")) for paths in self.files)
        return {**table, "ablations": parts} if parts else dict(table)

    @property
    def is_whole(self) -> bool:
        """Whether the files are those that were written."""
        return self.stamps == stamps(self.files)


_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What a system answers where no file may be written, while a full disk stays an error."""
_WRITTEN = TypeAdapter(dict[str, Written])


def written(store: Store, dataset: str | None = None) -> Iterator[Written]:
    """All tables, or those of a data set, in order; what is out of date is written anew."""
    cells: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for name, known in store.known().items():
        folder = store.path(name)
        files = (known.stamp, stamp(folder / "per_user.parquet"))
        cells.setdefault((known.dataset, known.fingerprint), []).append((str(folder), *files))
    file = index_file(store.root, "tables")
    before, common = read(file, _WRITTEN) or {}, _common(store)
    now = {name: before[name] for name in map("/".join, cells) if name in before}
    for key in sorted(key for key in cells if dataset in (None, key[0])):
        made_of = content_hash([common, sorted(cells[key])])
        current = now.get("/".join(key))
        if current is None or current.made_of != made_of or not current.is_whole:
            current = now["/".join(key)] = _made(store, *key, made_of)
            if sum(map(len, cells.values())) >= WORTHWHILE:
                write(file, _WRITTEN.dump_json(now).decode())
        yield current


def stamps(files: Sequence[Sequence[Path]]) -> list[list[str]]:
    """Of each file."""
    return [[stamp(path) for path in some] for some in files]


def _made(store: Store, dataset: str, fingerprint: str, made_of: str) -> Written:
    # Imported here, since they load pandas, which takes longer than all else where nothing has changed.
    from bench.report import ablations, leaderboard
    from bench.report.table import tables
    from bench.report.verdict import verdict

    [table] = tables(store.results(dataset, {fingerprint}))
    judged = verdict(table, store)
    parts = ablations.ablations(table, store)
    try:
        files = [leaderboard.write(table, store.leaderboards, judged)]
        files += [ablations.write(part, store.leaderboards) for part in parts]
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        files = []
    texts = [leaderboard.terminal(table, store, judged), *(part.text() for part in parts)]
    return Written(made_of=made_of, texts=texts, files=files, stamps=stamps(files))


def _common(store: Store) -> list[Any]:
    """What all tables are made of: this version of the project, references, studies, and where results lie."""
    package = Path(__file__).parents[1]
    code = sorted(Path(folder) / name for folder, _, names in os.walk(package) for name in names if name[-3:] == ".py")
    studies = [path for root in store.roots for path in sorted((root / FOLDER).glob("*.json"))]
    files = [*code, *map(packaged, ("references.yaml", "datasets.yaml")), *studies]
    return [[str(path), stamp(path)] for path in files] + [str(root) for root in store.roots]
