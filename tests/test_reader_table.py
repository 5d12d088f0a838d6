"""A user's own tables: what a column may hold."""

import datetime
import gzip
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data.sources import reader
from bench.data.splits import TEST, TRAIN
from bench.errors import BenchError

COLUMNS = {"user": "who", "item": "what", "time": "when"}
HEAD = "who,what,when\n"


@pytest.fixture
def read(tmp_path):
    def read(content, columns=COLUMNS, name="rows.csv"):
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return reader("table")({"interactions": path}, columns)

    return read


def rows(found):
    return list(found.interactions[["user", "item", "time"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_usual_delimiters(read, delimiter):
    found = read(delimiter.join(["who", "what", "when"]) + "\n" + delimiter.join(["a", "b", "7"]) + "\n")
    assert rows(found) == [("a", "b", 7)]


@pytest.mark.parametrize("pack", ["plain", "gz", "zip"])
def test_plain_gzip_and_zip(tmp_path, pack):
    text = (HEAD + "a,b,7\n").encode()
    path = tmp_path / {"plain": "rows.csv", "gz": "rows.csv.gz", "zip": "rows.csv.zip"}[pack]
    if pack == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/rows.csv", text)
            archive.writestr("readme.txt", "no rows")
    else:
        path.write_bytes(gzip.compress(text) if pack == "gz" else text)
    assert rows(reader("table")({"interactions": path}, COLUMNS)) == [("a", "b", 7)]


def test_zip_without_the_file_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.csv.zip", "w") as archive:
        archive.writestr("other.csv", HEAD)
    with pytest.raises(BenchError, match=r"should hold one file rows.csv, but holds other.csv"):
        reader("table")({"interactions": tmp_path / "rows.csv.zip"}, COLUMNS)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_half_of_a_packed_table_is_an_error(tmp_path, cut):
    path = tmp_path / "rows.csv.gz"
    whole = gzip.compress((HEAD + "".join(f"a{i},b{i % 7},{i}\n" for i in range(9999))).encode())
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(BenchError, match="cut off or damaged"):
        reader("table")({"interactions": path}, COLUMNS)


def test_ids_stay_as_they_are_written(read):
    ids = ["NaN", "NA", "null", "None", "007", "1e5", "true", "1.0", "-", "é", "a b", "2014-01-01"]
    found = read(HEAD + "".join(f"{name},{name},1\n" for name in ids))
    assert found.interactions["user"].tolist() == found.interactions["item"].tolist() == ids
    assert found.problems == {}


@pytest.mark.parametrize(
    ("when", "time"),
    [
        ("1400000000", 1_400_000_000),
        ("1400000000.9", 1_400_000_000),
        ("1400000000123", 1_400_000_000),
        ("0", 0),
        ("2014-05-13", 1_399_939_200),
        ("2014-05-13 16:53:20", 1_400_000_000),
        ("2014-05-13 16:53:20.25", 1_400_000_000),
        ("2014-05-13T16:53:20Z", 1_400_000_000),
        ("2014-05-13T18:53:20+02:00", 1_400_000_000),
    ],
)
def test_forms_of_time(read, when, time):
    assert rows(read(f"{HEAD}a,b,{when}\nc,d,{when}\n")) == [("a", "b", time), ("c", "d", time)]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1_400_000_000], pa.int64()),
        pa.array([1.4e9], pa.float64()),
        pa.array(["2014-05-13 16:53:20"]),
        *(
            pa.array([pd.Timestamp("2014-05-13 16:53:20").as_unit(unit)], pa.timestamp(unit))
            for unit in ("s", "ms", "us", "ns")
        ),
        pa.array([pd.Timestamp("2014-05-13 16:53:20", tz="UTC")], pa.timestamp("us", tz="Europe/Berlin")),
    ],
    ids=lambda values: str(values.type),
)
def test_types_of_time_in_parquet(read, values):
    found = read(pa.table({"who": ["a"], "what": ["b"], "when": values}), name="rows.parquet")
    assert rows(found) == [("a", "b", 1_400_000_000)]


