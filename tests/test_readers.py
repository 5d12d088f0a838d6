"""Readers of raw formats: what they understand, what they count as bad, and what they refuse."""

import gzip
import json
import zipfile

import pytest

from bench.data.sources import reader
from bench.errors import BenchError

GOOD = {"reviewerID": "A", "asin": "B1", "unixReviewTime": 5, "overall": 4.0}
META = {"asin": "B1", "title": " Two\n &amp; words ", "brand": "Me",
        "categories": [["X", "Y"], ["Z", "W", "Y"]]}  # fmt: skip

DATA = "1\t10\t5\t874965758\n2\t9\t3\t874965760\n1\t9\t4\t874965700\n"
ITEMS = ["10|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0",
         "9|Caf\xe9, The|||http://y|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0"]  # fmt: skip
USERS = "1|24|M|technician|85711\n2|53|F|other|94043\n"


def amazon(tmp_path, reviews=(GOOD,), metas=(META,), packed=True):
    files = {}
    for role, lines in (("reviews", reviews), ("metadata", metas)):
        form = json.dumps if role == "reviews" else repr
        text = "".join((line if isinstance(line, str) else form(line)) + "\n" for line in lines)
        files[role] = tmp_path / f"{role}.json{'.gz' if packed else ''}"
        files[role].write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return files


def movielens(path, **members):
    texts = {"u.data": DATA, "u.item": "\n".join(ITEMS) + "\n", "u.user": USERS, **members}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            if text is not None:
                archive.writestr(f"ml-100k/{name}", text.encode("latin-1"))
    return {"archive": path}


def atomic(tmp_path, inter="user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t5\t874965758.0\n"):
    texts = {
        "interactions": inter,
        "items": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n10\tToy\t1995\tA B\n",
        "users": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\tother\t85711\n",
    }
    for role, text in texts.items():
        (tmp_path / role).write_text(text)
    return {role: tmp_path / role for role in texts}


@pytest.mark.parametrize("packed", [True, False])
def test_amazon_reviews_and_metadata(tmp_path, packed):
    found = reader("amazon-2014")(amazon(tmp_path, packed=packed))
    assert found.interactions.to_dict("records") == [{"user": "A", "item": "B1", "time": 5, "rating": 4.0}]
    assert found.items.to_dict("records") == [
        {"id": "B1", "title": "Two & words", "brand": "Me", "categories": "Y W"}
    ]  # fmt: skip
    assert found.problems == {}
    assert len(found.users) == 0


@pytest.mark.parametrize(
    "bad",
    ["not json", '{"reviewerID": "A"', "[1, 2]", "3", {**GOOD, "asin": None}, {**GOOD, "reviewerID": 7},
     {**GOOD, "unixReviewTime": "never"}, {**GOOD, "unixReviewTime": None}, {**GOOD, "asin": ""}, {"asin": "B1"}],
)  # fmt: skip
def test_bad_review_line_is_counted_and_left_out(tmp_path, bad):
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, bad, "", GOOD]))
    assert len(found.interactions) == 2
    assert list(found.problems.values()) == [1]


@pytest.mark.parametrize("bad", ["{'asin': 'B1', 'title': open('/etc/passwd')}", "{'asin': 'B1'", "('asin': 'B1')"])
def test_bad_metadata_line_is_counted_and_never_executed(tmp_path, bad):
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, {**GOOD, "asin": "B2"}], [bad, {**META, "asin": "B2"}]))
    assert found.items["id"].tolist() == ["B2"]
    assert list(found.problems.values()) == [1]


def test_metadata_fields_may_be_missing_or_odd(tmp_path):
    metas = [{"asin": "B1", "title": None, "brand": 3, "categories": []}]
    found = reader("amazon-2014")(amazon(tmp_path, metas=metas))
    assert found.items.to_dict("records") == [{"id": "B1", "title": "", "brand": "", "categories": ""}]


@pytest.mark.parametrize("role", ["reviews", "metadata"])
def test_half_of_a_gzip_file_is_an_error(tmp_path, role):
    files = amazon(
        tmp_path, [{**GOOD, "asin": f"B{i}"} for i in range(500)], [{**META, "asin": f"B{i}"} for i in range(500)]
    )
    whole = files[role].read_bytes()
    files[role].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BenchError, match=rf"{role}.json.gz is cut off or damaged .*fetch it again"):
        reader("amazon-2014")(files)


def test_file_that_is_no_gzip_is_an_error(tmp_path):
    files = amazon(tmp_path)
    files["reviews"].write_text("<html>not found</html>")
    with pytest.raises(BenchError, match="holds no review: fetch it again"):
        reader("amazon-2014")(files)


