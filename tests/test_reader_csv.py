"""Delimited text: against Python's csv module on random tables, and what quotes, packing and encodings mean."""

import bz2
import csv
import gzip
import io
import re
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.sources import csv as reading
from bench.data.sources.csv import read_csv
from bench.data.sources.files import open_raw, read_members
from bench.errors import ConfigError, DataError

COLUMNS = ["a", "b", "c"]
cells = st.text(st.sampled_from("ab ,;\t|\"'éß7\n"), max_size=6)


def parse(path, content, problems=None, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, COLUMNS, {} if problems is None else problems, **options).to_numpy().tolist()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["minimal", "all"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@given(rows=st.lists(st.tuples(cells, cells, st.just("x")), min_size=1, max_size=6))
def test_csv_is_what_pythons_module_writes(tmp_path_factory, delimiter, quoting, ending, rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=ending)
    writer.writerows([COLUMNS, *rows])
    problems = {}
    found = parse(tmp_path_factory.getbasetemp() / "written.csv", buffer.getvalue(), problems)
    assert found == [list(row) for row in rows]
    assert problems == {}


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@given(rows=st.lists(st.tuples(*[st.text(st.sampled_from("ab \"'é"), min_size=1, max_size=5)] * 3), min_size=1))
def test_quotes_in_a_file_with_tabs_are_letters(tmp_path_factory, delimiter, rows):
    """Unless they are around all cells that begin with one."""
    lines = [COLUMNS, *rows, ('"never closed', '"never closed', '"never closed')]
    text = "".join(delimiter.join(line) + "\n" for line in lines)
    found = parse(tmp_path_factory.getbasetemp() / "tabs.tsv", text)
    assert found == [list(line) for line in lines[1:]]


def test_quotes_around_cells_of_a_file_with_tabs_are_none_of_their_letters(tmp_path):
    text = '"a"\t"b"\tc\n"x ""y"" z"\t1\tplain\n"u"\t"2"\t\n'
    assert parse(tmp_path / "x.tsv", text) == [['x "y" z', "1", "plain"], ["u", "2", ""]]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('"neo,i1,5', ['"neo', "i1", "5"]),
        ('neo,"i1,5', ["neo", '"i1', "5"]),
        ('5" pipe,i1,5', ['5" pipe', "i1", "5"]),
        ('neo "the" one,i1,5', ['neo "the" one', "i1", "5"]),
        ('"neo" x,i1,5', ['"neo" x', "i1", "5"]),
    ],
)
def test_quote_that_csv_does_not_have_swallows_no_rows(tmp_path, line, row):
    plain = [["x", "y", "1"], ["a, b", "z", "2"]]
    problems = {}
    found = parse(tmp_path / "x.csv", f'a,b,c\nx,y,1\n{line}\n"a, b",z,2\n', problems)
    assert found == [plain[0], row, plain[1]]
    assert problems == {}


def test_jagged_rows_are_counted_beside_broken_quotes(tmp_path):
    problems = {}
    found = parse(tmp_path / "x.csv", b'a,b,c\n"x,y,1\nx,y\nx,y,1,2\n\xff,y,1\n\nx,y,2\n', problems)
    assert found == [['"x', "y", "1"], ["x", "y", "2"]]
    assert problems == {"rows of x.csv with too few or too many fields": 2, "rows that are no UTF-8": 1}
    with pytest.raises(DataError, match=r"x.csv: no column c in its header"):
        parse(tmp_path / "x.csv", 'a,b,d\n"x,y,1\n')


@pytest.mark.parametrize("block", [16, 17, 23])
@given(rows=st.lists(st.tuples(cells, cells, st.just("x")), min_size=1, max_size=6))
def test_quotes_are_followed_over_the_edges_of_blocks(block, rows):
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    content = buffer.getvalue().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        assert reading._as_in_csv(io.BufferedReader(io.BytesIO(content)), ord(","))
        assert not reading._as_in_csv(io.BufferedReader(io.BytesIO(content + b'"')), ord(","))


