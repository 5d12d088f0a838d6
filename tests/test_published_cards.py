"""Cards of published data whose files are too large for a test: each is prepared from small files of the same form."""

import gzip
import hashlib
import json
import zipfile

import pytest

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.raw import locate_local
from bench.data.sources import reader
from bench.data.split import split
from bench.errors import DataError

PAIRS = [(user, item) for user in range(6) for item in range(6)]
"""A 5-core: six users and six items, each with each; one user and one item more are dropped by it."""


def movielens(folder, name):
    ratings = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},3.5,{1_000_000_000 + i}\n" for u, i in PAIRS)
    movies = 'movieId,title,genres\n0,"American President, The (1995)",Comedy|Drama|Romance\n'
    movies += "1,Am\u00e9lie,(no genres listed)\n"
    movies += "".join(f"{item},Film {item} (2001),Drama\n" for item in range(2, 9))  # 6 to 8 have no rating
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        archive.writestr(f"{name}/ratings.csv", ratings)
        archive.writestr(f"{name}/movies.csv", movies)
        archive.writestr(f"{name}/tags.csv", "userId,movieId,tag,timestamp\n")


def amazon(folder, category):
    rows = [*PAIRS, (7, 0), (0, 7)]
    text = "user_id,parent_asin,rating,timestamp\n"
    text += "".join(f"AE{user},B0{item},5.0,{1_600_000_000_123 + item}\n" for user, item in rows)
    metas = [
        {
            "main_category": "x", "title": f"Thing {item}", "average_rating": 4.5, "features": [], "price": None,
            "store": "Nintendo", "categories": ["Video Games", "Legacy Systems"], "parent_asin": f"B0{item}",
        }
        for item in range(8)
    ]  # fmt: skip
    (folder / f"{category}.csv.gz").write_bytes(gzip.compress(text.encode()))
    lines = "".join(json.dumps(meta) + "\n" for meta in metas)
    (folder / f"meta_{category}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


def ready(folder, name):
    for part, items in (("train", range(4)), ("test", (4, 5))):
        lines = [" ".join(map(str, (user, *items))) for user in range(6)]
        (folder / f"{name}-{part}.txt").write_text("\n".join([*lines, "6"]) + "\n")  # user 6 has no item


def steam(folder, _):
    reviews = [
        {"username": f"u{user}", "hours": 0.1, "product_id": f"{item}", "page": 1, "date": f"2017-12-1{item}",
         "text": "it's\n'ok'"}
        for user, item in [*PAIRS, (7, 0)]
    ]  # fmt: skip
    games = [{"id": f"{item}", "title": f"Game {item}", "developer": "Kotoshiro", "genres": ["Action", "Indie"],
              "tags": ["Strategy"], "price": 4.99, "early_access": False} for item in range(6)]  # fmt: skip
    for name, rows in (("reviews", reviews), ("games", games)):
        (folder / f"steam_{name}.json.gz").write_bytes(gzip.compress("".join(map(python_2, rows)).encode()))


def python_2(row):
    """A line as Python 2 wrote it: texts are u'…'."""
    written = {
        key: repr(value) if not isinstance(value, list) else f"[{', '.join(f'u{part!r}' for part in value)}]"
        for key, value in row.items()
    }
    prefix = {key: "u" if isinstance(value, str) else "" for key, value in row.items()}
    return "{" + ", ".join(f"u'{key}': {prefix[key]}{written[key]}" for key in row) + "}\n"


CARDS = {
    "ml-20m": (movielens, "ml-20m"),
    "ml-32m": (movielens, "ml-32m"),
    "games-2023": (amazon, "Video_Games"),
    "instruments-2023": (amazon, "Musical_Instruments"),
    "yelp2018": (ready, "yelp2018"),
    "gowalla": (ready, "gowalla"),
    "steam": (steam, ""),
}
TEXTS = {
    "ml-20m": "Movie: American President, The. Genres: Comedy, Drama, Romance.",
    "games-2023": "title Thing 0 brand Nintendo categories Video Games, Legacy Systems",
    "steam": "title Game 0 developer Kotoshiro genres Action, Indie tags Strategy",
}


@pytest.mark.parametrize("name", CARDS)
def test_card_reads_files_of_its_form(tmp_path, name, new_cache):
    write, what = CARDS[name]
    write(tmp_path, what)
    data = prepare(card(name), tmp_path)
    assert (data.n_users, data.n_items, len(data.interactions)) == (6, 6, 36)
    assert data.facts["problems"] == {}
    if name in TEXTS:
        texts = data.item_texts().set_index("id")["text"]
        assert texts[min(texts.index)] == TEXTS[name]
    found = split(data, protocol(card(name).protocol)).visible
    assert len(found.load("train")) == {"random": 24, "loo": 24, "published": 24}[card(name).protocol]
    assert len(found.load("valid")) == {"random": 6, "loo": 6, "published": 0}[card(name).protocol]


@pytest.mark.parametrize("name", CARDS)
def test_card_says_where_its_files_are(name):
    [source] = card(name).sources
    for file in source.files.values():
        assert file.url.startswith("https://")
        assert all(url.startswith("https://") and url != file.url for url in file.mirrors)
    assert locate_local(card(name), None) is None


def test_films_of_a_csv_release(tmp_path):
    movielens(tmp_path, "ml-20m")
    found = reader("movielens-csv")({"archive": tmp_path / "ml-20m.zip"})
    assert found.items.head(2).to_dict("records") == [
        {"id": "0", "title": "American President, The", "year": "1995", "genres": "Comedy, Drama, Romance"},
        {"id": "1", "title": "Amélie", "year": "", "genres": ""},
    ]
    assert found.interactions.head(1).to_dict("records") == [
        {"user": "0", "item": "0", "rating": 3.5, "time": 1_000_000_000}
    ]


@pytest.mark.parametrize(
    "ratings", ["userId,movieId,rating\n1,2,3\n", "", "userId,movieId,rating,timestamp\n1,2,3,x\n"]
)
def test_an_archive_of_another_form_is_one_line(tmp_path, ratings):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("ratings.csv", ratings)
        archive.writestr("movies.csv", "movieId,title,genres\n")
    with pytest.raises(DataError, match=r"x\.zip is no release of MovieLens \(\w+: [^\n]+\): fetch it again"):
        reader("movielens-csv")({"archive": tmp_path / "x.zip"})


def test_user_lists_keep_parts_and_count_what_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"0 5 6\n\n1\n\xff 3\n2 5\n")
    (tmp_path / "b").write_bytes(b"0 7\n")
    found = reader("user-lists")({"train": tmp_path / "a", "test": tmp_path / "b"})
    rows = found.interactions[["user", "item", "part"]].to_numpy().tolist()
    parts = [part for _, _, part in rows]
    assert [(user, item) for user, item, _ in rows] == [("0", "5"), ("0", "6"), ("2", "5"), ("0", "7")]
    assert parts[0] == parts[1] == parts[2] != parts[3]
    assert found.problems == {"lines that are no UTF-8": 1}
    (tmp_path / "b").write_text("")
    with pytest.raises(DataError, match="holds no line"):
        reader("user-lists")({"train": tmp_path / "a", "test": tmp_path / "b"})