def test_days_in_parquet(read):
    days = pa.array([datetime.date(2014, 5, 13)])
    found = read(pa.table({"who": ["a"], "what": ["b"], "when": days}), name="rows.parquet")
    assert rows(found) == [("a", "b", 1_399_939_200)]


def test_numbers_as_ids_in_parquet_are_the_same_beside_missing_ones(read):
    table = pa.table({"who": [7, None, 8], "what": [1, 2, 3], "when": [1, 2, 3]})
    found = read(table, name="rows.parquet")
    assert rows(found) == [("7", "1", 1), ("8", "3", 3)]
    assert found.problems == {"rows without a user or item": 1}


def test_without_times_all_are_the_same(read):
    found = read(HEAD + "a,b,1\nc,d,0\n", columns={"user": "who", "item": "what"})
    assert rows(found) == [("a", "b", 0), ("c", "d", 0)]


@pytest.mark.parametrize(
    "when", ["", "-1", "nan", "inf", "noon", "now", "today", "1e300", "9999-12-31", "1960-01-01", "31/31/2021"]
)
def test_row_without_a_sound_time_is_counted(read, when):
    good = "2014-05-13" if set("-/") & set(when[1:]) else "5"
    found = read(f"{HEAD}a,b,{when}\nc,d,{good}\n")
    assert found.interactions["user"].tolist() == ["c"]
    assert found.problems == {"rows whose time is missing, negative or no time": 1}


@pytest.mark.parametrize("when", ["now", "today", "noon"])
def test_words_are_no_times(read, when):
    assert rows(read(f"{HEAD}a,b,{when}\n")) == []


@pytest.mark.parametrize("row", [b"a,b", b"a,b,1,2", b",b,1", b"a,,1", b"\xff,b,1", b"a,b\xc3,1", b"\xff,b"])
def test_bad_row_is_counted_and_the_others_stay(read, row):
    found = read(HEAD.encode() + b"c,d,1\n" + row + b"\ne,f,2\n")
    assert rows(found) == [("c", "d", 1), ("e", "f", 2)]
    assert list(found.problems.values()) == [1]


def test_sound_rows_beside_bad_ones_keep_their_letters(read):
    found = read("who,ché,when\né,日本,5\na,b\n", columns={"user": "who", "item": "ché", "time": "when"})
    assert rows(found) == [("é", "日本", 5)]
    assert list(found.problems.values()) == [1]


def test_ratings_that_are_no_numbers_are_counted_and_their_rows_stay(read):
    columns = {"user": "who", "item": "what", "rating": "when"}
    found = read(HEAD + "a,b,4.5\nc,d,good\ne,f,\n", columns=columns)
    assert found.interactions["user"].tolist() == ["a", "c", "e"]
    assert found.interactions["rating"].fillna(-1).tolist() == [4.5, -1, -1]
    assert found.problems == {"ratings that are no number": 1}


def test_ratings_with_a_decimal_comma_are_numbers(read):
    text = "who;what;when\na;b;3,5\nc;d;4\ne;f;1,250\n"
    found = read(text, columns={"user": "who", "item": "what", "rating": "when"})
    assert found.interactions["rating"].fillna(-1).tolist() == [3.5, 4, -1]
    assert found.problems == {"ratings that are no number": 1}


def test_column_without_any_rating_is_no_column_of_ratings(read):
    found = read(HEAD + "a,b,\nc,d,\n", columns={"user": "who", "item": "what", "rating": "when"})
    assert "rating" not in found.interactions
    assert len(found.interactions) == 2


@pytest.mark.parametrize("content", ["", "\n", "who,what\na,b\n", "\x00", "when,who\n"])
def test_file_that_is_no_such_table_is_an_error(read, content):
    with pytest.raises(BenchError, match=r"rows\.csv"):
        read(content)


def test_header_alone_is_an_empty_table(read):
    assert rows(read(HEAD)) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 it is not", HEAD.encode()])
def test_file_that_is_no_parquet_is_an_error(read, content):
    with pytest.raises(BenchError, match=r"rows\.parquet is no readable Parquet file"):
        read(content, name="rows.parquet")


def test_missing_parquet_column_is_named(read):
    with pytest.raises(BenchError, match="has no column what, when"):
        read(pa.table({"who": ["a"]}), name="rows.parquet")


