"""Whatever a model does to its process and to what it leaves: a row with the reason, and the others go on."""

import re
import types
from pathlib import Path

import pytest

from bench.runs import log
from bench.runs.store import Store
from bench.worker import confine

FINE = None
"""Nothing is wrong with its lists."""
NO_OUTCOME = "the worker ended with exit status 0, but the worker's outcome.json"
FEW = (
    "bare-progress",
    "surrogate-in-the-reason",
    "real-time-signal",
    "threads-outlive-fit",
    "lists-are-a-folder",
    "lists-have-an-odd-header",
    "outcome-is-sparse",
    "forged-infinity",
    "model-is-deep",
)
"""Those that are tried in the fast tests too: each of a kind that once ended the run, or hung it."""

EVENTS = {
    "nothing": FINE,
    "bare-progress": FINE,
    "events-of-the-parent": FINE,
    "odd-types": FINE,
    "huge-numbers": FINE,
    "scores-that-are-none": FINE,
    "markup-as-unit": FINE,
    "phases-out-of-order": FINE,
    "surrogates-and-depth": FINE,
    "garbage": FINE,
    "megabytes-without-end-of-line": FINE,
    "half-a-line": FINE,
    "flood-of-progress": FINE,
    "flood-of-validations": FINE,
    "says-that-it-failed": FINE,
    "says-that-it-is-confined": FINE,
    "child-keeps-the-pipe": FINE,
    "pipe-is-closed": FINE,
    "pipe-does-not-block": FINE,
}
ENDS = {
    "exits-with-text": "SystemExit: text instead of a status",
    "exits-with-an-object": "SystemExit: {'a': 1}",
    "interrupts": "KeyboardInterrupt",
    "bare-exception": "_Bare: of its own kind",
    "generator-exit": "GeneratorExit",
    "recursion": "RecursionError: maximum recursion depth exceeded",
    "memory": "out of memory: so much",
    "unspeakable": "_Unspeakable: (its message cannot be had)",
    "message-is-no-text": "_NotText: (its message cannot be had)",
    "surrogate-in-the-reason": "ValueError: half a sign \ufffd and \ufffd",
    "terminal-codes-in-the-reason": "ValueError: red \ufffd[31m and back \ufffd \ufffd",
    "endless-reason": f"ValueError: {'x' * 1000}",
    "deep-reason": f"ValueError: {'[' * 300}",
    "group-of-errors": "ExceptionGroup: several (2 sub-exceptions)",
    "unicode-error": "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff",
    "quits-in-silence": f"{NO_OUTCOME} is not there",
    "quits-with-300": "the worker ended with exit status 44",
    "cannot-confine-status": "the worker cannot be confined on this machine, its log says why",
    "segfault": "killed by SIGSEGV",
    "real-time-signal": "killed by signal 40",
    "reserved-signal": "killed by signal 33",
    "last-signal": "killed by SIGRTMAX",
    "alarm": "killed by SIGALRM",
    "cpu-limit": "killed by SIGXCPU",
    "no-files-left": "OSError: [Errno 24] Too many open files",
    "no-space-left": "the disk is full: OSError: [Errno 28] No space left on device: '/some/file'",
    "closes-everything": "OSError: [Errno 9] Bad file descriptor",
    "goes-away": FINE,
    "folder-is-gone": FINE,
    "threads-outlive-fit": FINE,
    "thread-raises": FINE,
    "exit-handler-raises": FINE,
    "modules-are-spoilt": FINE,
    "deep-home": FINE,
    "logs-gigabytes": FINE,
    "log-stays-open": FINE,
}
VALUES = {
    "note-300-deep": "TypeError: the fact 'deep' has more than 32 levels",
    "note-100-000-deep": "TypeError: the fact 'deep' is not JSON-ready: ",
    "note-surrogate": "TypeError: the fact 'half' is not JSON-ready: ",
    "note-nan": "TypeError: the fact 'nan' is not JSON-ready: ",
    "note-huge": "TypeError: with 'huge' the facts have more than 1,048,576 bytes",
    "note-many": "TypeError: with 'fact 1038' the facts have more than 1,048,576 bytes",  # 1,000 + len(name) + 2 each
    "note-odd-name": FINE,
    "note-name-is-no-text": "TypeError: the fact '3' has more than 32 levels, or a name that is no text",
    "note-circle": "TypeError: the fact 'circle' is not JSON-ready: ",
    "facts-are-set": "ValidationError: 2 validation errors for Outcome",
    "validations-are-set": "ValidationError: ",
    "seconds-are-set": "ValidationError: ",
    "kept-badly-named": FINE,
    "kept-is-no-entry": FINE,
    "kept-costs-less-than-nothing": FINE,
    "kept-is-a-file": FINE,
    "kept-collides": FINE,
    "huge-entry": FINE,
}
OUTPUTS = {
    "lists-are-gone": "the worker's items.npy is not there",
    "scores-are-gone": "the worker's scores.npy is not there",
    "output-is-gone": f"{NO_OUTCOME} is not there",
    "lists-are-a-folder": "the worker's items.npy is no regular file",
    "lists-are-floats": "the plugin returned items of shape (48, 100) and type float64",
    "lists-are-text": "the plugin returned items of shape (48, 100) and type <U2",
    "lists-are-records": "the plugin returned items of shape (48, 100) and type [('aaa",
    "lists-are-one-number": "the plugin returned items of shape () and type int32",
    "lists-are-flat": "the plugin returned items of shape (4800,) and type int32",
    "lists-lack-a-column": "the plugin returned items of shape (48, 99) and type int32",
    "lists-lack-a-user": "the plugin returned items of shape (47, 100) and type int32",
    "lists-are-unsigned": FINE,  # all of them are misses
    "scores-are-complex": "the plugin returned scores of shape (48, 100) and type complex64",
    "lists-are-cut-off": "the worker's items.npy is no array (ValueError: ",
    "lists-are-empty": "the worker's items.npy is no array (",
    "lists-are-garbage": "the worker's items.npy is no array (ValueError: ",
    "lists-are-a-zip": "the worker's items.npy is no array (ValueError: ",
    "lists-are-a-pickle": "the worker's items.npy is no array (ValueError: ",
    "lists-have-an-odd-header": "the worker's items.npy is no array (",
    "lists-have-a-deep-header": "the worker's items.npy is no array (",
    "lists-claim-to-be-huge": "the worker's items.npy is no array (",
    "lists-claim-to-be-less-than-nothing": "the worker's items.npy is no array (",
    "lists-are-a-sparse-terabyte": "the worker's items.npy has 1,099,511,627,776 bytes, where at most",
    "outcome-is-a-folder": f"{NO_OUTCOME} is no regular file",
    "outcome-is-sparse": f"{NO_OUTCOME} has 1,099,511,627,776 bytes",
    "outcome-is-garbage": f"{NO_OUTCOME} is not valid",
    "forged-and-out": "the worker's items.npy is not there",
    "forged-types": f"{NO_OUTCOME} is not valid",
    "forged-seconds": f"{NO_OUTCOME} is not valid",
    "forged-infinity": f"{NO_OUTCOME} is not valid",
    "forged-phases": FINE,
    "forged-facts": f"{NO_OUTCOME} has ",
    "forged-depth": FINE,
    "forged-stranger": f"{NO_OUTCOME} is not valid",
    "forged-reason": "two lines \ufffd[31m",
    "forged-packages": FINE,
    "work-is-a-file": FINE,
    "work-is-deep": FINE,
    "model-is-a-file": FINE,
    "model-is-deep": FINE,
}
REFUSED = {
    "guardian-is-killed": "killed by SIGKILL (out of memory, or killed from outside)",
    "lists-are-a-link": "the worker's items.npy is a link",
    "lists-are-a-pipe": "the worker's items.npy is no regular file",
    "outcome-is-a-pipe": f"{NO_OUTCOME} is no regular file",
    "pipe-in-the-work-folder": FINE,
    "socket-in-the-work-folder": FINE,
    "model-is-a-link": FINE,
    "model-has-a-link": FINE,
    "kept-links": FINE,
}
"""What a confined worker cannot do, and how it ends unconfined."""
ALL = {**EVENTS, **ENDS, **VALUES, **OUTPUTS}


