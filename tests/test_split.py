"""The folders of a split: what a worker may see, and what it cannot find."""

import json
import stat

import numpy as np
import pytest

from bench.data.catalog import Card
from bench.data.catalog import card as find_card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS, protocol
from bench.data.sources import reader, reader_code
from bench.data.split import split
from bench.errors import DataError, PluginError, UnknownName

ROWS = [(user, item, 10 * user + item) for user in range(5) for item in range(6)]


@pytest.fixture
def data(own_card, new_cache):
    return prepare(own_card(ROWS, {item: f"thing {item}" for item in range(6)}))


def test_files_are_read_only(data):
    found = split(data, PROTOCOLS["random"])
    for folder in (found.visible.path, found.hidden.path):
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_name_of_the_test_cannot_be_derived_from_what_is_visible(data, new_cache, tmp_path, monkeypatch):
    found = split(data, PROTOCOLS["random"])
    name = found.hidden.path.name
    told = [path.name for path in (data.path, found.visible.path)] + [found.fingerprint, *found.visible.facts.values()]
    assert not any(part in str(word) for word in told for part in (name, name[:16]))
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "other"))
    other = split(data, PROTOCOLS["random"])  # the same split in another cache
    assert other.visible.path.name == found.visible.path.name
    assert other.hidden.path.name != name


def test_secret_is_for_its_owner_alone_and_made_once(data, new_cache):
    split(data, PROTOCOLS["random"])
    key = new_cache / "secret" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert len(before) == 32
    split(data, PROTOCOLS["loo"])
    assert key.read_bytes() == before
    key.write_bytes(b"short")
    with pytest.raises(DataError, match=r"secret is damaged .*: delete that folder"):
        split(data, PROTOCOLS["random"])


def test_lost_test_is_made_again(data, new_cache):
    found = split(data, PROTOCOLS["random"])
    test = found.hidden.test.items.tolist()
    for path in (*found.hidden.path.iterdir(), *(new_cache / "secret").iterdir()):
        path.unlink()
    found.hidden.path.rmdir()
    (new_cache / "secret").rmdir()
    assert split(data, PROTOCOLS["random"]).hidden.test.items.tolist() == test


@pytest.mark.parametrize("name", ["random", "loo", "temporal", "kfold:3", "random:2"])
def test_fitting_on_validation_too_makes_it_train_and_leaves_test_as_it_is(data, name):
    fold = protocol(name).folds[-1]
    plain, whole = split(data, protocol(name), fold), split(data, protocol(name, fit="train+valid"), fold)

    def pairs(part):
        return set(zip(part.users.tolist(), part.items.tolist(), strict=True))

    assert len(plain.visible.valid) > 0
    assert pairs(whole.visible.train) == pairs(plain.visible.train) | pairs(plain.visible.valid)
    assert len(whole.visible.valid) == 0
    assert pairs(whole.hidden.test) == pairs(plain.hidden.test)
    assert whole.fingerprint != plain.fingerprint


@pytest.mark.parametrize("name", ["strong", "strong:2"])
def test_fitting_on_validation_too_takes_all_of_users_that_were_there_for_validation(own_card, new_cache, name):
    data = prepare(own_card([(user, item, 10 * user + item) for user in range(30) for item in range(6)]))
    fold = protocol(name).folds[-1]
    plain, whole = split(data, protocol(name), fold), split(data, protocol(name, fit="train+valid"), fold)
    judged, tested = plain.visible.valid.lengths > 0, plain.hidden.test.lengths > 0
    assert judged.any()
    everything = data.interactions.lengths
    assert whole.visible.train.lengths[judged].tolist() == everything[judged].tolist()
    assert whole.visible.train.lengths[tested].sum() == 0
    assert whole.visible.load("known").lengths[tested].tolist() == plain.visible.load("known").lengths[tested].tolist()


def test_nothing_to_learn_from_is_one_line(own_card, new_cache):
    rows = [(f"u{user}", f"i{item}", 1 if item < 9 else 2) for user in range(9) for item in range(10)]
    with pytest.raises(DataError, match="protocol 'temporal' leaves no train interaction of 'own': choose another"):
        split(prepare(own_card(rows)), protocol("temporal"))


