"""The Cell Phones data as the authors of ColaRec (Wang et al., CIKM 2024) released it: split, texts and identifiers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.contract import RawData
from bench.data.sources.csv import read_csv
from bench.data.sources.files import open_text
from bench.data.sources.rows import no_users, validate_interactions
from bench.data.sources.times import SECOND
from bench.data.splits import TEST, TRAIN, VALID
from bench.errors import DataError


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``corpus``, ``train``, ``valid`` and ``test``.

    Item fields: ``text``, verbatim, and ``gid``, the published identifier as numbers with spaces. Only train has times;
    validation, then test, follow at the newest time of all.
    """
    problems: dict[str, int] = {}
    timed = read_csv(files["train"], ["user_id", "item_id", "time"], problems, numbers=["time"])
    train = validate_interactions(_named(timed, TRAIN), problems)
    newest = int(train["time"].max()) if len(train) else 0
    tables = [train]
    for role, part in (("valid", VALID), ("test", TEST)):
        table = _named(read_csv(files[role], ["user_id", "item_id"], problems), part)
        tables.append(validate_interactions(table.assign(time=newest), problems))
    interactions = pd.concat(tables, ignore_index=True)
    if "nanosecond" in interactions:
        interactions = interactions.fillna({"nanosecond": SECOND - 1}).astype({"nanosecond": "int64"})
    try:
        with open_text(files["corpus"]) as file:
            corpus = json.load(file)
        items = pd.DataFrame(
            {
                "id": [str(item["atom_id"]) for item in corpus.values()],
                "text": ["" if (text := item["content"]) is None else str(text) for item in corpus.values()],
                "gid": [" ".join(str(int(code)) for code in item["cid"]) for item in corpus.values()],
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{files['corpus']} is not the released corpus ({error}): fetch it again") from error
    return RawData(interactions, items, no_users(), problems)


def _named(table: pd.DataFrame, part: int) -> pd.DataFrame:
    return table.rename(columns={"user_id": "user", "item_id": "item"}).assign(part=part)