def test_byte_order_mark_of_spreadsheets_is_no_part_of_a_name(read):
    assert rows(read(b"\xef\xbb\xbf" + HEAD.encode() + b"a,b,1\r\n")) == [("a", "b", 1)]


def test_quoted_fields_may_hold_anything(read):
    found = read(HEAD + '"a, ""b""\nc",d,1\n')
    assert found.interactions["user"].tolist() == ['a, "b"\nc']


def test_card_without_a_user_column_is_an_error(read):
    with pytest.raises(BenchError, match="names no column for user"):
        read(HEAD, columns={"item": "what"})
    with pytest.raises(BenchError, match=r"unknown entry of options.columns 'timestamp': did you mean 'time'"):
        read(HEAD, columns={"user": "who", "item": "what", "timestamp": "when"})


def test_texts_of_items_and_users(tmp_path):
    (tmp_path / "rows.csv").write_text(HEAD + "a,1,1\n")
    (tmp_path / "users.csv").write_text("id,Job\na, R&amp;D \n")
    table = pa.table({"n": [1, 2], "t": ["x &lt; y", None], "price": [1.5, None], "year": [1999, None],
                      "tags": [["a", "b"], []]})  # fmt: skip
    pq.write_table(table, tmp_path / "items.parquet")
    files = {"interactions": "rows.csv", "items": "items.parquet", "users": "users.csv"}
    found = reader("table")(
        {role: tmp_path / name for role, name in files.items()},
        COLUMNS,
        items={"id": "n", "title": "t", "price": "price", "year": "year", "tags": "tags"},
        users={"id": "id", "job": "Job"},
    )
    assert found.items.to_dict("records") == [
        {"id": "1", "title": "x < y", "price": "1.5", "year": "1999", "tags": "a, b"},
        {"id": "2", "title": "", "price": "", "year": "", "tags": ""},
    ]
    assert found.users.to_dict("records") == [{"id": "a", "job": "R&D"}]


def test_field_called_rating_or_time_is_a_text_of_an_item(tmp_path):
    (tmp_path / "rows.csv").write_text(HEAD + "a,1,1\n")
    (tmp_path / "items.csv").write_text("id,rating,time\n1,4.50,2 h\n")
    fields = {"id": "id", "rating": "rating", "time": "time"}
    files = {"interactions": tmp_path / "rows.csv", "items": tmp_path / "items.csv"}
    found = reader("table")(files, COLUMNS, items=fields)
    assert found.items.to_dict("records") == [{"id": "1", "rating": "4.50", "time": "2 h"}]


def test_floats_are_ids_of_any_size_and_missing_ones_are_none(read):
    ids = [9_780_000_000_005.0, None, float("nan"), 7.0, 1e22, 1.5, -3.0]
    found = read(pa.table({"who": pa.array(ids), "what": ["x"] * 7, "when": [1] * 7}), name="rows.parquet")
    assert found.interactions["user"].tolist() == ["9780000000005", "7", str(10**22), "1.5", "-3"]
    assert found.problems == {"rows without a user or item": 2}


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(20, 0), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_ids_of_any_type_in_parquet(read, kind):
    values = pa.array(["7", "8"]).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array([7, 8]).cast(kind)
    found = read(pa.table({"who": values, "what": ["x", "y"], "when": [1, 2]}), name="rows.parquet")
    assert found.interactions["user"].tolist() == ["7", "8"]


def test_ids_that_a_missing_one_made_floats_are_whole_again(read):
    """As pandas writes a column of numbers with a gap."""
    found = read(HEAD + "7.0,x,1\n9780000000005.0,y,2\n,z,3\n")
    assert found.interactions["user"].tolist() == ["7", "9780000000005"]
    assert read(HEAD + "7.0,x,1\n7.5,y,2\n").interactions["user"].tolist() == ["7.0", "7.5"]


LINES = """{"who": "a", "what": 7, "when": 1600000000500, "more": [1]}

{"who": "b", "what": 9780000000005.0, "when": 1600000000400}
{"who": 5, "what": "x"}
{"who": [5], "what": "x", "when": 1}
{"who": true, "what": "x", "when": 1}
["no", "object"]
{"who": "\\ud800", "what": "x", "when": 1}
{"who": "c", "what":
"""


