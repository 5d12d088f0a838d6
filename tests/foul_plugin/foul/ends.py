"""How a process can end, and what can be done to it before."""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path


class _Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class _NotText(Exception):
    def __str__(self):
        return 3


class _Bare(BaseException):
    pass


def exits_with_text(context):
    sys.exit("text instead of a status")


def exits_with_an_object(context):
    raise SystemExit({"a": 1})


def interrupts(context):
    raise KeyboardInterrupt


def bare_exception(context):
    raise _Bare("of its own kind")


def generator_exit(context):
    raise GeneratorExit


def recursion(context):
    recursion(context)


def memory(context):
    raise MemoryError("so much")


def unspeakable(context):
    raise _Unspeakable


def message_is_no_text(context):
    raise _NotText


def surrogate_in_the_reason(context):
    raise ValueError("half a sign \ud800 and \udcff")


def terminal_codes_in_the_reason(context):
    raise ValueError("red \x1b[31m and\rback \x07 \u202e")


def endless_reason(context):
    raise ValueError("x" * 10**7)


def deep_reason(context):
    deep = []
    for _ in range(300):
        deep = [deep]
    raise ValueError(deep)


def group_of_errors(context):
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def unicode_error(context):
    b"\xff\xfe".decode("utf-8")


def quits_in_silence(context):
    os._exit(0)


def quits_with_300(context):
    os._exit(300)


def cannot_confine_status(context):
    os._exit(78)


def segfault(context):
    ctypes.string_at(0)


def real_time_signal(context):
    os.kill(os.getpid(), 40)
    time.sleep(60)


def reserved_signal(context):
    os.kill(os.getpid(), 33)
    time.sleep(60)


def last_signal(context):
    os.kill(os.getpid(), signal.SIGRTMAX)
    time.sleep(60)


def alarm(context):
    signal.alarm(1)
    time.sleep(60)


def cpu_limit(context):
    resource.setrlimit(resource.RLIMIT_CPU, (1, 30))
    while True:
        pass


def no_files_left(context):
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def no_space_left(context):
    import errno

    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")


def closes_everything(context):
    os.closerange(0, 256)


def goes_away(context):
    os.chdir("/")


def folder_is_gone(context):
    place = Path(os.environ["TMPDIR"], "place")
    place.mkdir()
    os.chdir(place)
    place.rmdir()


def secretive(context):
    os.umask(0o777)


def threads_outlive_fit(context):
    def forever():
        while True:
            time.sleep(0.1)

    for _ in range(5):
        threading.Thread(target=forever).start()


def thread_raises(context):
    threading.Thread(target=lambda: 1 / 0).start()


def exit_handler_raises(context):
    import atexit

    atexit.register(lambda: time.sleep(600))


def modules_are_spoilt(context):
    sys.modules["odd name"] = None
    sys.modules["odd"] = 3
    sys.stdout = None


def deep_home(context):
    os.chdir(os.environ["HOME"])
    for _ in range(3000):
        Path("d").mkdir()
        os.chdir("d")


def guardian_is_killed(context):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def logs_gigabytes(context):
    block = b"0123456789abcde\n" * 2**16
    os.write(1, b"the beginning\n")
    for _ in range(100):
        os.write(1, block)
    os.write(1, b"the end\n")


def log_stays_open(context):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