def test_steam_lines_are_what_python_says_they_are(tmp_path):
    lines = [
        r"""{u'username': u"O'Neil", u'product_id': u'10', u'date': u'2017-12-17', u'text': u'x'}""",
        r"""{u'username': u'caf\xe9', u'product_id': u'20', u'date': u'2011-01-02', u'text': u"u'date': u'1999'"}""",
        r"""{u'product_id': u'20', u'date': u'2011-01-02'}""",
        "not a line",
    ]
    (tmp_path / "reviews").write_text("\n".join(lines) + "\n")
    (tmp_path / "games").write_text("{u'app_name': u'Half &amp; Life', u'id': u'10'}\n{u'title': u'no id'}\n")
    found = reader("steam")({"reviews": tmp_path / "reviews", "games": tmp_path / "games"})
    assert found.interactions.to_dict("records") == [
        {"user": "O'Neil", "item": "10", "time": 1_513_468_800},
        {"user": "café", "item": "20", "time": 1_293_926_400},
    ]
    assert found.items.to_dict("records") == [
        {"id": "10", "title": "Half & Life", "developer": "", "genres": "", "tags": ""}
    ]
    assert found.problems == {
        "review lines that are no Python literal with username, product_id and date": 2,
        "game lines that are no Python literal with an id": 1,
    }


def test_md5_of_a_card_is_enforced(tmp_path):
    from bench.data.catalog import File
    from bench.data.checksums import verify

    content = b"some bytes"
    right = hashlib.md5(content).hexdigest()
    (tmp_path / "x.part").write_bytes(content)
    verify(tmp_path / "x.part", File(name="x", url="https://x", md5=right), tmp_path)
    assert (tmp_path / "x.part").exists()
    with pytest.raises(DataError, match=f"x from https://x has MD5 {right}, but {'0' * 32} its card says"):
        verify(tmp_path / "x.part", File(name="x", url="https://x", md5="0" * 32), tmp_path)
    assert not (tmp_path / "x.part").exists()
