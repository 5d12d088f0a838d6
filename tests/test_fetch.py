"""Fetching raw files from a server on this machine that breaks off, refuses and changes its mind."""

import hashlib
import http.server
import json
import re
import threading

import numpy as np
import pytest
import urllib3.util

from bench.data import fetch as fetching
from bench.data import raw
from bench.data.catalog import Card, File
from bench.data.fetch import fetch
from bench.errors import BenchError
from bench.files import cache_folder

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path. ``script`` tells of the next requests: a status, or the bytes to break off after."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/file.gz": CONTENT}
        self.script = []
        self.ranges = True
        self.asked = []
        """(path, first byte asked for) of each request."""

    def url(self, name="file.gz"):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        server.asked.append((self.path, first))
        what = server.script.pop(0) if server.script else None
        content = server.files.get(self.path)
        if isinstance(what, str) or content is None:
            return self.answer(int(what or 404), b"")
        if not server.ranges:
            return self.answer(200, content, what)
        if first >= len(content) and first:
            return self.answer(416, b"", length=len(content))
        return self.answer(206 if wanted else 200, content[first:], what)

    def answer(self, status, body, break_after=None, length=None):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Range", f"bytes */{length}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:break_after])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(urllib3.util.Retry, "get_backoff_time", lambda self: 0)
    found = Server()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "fetched"


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_whole_file_arrives(server, folder, capfd):
    path = fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)
    assert path == folder / "file.gz"
    assert path.read_bytes() == CONTENT
    assert server.asked == [("/file.gz", 0)]
    assert f"fetching {server.url()}" in capfd.readouterr().err
    assert not [name for name in names(folder) if name.endswith(".part")]


@pytest.mark.parametrize("breaks", [[1_500_000], [1_000_000, 700_000, 300_000], [0, 2_999_999]])
def test_broken_transfer_is_resumed_where_it_broke(server, folder, breaks):
    server.script = list(breaks)
    path = fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)
    assert path.read_bytes() == CONTENT
    firsts = [first for _, first in server.asked]
    assert len(firsts) == len(breaks) + 1
    for first, came, following in zip(firsts, breaks, firsts[1:], strict=False):
        assert first + came - fetching._BLOCK < following <= first + came  # an unfinished block comes again


def test_transfer_that_always_breaks_is_given_up_and_can_be_taken_up_again(server, folder):
    server.script = [300_000] * fetching.ATTEMPTS
    with pytest.raises(BenchError, match="cannot be fetched"):
        fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)
    assert names(folder) == ["file.gz.part"]
    have = (folder / "file.gz.part").stat().st_size
    assert 0 < have < len(CONTENT)
    assert fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file.gz", have)


def test_server_that_cannot_resume_sends_all_again(server, folder):
    server.ranges = False
    server.script = [1_500_000]
    path = fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_file_that_had_come_whole_is_not_fetched_again(server, folder):
    folder.mkdir()
    (folder / "file.gz.part").write_bytes(CONTENT)
    assert fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder).read_bytes() == CONTENT
    assert server.asked == [("/file.gz", len(CONTENT))]


def test_part_of_another_file_is_thrown_away(server, folder):
    """Without a checksum in the card, a longer left-over would become the file that was first seen."""
    folder.mkdir()
    (folder / "file.gz.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch(File(name="file.gz", url=server.url()), folder).read_bytes() == CONTENT
    assert [first for _, first in server.asked] == [len(CONTENT) + 1, 0]


@pytest.mark.parametrize("status", ["503", "429", "500"])
def test_busy_server_is_asked_again(server, folder, status):
    server.script = [status, status]
    assert fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder).read_bytes() == CONTENT
    assert len(server.asked) == 3


@pytest.mark.parametrize(("script", "said"), [(["503"] * 9, "503"), (["403"], "the server answered 403")])
def test_refusal_names_file_address_and_folder(server, folder, script, said):
    server.script = script
    with pytest.raises(BenchError) as caught:
        fetch(File(name="file.gz", url=server.url()), folder)
    assert "\n" not in str(caught.value)
    for part in (said, "file.gz", server.url(), str(folder)):
        assert part in str(caught.value)
    assert names(folder) == []


def test_no_server_names_file_address_and_folder(server, folder):
    server.shutdown()
    server.server_close()
    with pytest.raises(BenchError) as caught:
        fetch(File(name="file.gz", url=server.url()), folder)
    assert "\n" not in str(caught.value)
    for part in ("Connection refused", "file.gz", server.url(), f"put it into {folder}", "--raw-dir"):
        assert part in str(caught.value)
    assert names(folder) == []


def test_a_mirror_stands_in_for_a_server_that_refuses(server, folder):
    server.script = ["404"]
    file = File(name="file.gz", url=server.url("gone.gz"), mirrors=[server.url()], sha256=SHA)
    assert fetch(file, folder).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/gone.gz", "/file.gz"]