def test_content_tells_all_that_is_visible(own_card, new_cache):
    titles = {item: f"thing {item}" for item in range(6)}

    def content(name="random", rows=ROWS, words=titles, fold=None, **changes):
        return split(prepare(own_card(rows, words)), protocol(name, **changes), fold).visible.content

    assert content() == content()
    assert content() == content(history="train+valid", exclude="none")  # rules for test change nothing that is visible
    others = [
        content(split_seed=1),
        content(rows=[(u, i, 2 * t) for u, i, t in ROWS]),
        content(words={**titles, 3: "other"}),
        content("loo"),
        content(candidates="train"),
        *(content("kfold:3", fold=fold) for fold in range(3)),
        content("random:3", fold=2),
    ]
    assert content("random:3", fold=0) == content()
    assert len({content(), *others}) == 10


def test_content_tells_nothing_of_the_test(own_card, new_cache):
    """Two users have each other's test item: all that is visible is the same."""
    one, other = ([*ROWS, (0, first, 6), (1, second, 17)] for first, second in ((8, 9), (9, 8)))
    found = [split(prepare(own_card(rows)), PROTOCOLS["loo"]) for rows in (one, other)]
    assert not np.array_equal(found[0].hidden.test.items, found[1].hidden.test.items)
    assert found[0].visible.content == found[1].visible.content


def test_code_of_a_reader_is_its_own():
    codes = [reader_code(name) for name in ("table", "amazon-2014", "movielens-100k", "food.com")]
    assert len(set(codes)) == 4
    assert reader_code("movielens-100k") == reader_code("movielens-1m")  # one module
    with pytest.raises(UnknownName, match=r"unknown raw format 'tables': did you mean 'table'\?"):
        reader("tables")


READER = """
import pandas as pd
from bench import RawData, hookimpl
from kreader_help import SCALE

def read(files):
    rows = [line.split() for line in files["rows"].read_text().splitlines()]
    table = pd.DataFrame(rows, columns=["user", "item", "time"], dtype="str")
    nobody = pd.DataFrame({"id": pd.Series(dtype="str")})
    return RawData(table.assign(time=table["time"].astype("int64") * SCALE), nobody, nobody)

@hookimpl
def bench_source(name):
    return read if name == "blank-separated" else None
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A reader of a plugin, whose kit is a module of the same distribution."""
    site = tmp_path / "site"
    metadata = site / "kreader-1.dist-info"
    metadata.mkdir(parents=True)
    (site / "kreader.py").write_text(READER)
    (site / "kreader_help.py").write_text("SCALE = 10\n")
    (site / "kbroken.py").write_text("raise ValueError('gone')\n")
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kreader\nVersion: 1\nRequires-Dist: recsys-bench\n"
    )
    (metadata / "RECORD").write_text("kreader.py,,\nkreader_help.py,,\nkbroken.py,,\n")
    (metadata / "entry_points.txt").write_text("[bench.plugins]\na-broken = kbroken\nkreader = kreader\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def test_reader_of_a_plugin_prepares_and_its_code_is_in_the_key(plugin, new_cache, tmp_path):
    (tmp_path / "rows.txt").write_text("a x 1\na y 2\na z 3\nb x 1\n")
    source = {"reader": "blank-separated", "files": {"rows": {"name": str(tmp_path / "rows.txt")}}}
    card = Card.model_validate({"name": "mine", "title": "Mine", "sources": [source]})
    data = prepare(card)
    assert data.interactions.times.tolist() == [10, 20, 30, 10]
    (plugin / "kreader_help.py").write_text("# A comment.\nSCALE = 10\n")
    assert prepare(card).path == data.path
    (plugin / "kreader_help.py").write_text("SCALE = 100\n")
    assert prepare(card).path != data.path
    with pytest.raises(PluginError, match=r"no reader for the raw format 'other', and plugin 'a-broken' of kreader"):
        reader("other")


@pytest.mark.parametrize("name", ["../../up", "a/b", "a|b", "a,b", "a@b", "a:b", "a\nb", "", ".hidden", "a b"])
def test_name_of_a_data_set_that_is_no_file_name_is_refused(tmp_path, own_card, name):
    card = own_card(ROWS).model_dump(mode="json", exclude={"name"})
    (tmp_path / "x.yaml").write_text(json.dumps({name: card}))
    with pytest.raises(DataError, match=r"x.yaml: .*name: "):
        find_card(str(tmp_path / "x.yaml"))


@pytest.mark.parametrize("name", ["beauty", "ml-100k", "Ä.ö+ü_1", "本"])
def test_other_names_are_fine(tmp_path, own_card, name):
    card = own_card(ROWS).model_dump(mode="json", exclude={"name"})
    (tmp_path / "x.yaml").write_text(json.dumps({name: card}))
    assert find_card(str(tmp_path / "x.yaml")).name == name
