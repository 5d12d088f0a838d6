"""What can be written where events are expected."""

import json
import os
import subprocess
import sys
import time

PIPE = int(sys.argv[-1]) if sys.argv[-1].isdigit() else -1


def _send(*lines):
    for line in lines:
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        whole = data + b"\n"
        while whole:
            whole = whole[os.write(PIPE, whole) :]


def nothing(context):
    pass


def bare_progress(context):
    _send(
        {"event": "progress"}, {"event": "phase"}, {"event": "validation"}, {"event": "failed"}, {"event": "confined"}
    )


def events_of_the_parent(context):
    _send({"event": "started", "resumed": False}, {"event": "waiting", "holder": "x"}, {"event": "finished"})
    _send({"event": "kept", "result": {}}, {"event": "finished", "result": {"groups": {}}})


def odd_types(context):
    _send([], 1, None, "text", {}, {"event": 3}, {"event": ["progress"]}, {"event": None})
    _send({"event": "progress", "done": "x", "total": {}, "unit": 3})
    _send(
        {"event": "progress", "done": -1, "total": 0, "unit": ""},
        {"event": "progress", "done": 0, "total": 0, "unit": ""},
    )
    _send({"event": "phase", "name": "nonsense"}, {"event": "phase", "name": 7})


def huge_numbers(context):
    _send({"event": "progress", "done": 1, "total": 10**400, "unit": "step"})
    _send(b'{"event": "progress", "done": 1, "total": 1e999, "unit": "step"}')
    _send({"event": "validation", "stage": "", "epoch": 10**30, "metric": "m", "score": 0.5, "improved": True})


def scores_that_are_none(context):
    for score in (b"NaN", b"Infinity", b"1e999", b'"x"', b"null"):
        _send(b'{"event": "validation", "stage": "", "epoch": 1, "metric": "m", "score": %s, "improved": true}' % score)


def markup_as_unit(context):
    for unit in ("[/red]", "[bold", "\x1b[2J\x1b[31m", "a\nb\rc", "\u202eunit", "x" * 10**5):
        _send({"event": "progress", "done": 1, "total": 2, "unit": unit})
        time.sleep(0.03)


def phases_out_of_order(context):
    for name in ("explain", "load", "recommend", "import", "fit") * 50:
        _send({"event": "phase", "name": name})


def surrogates_and_depth(context):
    _send(
        b'{"event": "failed", "reason": "\\ud800"}', b'{"event": "progress", "done": 1, "total": 1, "unit": "\\udfff"}'
    )
    _send(b'{"event": ' + b"[" * 300 + b"]" * 300 + b"}", b"[" * 60_000)


def garbage(context):
    _send(os.urandom(2**20), b"\0" * 2**16, b"\xff\xfe{}")


def megabytes_without_end_of_line(context):
    block = b"x" * 2**20
    for _ in range(20):
        os.write(PIPE, block)


def half_a_line(context):
    os.write(PIPE, b'{"event": "progress", "do')


def flood_of_progress(context):
    line = b'{"event": "progress", "done": 1, "total": 2, "unit": "flood"}\n' * 500
    end = time.monotonic() + 2
    while time.monotonic() < end:
        os.write(PIPE, line)


def flood_of_validations(context):
    line = b'{"event": "validation", "stage": "s", "epoch": 1, "metric": "m", "score": 0.1, "improved": false}\n' * 300
    for _ in range(200):
        os.write(PIPE, line)


def says_that_it_failed(context):
    _send({"event": "failed", "reason": "not at all\nin two lines"})


def says_that_it_is_confined(context):
    _send({"event": "confined", "held": "very well"})


def child_keeps_the_pipe(context):
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    subprocess.Popen(words, pass_fds=[PIPE], start_new_session=True)


def pipe_is_closed(context):
    os.close(PIPE)


def pipe_does_not_block(context):
    os.set_blocking(PIPE, False)