def test_file_without_any_review_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="holds no review"):
        reader("amazon-2014")(amazon(tmp_path, ["nothing"]))


def test_movielens_archive(tmp_path):
    found = reader("movielens-100k")(movielens(tmp_path / "ml.zip"))
    assert found.interactions.to_dict("list") == {
        "user": ["1", "2", "1"], "item": ["10", "9", "9"], "rating": [5, 3, 4],
        "time": [874965758, 874965760, 874965700],
    }  # fmt: skip
    assert found.items.to_dict("records") == [
        {"id": "10", "title": "Toy Story", "year": "1995", "genres": "Animation, Children's, Comedy"},
        {"id": "9", "title": "Caf\xe9, The", "year": "", "genres": "Drama"},
    ]
    assert found.users.to_dict("records")[0] == {
        "id": "1", "gender": "male", "age": "24", "age_group": "18-24", "occupation": "technician",
    }  # fmt: skip


@pytest.mark.parametrize("lost", ["u.data", "u.item", "u.user"])
def test_archive_without_a_member_is_an_error(tmp_path, lost):
    with pytest.raises(BenchError, match=rf"no member {lost}"):
        reader("movielens-100k")(movielens(tmp_path / "ml.zip", **{lost: None}))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_part_of_an_archive_is_an_error(tmp_path, keep):
    path = movielens(tmp_path / "ml.zip")["archive"]
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(BenchError, match="cut off or damaged"):
        reader("movielens-100k")({"archive": path})


@pytest.mark.parametrize("at", [50, 60, 70])
def test_damaged_bytes_in_an_archive_are_an_error(tmp_path, at):
    path = movielens(tmp_path / "ml.zip")["archive"]
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BenchError, match="cut off or damaged"):
        reader("movielens-100k")({"archive": path})


@pytest.mark.parametrize(
    ("data", "good", "bad"),
    [("1\t10\t5\t8749\n2\t9\t3", 1, 1), ("1\t10\t5\tnoon\n", 0, 1), ("1\t2\t3\t4\t5\t6\n1\n", 0, 2)],
)
def test_movielens_rows_cut_off_are_counted(tmp_path, data, good, bad):
    found = reader("movielens-100k")(movielens(tmp_path / "ml.zip", **{"u.data": data}))
    assert len(found.interactions) == good
    assert sum(found.problems.values()) == bad


def test_atomic_files(tmp_path):
    found = reader("recbole-100k")(atomic(tmp_path))
    assert found.interactions.to_dict("records") == [{"user": "1", "item": "10", "rating": 5.0, "time": 874965758}]
    assert found.items.to_dict("records") == [{"id": "10", "title": "Toy", "year": "1995", "genres": "A, B"}]
    assert found.users.columns.tolist() == ["id", "gender", "age", "age_group", "occupation"]


@pytest.mark.parametrize("inter", ["", "user_id:token\titem_id:token\n1\t10\n"])
def test_atomic_file_that_is_empty_or_lacks_a_column_is_an_error(tmp_path, inter):
    with pytest.raises(BenchError, match="interactions"):
        reader("recbole-100k")(atomic(tmp_path, inter))


@pytest.mark.parametrize("row", ["1\t10\t5", "1\t10\t5\tnoon", "\t10\t5\t5", "1\t10\t5\t5\t5"])
def test_bad_row_of_an_atomic_file_is_counted(tmp_path, row):
    text = f"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t9\t5\t5\n{row}\n"
    found = reader("recbole-100k")(atomic(tmp_path, text))
    assert found.interactions["item"].tolist() == ["9"]
    assert list(found.problems.values()) == [1]


def test_unknown_format_suggests_the_nearest():
    with pytest.raises(BenchError, match="did you mean 'amazon-2014'"):
        reader("amazon2014")


RATINGS_1M = "1::10::5::978300760\n1::9::3::978302109\n6::10::4::978301968\n"
MOVIES_1M = "10::GoldenEye (1995)::Action|Adventure\n9::Caf\xe9 \x85 Noir: (a)::Drama\n"
USERS_1M = "1::F::1::10::48067\n6::M::56::20::70072\n"


def movielens_1m(path, **members):
    texts = {"ratings.dat": RATINGS_1M, "movies.dat": MOVIES_1M, "users.dat": USERS_1M, **members}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"ml-1m/{name}", text.encode("latin-1"))
    return {"archive": path}