def test_all_addresses_that_failed_are_named(server, folder):
    urls = [server.url("gone.gz"), server.url("lost.gz")]
    with pytest.raises(BenchError) as error:
        fetch(File(name="file.gz", url=urls[0], mirrors=urls[1:], sha256=SHA), folder)
    refused = "the server answered 404"
    said = f"file.gz cannot be fetched from {urls[0]} ({refused}) nor from {urls[1]} ({refused}): fetch it elsewhere"
    assert str(error.value).startswith(said)


def test_other_file_than_the_card_says_is_refused_and_deleted(server, folder):
    server.files["/file.gz"] = b"<html>sorry</html>"
    with pytest.raises(BenchError, match=rf"SHA-256 [0-9a-f]+, but {SHA} its card says"):
        fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)
    assert names(folder) == []


def test_first_seen_checksum_is_recorded_and_enforced(server, folder):
    file = File(name="file.gz", url=server.url())
    fetch(file, folder).unlink()
    assert json.loads((folder / "checksums.json").read_text()) == {"file.gz": SHA}
    assert fetch(file, folder).read_bytes() == CONTENT
    (folder / "file.gz").unlink()
    server.files["/file.gz"] = CONTENT[::-1]
    with pytest.raises(BenchError, match=f"but {SHA} was first seen"):
        fetch(file, folder)
    assert names(folder) == ["checksums.json"]


ROWS = "user,item,time\n" + "".join(f"u{user},i{item},{user + item}\n" for user in range(9) for item in range(9))


@pytest.fixture
def card(server, new_cache):
    """A card with a table on the server."""
    server.files["/rows.csv"] = ROWS.encode()

    def make(**file):
        options = {"columns": {"user": "user", "item": "item", "time": "time"}}
        files = {"interactions": {"name": "rows.csv", "url": server.url("rows.csv"), **file}}
        source = {"reader": "table", "files": files, "options": options}
        return Card.model_validate({"name": "far", "title": "Far", "sources": [source]})

    return make


@pytest.mark.parametrize("file", [{}, {"sha256": hashlib.sha256(ROWS.encode()).hexdigest()}], ids=["none", "sha256"])
def test_fetched_file_that_changed_on_disk_is_an_error(card, file):
    path = raw.locate(card(**file), None).paths["interactions"]
    assert raw.locate(card(**file), None).checksums()
    path.write_text(ROWS + "u1,i99,5\n")
    assert path.is_relative_to(cache_folder())
    with pytest.raises(BenchError, match=r"rows.csv has changed since it was fetched: delete it"):
        raw.locate(card(**file), None).checksums()


def test_files_at_hand_are_not_fetched(card, server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rows.csv").write_text(ROWS)
    assert raw.locate(card(), tmp_path / "mine").paths["interactions"] == tmp_path / "mine" / "rows.csv"
    assert server.asked == []
    raw.locate(card(), None)
    raw.locate(card(), None)  # the second time it is there
    assert len(server.asked) == 1


def test_only_what_is_missing_is_fetched(card, server, tmp_path):
    found = card()
    [source] = found.sources
    more = {**source.files, "items": File(name="items.csv", url=server.url("items.csv"))}
    found = found.model_copy(update={"sources": [source.model_copy(update={"files": more})]})
    server.files["/items.csv"] = b"id,title\n"
    (tmp_path / "rows.csv").write_text(ROWS)
    paths = raw.locate(found, tmp_path).paths
    assert paths["interactions"] == tmp_path / "rows.csv"
    assert paths["items"] == raw.fetched_folder(found) / "items.csv"
    assert [path for path, _ in server.asked] == ["/items.csv"]


def test_prepare_fetches_and_info_does_not(bench, card, server, tmp_path):
    document = {"far": card().model_dump(mode="json", exclude={"name"})}
    (tmp_path / "far.yaml").write_text(json.dumps(document))
    shown = bench("datasets", "info", "far.yaml")
    assert (shown.status, server.asked) == (0, [])
    assert "the raw files are not here" in shown.out
    done = bench("datasets", "prepare", "far.yaml")
    assert done.status == 0, done.err
    assert "9 users, 9 items, 81 interactions" in done.out
    assert len(server.asked) == 1
    shown = bench("datasets", "info", "far.yaml")
    assert "9 users, 9 items, 81 interactions" in shown.out
    assert len(server.asked) == 1


def test_two_who_fetch_one_file_at_the_same_time_get_it_once(server, folder):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(File(name="file.gz", url=server.url(), sha256=SHA), folder)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [folder / "file.gz"] * 4
    assert found[0].read_bytes() == CONTENT
    assert server.asked == [("/file.gz", 0)]
    assert not [name for name in names(folder) if name.endswith(".part")]