@pytest.fixture(scope="module")
def run_foul(plugin_site, start_bench, tmp_path_factory):
    """Run these models two at a time, with a healthy one beside them."""
    site = plugin_site("foul_plugin")

    def run(names, *options):
        folder = tmp_path_factory.mktemp("results")
        models = ",".join(["pop", *(f"foul:{name}" for name in names)])
        process = start_bench(
            "run", "--models", models, "--dataset", "tiny", "--jobs", "2", "--timeout", "60", "--results", folder,
            *options,
            environment={"PYTHONPATH": str(site)},
        )  # fmt: skip
        out, err = process.communicate(timeout=590)
        found = {result.cell.model.removeprefix("foul:"): result for result in Store(folder).results()}
        return types.SimpleNamespace(status=process.returncode, out=out, err=err, results=found, folder=folder)

    return run


def check(run, expected):
    """Every model is a row, and it is the right one."""
    assert "Traceback" not in run.out + run.err
    assert "should not happen" not in run.err
    assert "\x1b" not in run.out + run.err
    healthy = run.results["pop"].groups
    assert healthy["all"].metrics["recall@20"] > 0
    wrong = {}
    for name, reason in expected.items():
        result = run.results.get(name)
        found = result and (result.status, result.reason)
        if reason is FINE:
            right = found == ("finished", None) and (name == "lists-are-unsigned" or result.groups == healthy)
        else:
            right = found is not None and found[0] == "failed" and found[1].startswith(reason)
            right = right and found[1].isprintable() and len(found[1]) <= 2100
        if not right:
            wrong[name] = found
    assert wrong == {}
    assert run.results.keys() == expected.keys() | {"pop"}
    assert run.status == 1
    failed = sum(reason is not FINE for reason in expected.values())
    assert f"{failed} of {len(expected) + 1} cells failed" in run.err
    left = [path.name for path in run.folder.glob("cells/*/*") if path.name in ("job", "work") or "claim" in path.name]
    assert set(left) <= {"work"}