def test_json_lines(read):
    found = read(LINES, name="rows.json")
    assert rows(found) == [("a", "7", 1_600_000_000), ("b", "9780000000005", 1_600_000_000)]
    assert found.interactions["nanosecond"].tolist() == [500_000_000, 400_000_000]
    assert found.problems == {
        "rows of rows.json that are no JSON object": 3,
        "rows without a user or item": 2,
        "rows whose time is missing, negative or no time": 1,
    }
    with pytest.raises(BenchError, match=r"rows.json has no field what, when: fix the options"):
        read('{"who": 1}\n', name="rows.json")


def test_rows_that_are_no_utf8_say_what_to_do(read):
    found = read(HEAD.encode() + b"\xe9,b,1\nc,d,2\n")
    assert found.problems == {"rows that are no UTF-8 (if they are Latin-1, set options.encoding to latin-1)": 1}


HALF, TENTH = (datetime.datetime(2020, 9, 13, 12, 26, 40, us) for us in (500_000, 100_000))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1_600_000_000_500, 1_600_000_000_100, None], pa.int64()),
        ([1_600_000_000.5, 1_600_000_000.1, None], pa.float64()),
        *(([HALF, TENTH, None], pa.timestamp(unit, zone)) for unit in ("ms", "us", "ns") for zone in (None, "UTC")),
    ],
    ids=str,
)
def test_times_below_a_second_keep_their_order_in_parquet(read, values, kind):
    table = pa.table({"who": ["a"] * 3, "what": ["x", "y", "z"], "when": pa.array(values, kind)})
    found = read(table, name="rows.parquet")
    assert found.interactions["time"].tolist() == [1_600_000_000] * 2
    assert found.interactions["nanosecond"].sub([500_000_000, 100_000_000]).abs().max() < 500


def test_files_with_and_without_fractions_are_one_table(tmp_path):
    (tmp_path / "one.csv").write_text(HEAD + "a,x,1600000000\n")
    (tmp_path / "two.csv").write_text(HEAD + "a,y,1600000000.25\n")
    files = {"interactions": tmp_path / "one.csv", "interactions-2": tmp_path / "two.csv"}
    assert reader("table")(files, COLUMNS).interactions["nanosecond"].tolist() == [0, 250_000_000]


def test_json_may_be_one_array(read):
    lines = [line for line in LINES.splitlines()[:4] if line]
    found = read("[" + ",\n".join(lines) + "]", name="rows.json")
    assert rows(found) == [("a", "7", 1_600_000_000), ("b", "9780000000005", 1_600_000_000)]
    assert rows(read(f"{lines[0]}\n{lines[1]}".encode("utf-16"), name="rows.json")) == rows(found)
    with pytest.raises(BenchError, match=r"rows.json is no JSON"):
        read("[" + lines[0], name="rows.json")


def test_column_that_is_there_twice_is_an_error(read):
    with pytest.raises(BenchError, match=r"rows.csv has more than one column what: rename one"):
        read("who,what,what,when\na,b,c,1\n")


def test_line_ends_of_old_and_lines_that_are_long(read):
    assert rows(read(HEAD.replace("\n", "\r") + "a,b,1\rc,d,2\r")) == [("a", "b", 1), ("c", "d", 2)]
    assert rows(read(HEAD + "x" * 5_000_000 + ",b,1\n"))[0][1:] == ("b", 1)


def test_one_form_of_dates_holds_for_all_files(tmp_path):
    """Only the train file shows that the day comes first."""
    (tmp_path / "train.csv").write_text(HEAD + "a,x,25/02/2015\na,y,05/03/2015\n")
    (tmp_path / "test.csv").write_text(HEAD + "a,z,06/03/2015\n")
    found = reader("table")({"train": tmp_path / "train.csv", "test": tmp_path / "test.csv"}, COLUMNS)
    days = [datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%d.%m.") for _, _, time in rows(found)]
    assert days == ["25.02.", "05.03.", "06.03."]
    assert found.interactions["part"].tolist() == [TRAIN, TRAIN, TEST]
    assert found.problems == {}
