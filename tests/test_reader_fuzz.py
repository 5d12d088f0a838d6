"""Whatever is in a file: a reader gives data that can be prepared, or one line of error, and never runs a thing."""

import gzip
import io
import json
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import bench
from bench.contract import RawData
from bench.data.sources import reader
from bench.errors import BenchError

EVIL = "__import__('os').system('touch {hit}')"
ROWS = [(user, item, 1_300_000_000 + user * item) for user in range(6) for item in range(4)]
COLUMNS = {"user": "user", "item": "item", "time": "time"}


def csv(head, rows):
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]).encode() + b"\n"


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def amazon():
    reviews = [{"reviewerID": f"u{u}", "asin": f"i{i}", "unixReviewTime": t, "overall": 4.0} for u, i, t in ROWS]
    metas = [{"asin": f"i{i}", "title": f"t {i}", "brand": "b", "categories": [["x", "y"]]} for i in range(4)]
    return {
        "reviews": ("r.json", "\n".join(map(json.dumps, reviews)).encode()),
        "metadata": ("m.json", "\n".join(map(repr, metas)).encode()),
    }


def foodcom():
    recipes = [(f"n{i}", i, "\"['a', 'b']\"", "good", "\"['salt']\"") for i in range(4)]
    return {
        "interactions": ("i.csv", csv("user_id,recipe_id,date,rating", [(u, i, "2011-03-04", 5) for u, i, _ in ROWS])),
        "recipes": ("r.csv", csv("name,id,tags,description,ingredients", recipes)),
    }


def colarec():
    corpus = {str(i): {"atom_id": i, "cid": [1, i], "content": "c"} for i in range(4)}
    return {
        "corpus": ("c.json", json.dumps(corpus).encode()),
        "train": ("t.csv", csv("user_id,item_id,time", ROWS[:16])),
        "valid": ("v.csv", csv("user_id,item_id", [row[:2] for row in ROWS[16:20]])),
        "test": ("e.csv", csv("user_id,item_id", [row[:2] for row in ROWS[20:]])),
    }


def movielens_100k():
    data = "".join(f"{u}\t{i}\t4\t{t}\n" for u, i, t in ROWS)
    item = "".join(f"{i}|t (1990)|||u{'|1' * 19}\n" for i in range(4))
    return {"archive": ("a.zip", zipped(u_data=data, u_item=item, u_user="1|24|M|writer|0\n"))}


def movielens_1m():
    data = "".join(f"{u}::{i}::4::{t}\n" for u, i, t in ROWS)
    item = "".join(f"{i}::t (1990)::Drama|War\n" for i in range(4))
    return {"archive": ("a.zip", zipped(ratings_dat=data, movies_dat=item, users_dat="1::M::25::3::0\n"))}


