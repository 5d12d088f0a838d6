"""What can be left in place of the lists, the outcome and the working files.

Most of it is done when the worker believes that it is done: behind its last word.
"""

import json
import os
import shutil
import socket
import struct
import sys
from pathlib import Path

import numpy as np

GIVEN, OUTPUT, WORK = (Path(word) for word in sys.argv[1:4]) if len(sys.argv) > 3 else (Path(),) * 3


def _at_the_end(act):
    """Call ``act`` when everything has been left, and end at once."""
    worker = sys.modules["__main__"]
    leave = worker._leave

    def left(folders, outcome):
        leave(folders, outcome)
        act()

    worker._leave = left


def _array(name, make):
    _at_the_end(lambda: np.save(OUTPUT / f"{name}.npy", make(np.load(OUTPUT / f"{name}.npy"))))


def _bytes(name, content):
    _at_the_end(lambda: (OUTPUT / name).write_bytes(content))


def _header(text):
    text = text.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def lists_are_gone(context):
    _at_the_end((OUTPUT / "items.npy").unlink)


def scores_are_gone(context):
    _at_the_end((OUTPUT / "scores.npy").unlink)


def output_is_gone(context):
    _at_the_end(lambda: shutil.rmtree(OUTPUT, ignore_errors=True))


def lists_are_a_folder(context):
    _at_the_end(lambda: ((OUTPUT / "items.npy").unlink(), (OUTPUT / "items.npy").mkdir()))


def lists_are_a_link(context):
    _at_the_end(lambda: ((OUTPUT / "items.npy").unlink(), (OUTPUT / "items.npy").symlink_to(GIVEN / "users.npy")))


def lists_are_a_pipe(context):
    _at_the_end(lambda: ((OUTPUT / "items.npy").unlink(), os.mkfifo(OUTPUT / "items.npy")))


def lists_are_floats(context):
    _array("items", lambda items: items.astype(float))


def lists_are_text(context):
    _array("items", lambda items: items.astype(str).astype("U2"))


def lists_are_records(context):
    _array("items", lambda items: np.zeros(items.shape, [("a" * 90, "i4")]))


def lists_are_one_number(context):
    _array("items", lambda items: np.int32(3))


def lists_are_flat(context):
    _array("items", np.ravel)


def lists_lack_a_column(context):
    _array("items", lambda items: items[:, 1:])


def lists_lack_a_user(context):
    _array("items", lambda items: items[1:])


def lists_are_unsigned(context):
    _array("items", lambda items: items.astype(np.uint64) + np.uint64(2**63))


def scores_are_complex(context):
    _array("scores", lambda scores: scores.astype(np.complex64))


def lists_are_cut_off(context):
    _at_the_end(lambda: os.truncate(OUTPUT / "items.npy", 300))


def lists_are_empty(context):
    _bytes("items.npy", b"")


def lists_are_garbage(context):
    _bytes("items.npy", bytes(range(256)) * 10)


def lists_are_a_zip(context):
    _bytes("items.npy", b"PK\x03\x04" + b"\0" * 200)


def lists_are_a_pickle(context):
    _bytes("items.npy", b"\x80\x04cos\nsystem\n(S'true'\ntR.")


def lists_have_an_odd_header(context):
    _bytes("items.npy", _header("{'descr': '<i4', 'fortran_order': False, 'shape': ((((((((((((((((((((3, \n"))


def lists_have_a_deep_header(context):
    _bytes("items.npy", _header("(" * 900 + "\n"))


def lists_claim_to_be_huge(context):
    _bytes("items.npy", _header("{'descr': '<i4', 'fortran_order': False, 'shape': (10000000000000, 20), }\n"))


def lists_claim_to_be_less_than_nothing(context):
    _bytes("items.npy", _header("{'descr': '<i4', 'fortran_order': False, 'shape': (-1, 20), }\n"))


def lists_are_a_sparse_terabyte(context):
    _at_the_end(lambda: os.truncate(OUTPUT / "items.npy", 2**40))


def outcome_is_a_folder(context):
    _at_the_end(lambda: ((OUTPUT / "outcome.json").unlink(), (OUTPUT / "outcome.json").mkdir()))


def outcome_is_a_pipe(context):
    _at_the_end(lambda: ((OUTPUT / "outcome.json").unlink(), os.mkfifo(OUTPUT / "outcome.json")))


def outcome_is_sparse(context):
    _at_the_end(lambda: os.truncate(OUTPUT / "outcome.json", 2**40))


def outcome_is_garbage(context):
    _bytes("outcome.json", b"\xff\xfe\0")


def _forged(**fields):
    def forge():
        told = json.loads((OUTPUT / "outcome.json").read_text())
        (OUTPUT / "outcome.json").write_text(json.dumps({**told, **fields}))

    _at_the_end(forge)


def forged_and_out(context):
    (OUTPUT / "outcome.json").write_text('{"status": "done"}')
    os._exit(0)


def forged_types(context):
    _forged(phases=[], facts=3, validations="many")


def forged_seconds(context):
    _forged(phases={"fit": {"seconds": -5, "peak_mib": 3}})


def forged_infinity(context):
    _forged(phases={"fit": {"seconds": float("inf"), "peak_mib": float("nan")}})


def forged_phases(context):
    _forged(phases={})


def forged_facts(context):
    _forged(facts={f"fact {i}": "x" * 1000 for i in range(20_000)})


def forged_depth(context):
    deep = 1
    for _ in range(180):
        deep = [deep]
    _forged(facts={"deep": deep})


def forged_stranger(context):
    _forged(surprise=1)


def forged_reason(context):
    (OUTPUT / "outcome.json").write_text(json.dumps({
        "status": "failed", "reason": "two\nlines \x1b[31m", "phases": {"fit": {"seconds": 1, "peak_mib": 1}},
    }))  # fmt: skip
    os._exit(1)


def forged_packages(context):
    _forged(packages={"\x1b[31m\n": "1" * 10_000})


def pipe_in_the_work_folder(context):
    os.mkfifo(WORK / "epochs.jsonl")
    os.mkfifo(context.folder / "pipe")


def socket_in_the_work_folder(context):
    os.chdir(context.folder)
    socket.socket(socket.AF_UNIX).bind("s")


def work_is_a_file(context):
    shutil.rmtree(WORK / "checkpoints")
    (WORK / "checkpoints").write_text("no folder")


def work_is_deep(context):
    os.chdir(context.folder)
    for _ in range(3000):
        Path("d").mkdir()
        os.chdir("d")


def model_is_a_link(context):
    _at_the_end(lambda: (shutil.rmtree(OUTPUT / "model", ignore_errors=True), (OUTPUT / "model").symlink_to("/etc")))


def model_has_a_link(context):
    _at_the_end(
        lambda: ((OUTPUT / "model").mkdir(exist_ok=True), (OUTPUT / "model" / "passwd").symlink_to("/etc/passwd"))
    )


def model_is_a_file(context):
    _at_the_end(lambda: (shutil.rmtree(OUTPUT / "model", ignore_errors=True), (OUTPUT / "model").write_text("x")))


def model_is_deep(context):
    def dig():
        (OUTPUT / "model").mkdir(exist_ok=True)
        os.chdir(OUTPUT / "model")
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")

    _at_the_end(dig)


def cell_is_gone(context):
    _at_the_end(lambda: shutil.rmtree(OUTPUT.parent.parent, ignore_errors=True))
