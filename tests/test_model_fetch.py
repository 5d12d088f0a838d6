"""``bench models fetch``: a plugin with network and without data; when a cell is run it is the other way round."""

import functools
import http.server
import threading

import pytest

from bench.runs.store import Store


@pytest.fixture
def served(tmp_path):
    """The address of a file on a server of this machine."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "weights").write_text("one two three")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/weights"
        server.shutdown()


@pytest.fixture
def call(start_bench, rough_site, tmp_path):
    def call(*words, **environment):
        settings = {"PYTHONPATH": str(rough_site), "HF_HUB_CACHE": str(tmp_path / "hub"), **environment}
        process = start_bench(*words, environment=settings)
        process.out, process.err = process.communicate(timeout=60)
        return process

    return call


def test_what_was_fetched_is_there_when_the_model_is_run_and_the_net_is_not(call, served, tmp_path):
    config = ("--set", f"rough-fetches.url={served}")
    done = call("models", "fetch", "rough-fetches", *config)
    assert (done.returncode, done.err) == (0, "")
    assert done.out == "rough-fetches: everything it needs is here\n"
    done = call("run", "--models", "rough-fetches", "--dataset", "tiny", *config, "--results", tmp_path / "results")
    assert done.returncode == 0, done.err
    [result] = Store(tmp_path / "results").results()
    assert result.facts["weights"] == "one two three"
    assert result.facts["offline"] == "1"
    if not result.confinement.startswith("Landlock"):
        pytest.skip(f"the rest is the kernel's part, which this one does not do: {result.confinement}")
    assert "Permission denied" in result.facts["net"]
    assert "Permission denied" in result.facts["cache"]


def test_what_cannot_be_fetched_is_one_line(call, served):
    done = call("models", "fetch", "rough-fetches", "--set", f"rough-fetches.url={served}-no")
    assert done.returncode == 1
    assert done.err.splitlines() == ["error: rough-fetches: HTTPError: HTTP Error 404: File not found"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rough-fetches", "--set", "rough-fetches.uri=x"], "unknown config key of rough-fetches 'uri'"),
        (["rough-fetches", "--set", "pop.x=1"], "options are given for pop, where rough-fetches is fetched"),
        (["rough-fetch"], "unknown model 'rough-fetch': did you mean 'rough-fetches'"),
    ],
)
def test_mistake_is_one_line(call, words, said):
    done = call("models", "fetch", *words)
    assert done.returncode == 1
    [line] = done.err.splitlines()
    assert said in line


def test_model_that_needs_nothing_says_so(call):
    assert call("models", "fetch", "rough-healthy").out == "rough-healthy: everything it needs is here\n"