def atomic():
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    return {
        "interactions": ("i", (inter + "".join(f"{u}\t{i}\t4\t{t}\n" for u, i, t in ROWS)).encode()),
        "items": ("t", b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tx\t1990\ta b\n"),
        "users": ("u", b"user_id:token\tage:token\tgender:token\toccupation:token\n1\t24\tM\twriter\n"),
    }


def table(ending):
    users, items, times = (np.array(column) for column in zip(*ROWS, strict=True))
    content = {
        "csv": csv("user,item,time", ROWS),
        "csv.gz": gzip.compress(csv("user,item,time", ROWS), mtime=0),
        "csv.zip": zipped(i_csv=csv("user,item,time", ROWS)),
        "parquet": parquet(user=users, item=items, time=times),
        "jsonl": "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in ROWS).encode(),
        "tsv": csv("user,item,time", ROWS).replace(b",", b"\t"),
    }[ending]
    return {"interactions": (f"i.{ending}", content), "items": ("t.csv", csv("id,title", [(1, "x"), (2, "y")]))}


TABLE = {"columns": COLUMNS, "items": {"id": "id", "title": "title"}}
FORMATS = {
    "amazon-2014": (amazon(), {}),
    "food.com": (foodcom(), {}),
    "colarec-release": (colarec(), {}),
    "movielens-100k": (movielens_100k(), {}),
    "movielens-1m": (movielens_1m(), {}),
    "recbole-100k": (atomic(), {}),
    **{f"table {ending}": (table(ending), TABLE) for ending in ("csv", "csv.gz", "csv.zip", "parquet", "jsonl", "tsv")},
}
PLACES = [(name, role) for name, (files, _) in FORMATS.items() for role in files]


def read(name, contents):
    """What the reader makes of these files; it must be sound."""
    files, options = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        paths = {role: Path(folder) / file for role, (file, _) in files.items()}
        for role, path in paths.items():
            path.write_bytes(contents[role])
        try:
            found = reader(name.split()[0])(paths, **options)
        except BenchError as error:
            found = str(error)
    if isinstance(found, str):
        assert len(found.splitlines()) == 1
        return None
    assert isinstance(found, RawData)
    check(found)
    return found


def check(found):
    """As :class:`RawData` promises."""
    interactions = found.interactions
    assert pd.api.types.is_integer_dtype(interactions["time"])
    assert interactions["time"].between(0, 4e9).all()
    for column in ("user", "item"):
        assert all(isinstance(value, str) and value for value in interactions[column])
    for texts in (found.items, found.users):
        assert all(isinstance(value, str) for column in texts for value in texts[column])
        "".join(value for column in texts for value in texts[column]).encode()
    if "rating" in interactions:
        assert interactions["rating"].dtype == "float64"
        assert interactions["rating"].notna().any()
    if "nanosecond" in interactions:
        assert interactions["nanosecond"].dtype == "int64"
        assert interactions["nanosecond"].between(0, 10**9 - 1).all()
    assert all(number > 0 for number in found.problems.values())


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_this_test_are_sound(name):
    """The mutants below descend from files that a reader understands wholly."""
    found = read(name, {role: content for role, (_, content) in FORMATS[name][0].items()})
    assert len(found.interactions) == len(ROWS)
    assert found.problems == {}
    assert len(found.items)


mutations = st.lists(
    st.tuples(st.sampled_from(["cut", "put", "drop", "flip"]), st.floats(0, 1), st.binary(min_size=1, max_size=12)),
    min_size=1,
    max_size=6,
)
tokens = st.sampled_from(
    [b"\n", b"\r", b",", b'"', b"'", b"\t", b"|", b"::", b"\x00", b"\xff", b"\\", b"[", b"{", b"]", b"}", b"-", b"nan",
     b"NaN", b"None", b"null", b"1e999", b"9" * 400, b"\\ud800", b"\xed\xa0\x80", b"&amp;", b"()", b"1" * 25, b"-5"]
)  # fmt: skip


def mutated(content, changes):
    for kind, where, what in changes:
        at = int(where * len(content))
        content = {
            "cut": content[:at],
            "put": content[:at] + what + content[at:],
            "drop": content[:at] + content[at + len(what) :],
            "flip": content[:at] + bytes(b ^ 1 << what[0] % 8 for b in content[at : at + 1]) + content[at + 1 :],
        }[kind]
    return content


quiet = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def spoil(name, role, content):
    files = {other: known for other, (_, known) in FORMATS[name][0].items()}
    return read(name, {**files, role: content})


@pytest.mark.parametrize(("name", "role"), PLACES)
@quiet
@given(changes=mutations)
def test_mutants_of_sound_files(name, role, changes):
    spoil(name, role, mutated(FORMATS[name][0][role][1], changes))


@pytest.mark.parametrize(("name", "role"), PLACES)
@quiet
@given(places=st.lists(st.tuples(st.floats(0, 1), tokens), min_size=1, max_size=4))
def test_strange_words_in_sound_files(name, role, places):
    spoil(name, role, mutated(FORMATS[name][0][role][1], [("put", where, what) for where, what in places]))


@pytest.mark.parametrize(("name", "role"), PLACES)
@quiet
@given(content=st.binary(max_size=300))
@example(content=b"")
@example(content=b"\n")
@example(content=b"[" * 100_000)
@example(content=b"\xff" * 100)
@example(content=b"\x00" * 100)
@example(content=b"PK\x03\x04")
@example(content=b"PAR1PAR1")
@example(content=b"\x1f\x8b")
def test_any_bytes(name, role, content):
    spoil(name, role, content)


@pytest.mark.parametrize(("name", "role"), PLACES)
def test_code_in_a_file_is_text(name, role, tmp_path):
    """In place of every number, every word and every whole line, and of the whole file."""
    evil = EVIL.format(hit=tmp_path / "hit").encode()
    content = FORMATS[name][0][role][1]
    spans = [match.span() for match in re.finditer(rb"\[[^\]]*\]|[\w.]+|[^\n]+", content)]
    for start, end in [*spans[:60], (0, len(content))]:
        spoil(name, role, content[:start] + evil + content[end:])
    assert not (tmp_path / "hit").exists()


FORBIDDEN = re.compile(
    r"(?<![\w.])(?:eval|exec|compile)\(|pickle\.\w|import pickle|import marshal|yaml\.(?:unsafe_|full_)?load\(|"
    r"allow_pickle=True|extractall\(|shell=True|os\.system"
)


def test_core_evaluates_nothing():
    root = Path(bench.__file__).parent
    lines = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in sorted(root.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert lines == []


@pytest.mark.parametrize(
    "line", ["x = eval(text)", "exec(code)", "import pickle", "pickle.loads(b)", "yaml.load(f)", "yaml.unsafe_load(f)"]
)
def test_search_for_forbidden_words_finds_them(line):
    assert FORBIDDEN.search(line)


@pytest.mark.parametrize("line", ["ast.literal_eval(text)", "yaml.safe_load(f)", "re.compile(x)", "model.eval()"])
def test_search_for_forbidden_words_lets_others_pass(line):
    assert not FORBIDDEN.search(line)
