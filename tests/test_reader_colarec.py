"""The files that the authors of ColaRec released."""

import gzip
import json

import pytest

from bench.data.sources import reader
from bench.errors import BenchError

CORPUS = {
    "0": {"atom_id": 11, "cid": [3, 0, 12], "content": "title A &amp; B  brand  nan categories"},
    "1": {"atom_id": 12, "cid": [3, 0, 13], "content": ""},
}
TRAIN = "user_id,item_id,time\n5,11,100\n6,12,300\n"
VALID = "user_id,item_id\n5,12\n"
TEST = "user_id,item_id\n6,11\n"


@pytest.fixture
def read(tmp_path):
    def read(corpus=CORPUS, train=TRAIN, valid=VALID, test=TEST):
        texts = {"corpus": corpus if isinstance(corpus, str) else json.dumps(corpus), "train": train}
        paths = {}
        for role, text in {**texts, "valid": valid, "test": test}.items():
            paths[role] = tmp_path / f"{role}.gz"
            paths[role].write_bytes(gzip.compress(text.encode()))
        return reader("colarec-release")(paths)

    return read


def test_parts_texts_and_identifiers_are_as_published(read):
    found = read()
    assert found.interactions.to_dict("records") == [
        {"user": "5", "item": "11", "time": 100, "part": 0},
        {"user": "6", "item": "12", "time": 300, "part": 0},
        {"user": "5", "item": "12", "time": 300, "part": 1},
        {"user": "6", "item": "11", "time": 300, "part": 2},
    ]
    assert found.items.to_dict("records") == [
        {"id": "11", "text": "title A &amp; B  brand  nan categories", "gid": "3 0 12"},
        {"id": "12", "text": "", "gid": "3 0 13"},
    ]
    assert found.problems == {}


def test_no_content_is_an_empty_text(read):
    assert read({"0": {**CORPUS["0"], "content": None}}).items["text"].tolist() == [""]


@pytest.mark.parametrize(
    "corpus",
    ["", "{", "[]", "3", '{"0": 3}', '{"0": {}}', '{"0": {"atom_id": 1, "content": "x", "cid": ["a"]}}',
     '{"0": {"atom_id": 1, "content": "x", "cid": 3}}', '{"0": {"atom_id": 1, "content": "x", "cid": [Infinity]}}',
     '{"0": {"atom_id": 1, "content": "\\ud800", "cid": [1]}}', "[" * 100_000],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_file_that_is_no_corpus_is_an_error(read, corpus):
    with pytest.raises(BenchError, match=r"corpus\.gz"):
        read(corpus)


@pytest.mark.parametrize("row", ["5,11", ",11,5", "5,,5", "5,11,", "5,11,-1", "5,11,nan", "5,11,noon"])
def test_bad_row_is_counted(read, row):
    found = read(train=f"{TRAIN}{row}\n")
    assert len(found.interactions) == 4
    assert sum(found.problems.values()) == 1


@pytest.mark.parametrize("lost", ["train", "valid", "test"])
def test_part_without_its_columns_is_an_error(read, lost):
    with pytest.raises(BenchError, match=rf"{lost}\.gz"):
        read(**{lost: "a,b\n1,2\n"})