def test_each_is_a_row_and_the_others_go_on(run_foul):
    check(run_foul(FEW), {name: ALL[name] for name in FEW})


@pytest.fixture(scope="module")
def confined(run_foul):
    try:
        confine.held(confine.abi(), network=False)
    except confine.Unconfined as reason:
        pytest.skip(f"nothing is refused here: {reason}")
    return run_foul([*ALL, *REFUSED])


@pytest.mark.slow
def test_all_of_them_confined(confined):
    check(confined, {**ALL, **dict.fromkeys(REFUSED, "PermissionError: ")})


@pytest.mark.slow
def test_what_is_refused_is_done_unconfined(run_foul):
    """What is refused otherwise, and some of the rest, which is the same with and without."""
    check(run_foul([*FEW, *REFUSED, "cell-is-gone", "secretive"], "--unconfined"), {
        **{name: ALL[name] for name in FEW}, **REFUSED, "secretive": FINE,
        "cell-is-gone": f"{NO_OUTCOME} is not there",
    })  # fmt: skip


@pytest.mark.slow
def test_what_they_leave_is_bounded_and_true(confined):
    own = confined.results
    assert own["says-that-it-is-confined"].confinement == own["pop"].confinement
    assert own["lists-are-unsigned"].groups["all"].metrics["recall@20"] == 0
    assert own["lists-are-unsigned"].violations["unknown"] == 48 * 100
    assert len(own["model-is-deep"].warnings) == len(own["model-is-a-file"].warnings) == 1
    assert own["note-odd-name"].facts["backbone"].startswith("a|b")
    text = (confined.folder / "cells" / own["logs-gigabytes"].cell_id / "worker.log").read_bytes()
    assert text.startswith(b"the beginning\n")
    assert b"the end\n" in text[-200:]
    assert len(text) <= log.HEAD + log.TAIL + 200
    printed = 100 * 2**20 + len(b"the beginning\nthe end\n")
    assert re.search(rb"\[([\d,]+) bytes are left out", text)[1].replace(b",", b"") == b"%d" % (
        printed - log.HEAD - log.TAIL
    )


def test_every_action_is_tried():
    source = Path(__file__).parent / "foul_plugin" / "foul"
    names = {
        name.replace("_", "-")
        for module in ("ends", "events", "outputs", "values")
        for name in re.findall(r"^def ([a-z]\w*)\(context", (source / f"{module}.py").read_text(), re.MULTILINE)
    }
    assert names == {*ALL, *REFUSED, "cell-is-gone", "secretive"}