def test_movielens_1m_archive(tmp_path):
    found = reader("movielens-1m")(movielens_1m(tmp_path / "ml.zip"))
    assert found.interactions.to_dict("list") == {
        "user": ["1", "1", "6"], "item": ["10", "9", "10"], "rating": [5, 3, 4],
        "time": [978300760, 978302109, 978301968],
    }  # fmt: skip
    assert found.items.to_dict("records") == [
        {"id": "10", "title": "GoldenEye", "year": "1995", "genres": "Action, Adventure"},
        {"id": "9", "title": "Caf\xe9 \x85 Noir: (a)", "year": "", "genres": "Drama"},
    ]
    assert found.users.to_dict("records") == [
        {"id": "1", "gender": "female", "age_group": "under 18", "occupation": "K-12 student"},
        {"id": "6", "gender": "male", "age_group": "56 or older", "occupation": "writer"},
    ]
    assert found.problems == {}


def test_codes_of_users_that_mean_nothing_are_empty(tmp_path):
    found = reader("movielens-1m")(movielens_1m(tmp_path / "ml.zip", **{"users.dat": "1::X::2::21::0\n"}))
    assert found.users.to_dict("records") == [{"id": "1", "gender": "", "age_group": "", "occupation": ""}]


@pytest.mark.parametrize(
    ("age", "group"),
    [("0", "under 18"), ("17", "under 18"), ("18", "18-24"), ("24", "18-24"), ("25", "25-34"), ("44", "35-44"),
     ("45", "45-49"), ("55", "50-55"), ("56", "56 or older"), ("73", "56 or older"), ("", ""), ("old", "")],
)  # fmt: skip
def test_ages_in_years_fall_into_the_groups_of_1m(tmp_path, age, group):
    files = movielens(tmp_path / "ml.zip", **{"u.user": f"1|{age}|M|technician|85711\n"})
    assert reader("movielens-100k")(files).users["age_group"].tolist() == [group]


@pytest.mark.parametrize(
    "time", ["-5", "NaN", "Infinity", "1e400", "1" + "0" * 400, '"soon"', '"1400000000"', "null", "[5]", "{}"]
)
def test_review_without_a_sound_time_is_counted(tmp_path, time):
    bad = f'{{"reviewerID": "A", "asin": "B1", "unixReviewTime": {time}}}'
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, bad]))
    assert len(found.interactions) == 1
    assert list(found.problems.values()) == [1]


@pytest.mark.parametrize("rating", ["[4]", "{}", '"good"', "1" + "0" * 400, "NaN", "null"])
def test_review_without_a_sound_rating_stays_and_is_counted_unless_it_has_none(tmp_path, rating):
    bad = f'{{"reviewerID": "A", "asin": "B2", "unixReviewTime": 5, "overall": {rating}}}'
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, bad]))
    assert found.interactions["item"].tolist() == ["B1", "B2"]
    assert found.interactions["rating"].isna().tolist() == [False, True]
    assert found.problems == ({} if rating in ("NaN", "null") else {"ratings that are no number": 1})


def test_reviews_need_no_ratings(tmp_path):
    bare = {key: value for key, value in GOOD.items() if key != "overall"}
    found = reader("amazon-2014")(amazon(tmp_path, [bare, bare]))
    assert found.interactions.columns.tolist() == ["user", "item", "time"]
    assert len(found.interactions) == 2


def test_half_a_character_is_no_id_and_no_part_of_a_text(tmp_path):
    bad = '{"reviewerID": "\\ud800", "asin": "B1", "unixReviewTime": 5, "overall": 4.0}'
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, bad], ["{'asin': 'B1', 'title': 'a\\ud800b'}"]))
    assert list(found.problems.values()) == [1]
    assert found.items["title"].tolist() == ["a?b"]


def test_metadata_may_be_strict_json(tmp_path):
    odd = '{"asin": "B2", "title": "it\'s \\u00e9", "brand": null, "category": ["X", "Y &amp; Z"], "tech": true}'
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, {**GOOD, "asin": "B2"}], [META, odd]))
    assert found.items.to_dict("records") == [
        {"id": "B1", "title": "Two & words", "brand": "Me", "categories": "Y W"},
        {"id": "B2", "title": "it's é", "brand": "", "categories": "Y & Z"},
    ]
    assert found.problems == {}


def test_metadata_of_other_items_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="describes none of the items: is it the metadata of another category"):
        reader("amazon-2014")(amazon(tmp_path, metas=[{**META, "asin": "C1"}]))


def test_item_without_metadata_is_left_to_the_data_set(tmp_path):
    found = reader("amazon-2014")(amazon(tmp_path, [GOOD, {**GOOD, "asin": "B2"}]))
    assert found.items["id"].tolist() == ["B1"]
    assert len(found.interactions) == 2
