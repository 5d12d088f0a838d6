"""MovieLens as published: a zip of tables, in latin-1 up to 1M and CSV in UTF-8 from 20M on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.contract import RawData
from bench.data.sources.files import read_members
from bench.data.sources.rows import add_problem, no_users, validate_interactions
from bench.errors import DataError, one_line

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


_AGES = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56 or older",
}  # fmt: skip

_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip

_GENDERS = {"M": "male", "F": "female"}


def read_100k(files: Mapping[str, Path]) -> RawData:
    """Read role ``archive``. Item fields: title, year, genres. User fields: gender, age, age_group,
    occupation.
    """
    data, item, user = read_members(files["archive"], ("u.data", "u.item", "u.user"))
    problems: dict[str, int] = {}
    interactions = _table(data, "\t", ["user", "item", "rating", "time"], problems)
    items = _table(item, "|", ["id", "title", "released", "video", "url", *_GENRES], problems)
    users = _table(user, "|", ["id", "age", "gender", "occupation", "zip"], problems)
    flags = items[list(_GENRES)].to_numpy() == "1"
    genres = [", ".join(genre for genre, on in zip(_GENRES, row, strict=True) if on) for row in flags]
    return RawData(
        interactions=validate_interactions(interactions, problems),
        items=films(items, genres),
        users=profiles_100k(users),
        problems=problems,
    )


def read_1m(files: Mapping[str, Path]) -> RawData:
    """Read role ``archive``. Item fields: title, year, genres. User fields: gender, age_group, occupation."""
    data, item, user = read_members(files["archive"], ("ratings.dat", "movies.dat", "users.dat"))
    problems: dict[str, int] = {}
    interactions = _table(data, "::", ["user", "item", "rating", "time"], problems)
    items = _table(item, "::", ["id", "title", "genres"], problems)
    users = _table(user, "::", ["id", "gender", "age", "occupation", "zip"], problems)
    occupations = {str(number): name for number, name in enumerate(_OCCUPATIONS)}
    return RawData(
        interactions=validate_interactions(interactions, problems),
        items=films(items, [", ".join(genres.split("|")) for genres in items["genres"]]),
        users=pd.DataFrame(
            {
                "id": users["id"],
                "gender": users["gender"].map(_GENDERS).fillna(""),
                "age_group": users["age"].map(_AGES).fillna(""),
                "occupation": users["occupation"].map(occupations).fillna(""),
            }
        ),
        problems=problems,
    )


def read_csv_release(files: Mapping[str, Path]) -> RawData:
    """Read role ``archive`` of the releases since 20M. Item fields: title, year, genres. They say nothing of users."""
    ratings, movies = read_members(files["archive"], ("ratings.csv", "movies.csv"))
    problems: dict[str, int] = {}
    interactions = _csv(ratings, {"userId": "user", "movieId": "item", "rating": "rating", "timestamp": "time"}, files)
    items = _csv(movies, {"movieId": "id", "title": "title", "genres": "genres"}, files)
    genres = ["" if text == "(no genres listed)" else ", ".join(text.split("|")) for text in items["genres"]]
    return RawData(validate_interactions(interactions, problems), films(items, genres), no_users(), problems)


def _csv(content: bytes, names: Mapping[str, str], files: Mapping[str, Path]) -> pd.DataFrame:
    """The columns ``names`` by what they are called here: ids and texts as text, ratings and times as numbers."""
    numbers = {"rating": "float64", "timestamp": "int64"}
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            usecols=list(names),
            dtype={name: numbers.get(name, "str") for name in names},
            keep_default_na=False,
        )
    except (ValueError, UnicodeDecodeError) as error:  # all that pandas raises for a file of another form
        raise DataError(f"{files['archive']} is no release of MovieLens ({one_line(error)}): fetch it again") from error
    return table.rename(columns=dict(names))


def profiles_100k(users: pd.DataFrame) -> pd.DataFrame:
    """The user fields of MovieLens 100K from its columns id, gender, age and occupation."""
    groups = _age_groups(users["age"])
    genders = users["gender"].map(_GENDERS).fillna("")
    return users.assign(gender=genders, age_group=groups)[["id", "gender", "age", "age_group", "occupation"]]


def _age_groups(ages: pd.Series) -> pd.Series:
    """Ages in years as the groups that MovieLens 1M uses."""
    bounds = [-1, *(int(bound) - 1 for bound in list(_AGES)[1:]), 200]
    groups = pd.cut(pd.to_numeric(ages, errors="coerce"), bounds, labels=list(_AGES.values()))
    return groups.astype(object).fillna("").astype("str")


def films(items: pd.DataFrame, genres: list[str]) -> pd.DataFrame:
    """The item fields from the columns id and title, such as ``Toy Story (1995)``, and from texts of genres."""
    titles = items["title"].str.extract(r"^(?P<title>.*?)(?: \((?P<year>\d{4})\))?\s*$").fillna("")
    return pd.DataFrame({"id": items["id"], "title": titles["title"], "year": titles["year"], "genres": genres})


def _table(content: bytes, separator: str, columns: list[str], problems: dict[str, int]) -> pd.DataFrame:
    lines = (line.rstrip("\r") for line in content.decode("latin-1").split("\n"))  # titles may hold other breaks
    rows = [line.split(separator) for line in lines if line]
    whole = [row for row in rows if len(row) == len(columns)]
    add_problem(problems, "rows with too few or too many fields", len(rows) - len(whole))
    return pd.DataFrame(whole, columns=columns, dtype="str")
