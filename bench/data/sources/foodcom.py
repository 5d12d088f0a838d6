"""Food.com recipes and interactions (Majumder et al., EMNLP 2019), the two RAW files of the Kaggle release."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.contract import RawData
from bench.data.sources.csv import read_csv
from bench.data.sources.rows import add_problem, no_users, normalize_text, validate_interactions


def read(files: Mapping[str, Path]) -> RawData:
    """Read roles ``interactions`` and ``recipes``. Item fields: name, tags, description, ingredients."""
    problems: dict[str, int] = {}
    table = read_csv(files["interactions"], ["user_id", "recipe_id", "date", "rating"], problems, numbers=["rating"])
    recipes = read_csv(files["recipes"], ["id", "name", "tags", "description", "ingredients"], problems)
    interactions = table.rename(columns={"user_id": "user", "recipe_id": "item", "date": "time"})
    lists = {column: _joined(recipes[column], problems) for column in ("tags", "ingredients")}
    texts = {column: recipes[column].map(normalize_text) for column in ("name", "description")}
    return RawData(
        interactions=validate_interactions(interactions, problems),
        items=pd.DataFrame({"id": recipes["id"], **texts, **lists}),
        users=no_users(),
        problems=problems,
    )


def _joined(column: pd.Series, problems: dict[str, int]) -> list[str]:
    """Python lists of texts, as texts with commas."""
    joined = []
    for text in column:
        try:
            joined.append(normalize_text(", ".join(str(part) for part in ast.literal_eval(text))) if text else "")
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            add_problem(problems, f"recipes whose {column.name} are no Python list")
            joined.append("")
    return joined