def test_note_for_spreadsheets_is_no_header(tmp_path):
    assert parse(tmp_path / "x.csv", "sep=;\na;b;c\n1;2;3\n") == [["1", "2", "3"]]


TEXT = "a,b,c\né,日本,1\n"
ROWS = [["é", "日本", "1"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_unicode_in_any_of_its_forms(tmp_path, encoding, pack):
    assert parse(tmp_path / "x.csv", pack(TEXT.encode(encoding))) == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "shift-jis", "gb18030"])
def test_other_encodings_are_given(tmp_path, encoding):
    text = "a,b,c\né,ü,1\n" if encoding in ("latin-1", "cp1252") else "a,b,c\n日本,日,1\n"
    assert parse(tmp_path / "x.csv", text.encode(encoding), encoding=encoding) == [text.split("\n")[1].split(",")]


def test_wrong_and_unknown_encodings_are_one_line(tmp_path):
    with pytest.raises(DataError, match=r"x.csv is not ascii .*: give its encoding"):
        parse(tmp_path / "x.csv", TEXT, encoding="ascii")
    with pytest.raises(ConfigError, match="unknown encoding: klingon"):
        parse(tmp_path / "x.csv", TEXT, encoding="klingon")


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["x.csv", "X.CSV", "x.CSV.GZ", "x.txt", "x", "x.csv.gz", "x.Gz"])
def test_packing_is_told_by_content_and_not_by_name(tmp_path, name):
    for content in (TEXT.encode(), gzip.compress(TEXT.encode()), zipped(name, TEXT)):
        assert parse(tmp_path / name, content) == ROWS


def test_member_of_an_archive_has_the_name_without_zip(tmp_path):
    assert parse(tmp_path / "x.csv.ZIP", zipped("folder/X.csv", TEXT)) == ROWS


BIG = b"a,b,c\n" + b"1,2,3\n" * 50_000


@pytest.mark.parametrize("form", ["plain", "gzip", "zip", "member"])
def test_size_is_bounded_before_memory_does_it(tmp_path, monkeypatch, form):
    name = {"plain": "x.csv", "gzip": "x.csv.gz", "zip": "x.csv.zip", "member": "x.zip"}[form]
    content = {"plain": BIG, "gzip": gzip.compress(BIG)}.get(form) or zipped("x.csv", BIG)
    (tmp_path / name).write_bytes(content)

    def size():
        if form == "member":
            return len(read_members(tmp_path / name, ("x.csv",))[0])
        with open_raw(tmp_path / name) as file:
            return len(file.read())

    assert size() == len(BIG)
    monkeypatch.setenv("BENCH_MAX_RAW_GIB", str(len(BIG) / 2**30))
    assert size() == len(BIG)
    monkeypatch.setenv("BENCH_MAX_RAW_GIB", str((len(BIG) - 1) / 2**30))
    with pytest.raises(DataError, match=rf"{re.escape(name)} has more than .* GiB unpacked: .* set BENCH_MAX_RAW_GIB"):
        size()


def test_archive_that_lies_about_its_size_is_bounded_too(tmp_path, monkeypatch):
    content = bytearray(zipped("x.csv", BIG))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (9).to_bytes(4, "little")
    (tmp_path / "x.csv.zip").write_bytes(content)
    monkeypatch.setenv("BENCH_MAX_RAW_GIB", "1e-5")
    with pytest.raises(DataError, match=r"x.csv.zip (has more than|is cut off or damaged)"):
        parse(tmp_path / "x.csv.zip", bytes(content))


@pytest.mark.parametrize("told", ["0", "-1", "lots", "nan", "inf"])
def test_bound_that_is_none_is_an_error(tmp_path, monkeypatch, told):
    monkeypatch.setenv("BENCH_MAX_RAW_GIB", told)
    with pytest.raises(ConfigError, match=f"BENCH_MAX_RAW_GIB={told} is no positive number"):
        parse(tmp_path / "x.csv", TEXT)


def test_packing_that_is_not_known_is_no_table(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv"):
        parse(tmp_path / "x.csv", bz2.compress(TEXT.encode()))
