"""Confine the calling process, and all that it starts, to what a worker needs: Landlock, Linux 5.13 and later.

Standard library alone and nothing of bench, since a rule binds the calling thread and what that starts later: an older
thread, such as numpy and pyarrow start when they are imported, would read on. It needs no privilege.

Held, by version of the kernel's interface (ABI): reading, writing and making files (1), moving them between folders
(2), shortening them (3), TCP (4), commands to devices (5), signals and abstract Unix sockets (6). The memory and the
environment of processes outside are closed with the first. Not held: UDP, Unix sockets by path, chmod, utime, and stat,
so a worker can learn that a file is there, and what root may do apart from files.

A process that the worker starts may not read its own folder in ``/proc``, which is none of the worker's: psutil fails
in it, and with it joblib's pool of processes. Threads and multiprocessing work.

Sources: https://docs.kernel.org/userspace-api/landlock.html and ``include/uapi/linux/landlock.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_SYM = 1 << 7, 1 << 8, 1 << 9, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_FILE | REMOVE_DIR | MAKE_REG | MAKE_DIR | REFER
SCRATCH = WRITE | EXECUTE | MAKE_SOCK  # multiprocessing hands tensors over through a socket in the temporary folder
DEVICE = READ | WRITE_FILE | IOCTL_DEV

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""A rule on a file must not ask for more."""
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI → number of file rights that it knows; they are the lowest bits."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38

_SYSTEM = {
    "": "bin sbin lib lib32 lib64 opt/rocm nix/store gnu/store home/linuxbrew/.linuxbrew",
    "/usr": "bin sbin lib lib32 lib64 libexec include share",
    "/usr/local": "bin lib lib64 share cuda",
    "/etc": "ld.so.cache ld.so.conf ld.so.conf.d localtime timezone locale.alias passwd group nsswitch.conf "
    "hosts host.conf resolv.conf gai.conf services protocols mime.types os-release fonts crypto-policies "
    "ssl/openssl.cnf ssl/certs pki/tls/openssl.cnf pki/tls/certs pki/ca-trust",
    # Without the processor's files torch takes slower kernels, whose last digits differ.
    "/proc": "self cpuinfo meminfo stat loadavg uptime version filesystems driver sys/vm/overcommit_memory",
    "/sys": "devices fs/cgroup kernel/mm/transparent_hugepage bus/pci class/drm",
}
"""Folder → what of it can be read and run; what a system lacks is left out."""
_PREFIX = "bin etc include lib lib64 libexec nvvm share ssl targets pyvenv.cfg"
"""What a Python environment consists of. Not all of its folder: that may be the project's, with results in it."""
_DEVICES = "null zero full random urandom dri kfd dxg"
"""Of ``/dev``, and NVIDIA's. Never the folder: root could read the disks."""
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (of multiprocessing's semaphores and tensors)

_libc = ctypes.CDLL(None, use_errno=True)

_pinned: list[int] = []
"""Descriptors of the files of ``/proc`` that have a rule. Without them the kernel may forget such a file under memory
pressure, and make a new one, without the rule, when it is opened again."""


class Unconfined(Exception):
    """The system cannot confine a process; the message says why."""


def abi() -> int:
    """The version of the kernel's interface, 1 or more.

    Raises
    ------
    Unconfined
        If there is none.
    """
    if sys.platform != "linux":
        raise Unconfined("only Linux can confine a process")
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    except OSError as error:
        reasons = {
            errno.ENOSYS: "the kernel has no Landlock (it needs Linux 5.13)",
            errno.EOPNOTSUPP: "Landlock is switched off in this kernel",
        }
        raise Unconfined(reasons.get(error.errno or 0, f"Landlock cannot be used here: {error}")) from None


def held(version: int, network: bool) -> str:
    """What a process is held to under ABI ``version``, in words for a row of results."""
    files = "files" if version >= 3 else "files but not shortening them"
    tcp = ["TCP"] if version >= 4 and not network else []
    return f"Landlock ABI {version}: " + ", ".join([files, *tcp, *(["signals"] if version >= 6 else [])])


def confine(
    read: Sequence[str],
    write: Sequence[str],
    scratch: str | None = None,
    network: bool = False,
    closed: Sequence[str] = (),
) -> str:
    """Confine this process for good, and say what it is held to.

    Parameters
    ----------
    read, write
        Folders or files, beside the interpreter, its import path, system libraries and devices. What is in a folder
        of ``write`` can be regular files and folders only, and symbolic links with ``network``, as in the hub's cache.
    scratch
        Home and temporary folder.
    network
        Whether TCP stays open.
    closed
        Files and folders that nobody should reach, also where they lie in the interpreter's or a system's folder. That
        one is reachable all the same, since it lies in what was named, is part of what is said.

    Raises
    ------
    Unconfined
        If the system cannot do it.
    OSError
        If it can, but this failed; nothing may be run then.
    """
    version = abi()
    rights = (1 << _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]) - 1
    tcp = 0b11 if version >= 4 and not network else 0  # bind and connect
    scope = 0b11 if version >= 6 else 0  # abstract sockets and signals
    attributes = struct.pack("=QQQ", rights, tcp, scope)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    named = [(path, READ) for path in read] + [(path, WRITE | (MAKE_SYM if network else 0)) for path in write]
    named += [(scratch, SCRATCH)] if scratch else []
    for path, wanted in named:
        _allow(ruleset, path, wanted & rights, required=True)
    wide = [*_of_system([*closed, *(path for path, _ in named)]), *_of_imports()]
    shut = [os.path.realpath(path) for path in closed]
    own = [around for path, wanted in wide for around in _around(path, os.path.realpath(path), wanted, shut)]
    for path, wanted in own:
        _allow(ruleset, path, wanted & rights)
    prctl(_NO_NEW_PRIVS, 1)
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    # What is closed is left out of the others.
    readable = [os.path.realpath(path) for path, wanted in named if wanted & READ_FILE]
    still_open = [path for path in shut if any(_within(path, folder) for folder in readable)]
    return held(version, network) + "".join(f", but {path} is open" for path in still_open)


def _around(path: str, real: str, wanted: int, shut: Sequence[str]) -> Iterator[tuple[str, int]]:
    """``path`` with its rights; where something shut lies in it, the right to list it and all that lies around that.

    A rule holds for all below a folder and cannot be taken back, so it is made for each neighbour. ``real`` is the path
    without links, as those of ``shut`` are.
    """
    inside = [one for one in shut if _within(one, real)]
    if not inside or not wanted & READ_FILE:
        yield path, wanted
    elif real not in inside:
        yield path, wanted & READ_DIR
        with os.scandir(path) as entries:
            for entry in entries:
                place = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                yield from _around(entry.path, place, wanted, inside)


def _within(path: str, folder: str) -> bool:
    """Whether a path without links is a folder, or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _of_system(job: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Paths with rights: what a Python process needs of the system, wherever its packages are."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    for folder, names in (*_SYSTEM.items(), *((prefix, _PREFIX) for prefix in prefixes)):
        yield from ((f"{folder}/{name}", RUN) for name in names.split())
    for variable in ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_PATH"):
        yield from ((path, RUN) for path in os.environ.get(variable, "").split(":") if path.startswith("/"))
    yield from ((f"/dev/{name}", DEVICE) for name in _DEVICES.split())
    yield from ((str(path), DEVICE) for path in Path("/dev").iterdir() if path.name.startswith("nvidia"))
    if not any(_inside(path, _SHARED_MEMORY) for path in job):  # or all other jobs would be open
        yield _SHARED_MEMORY, READ | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE


def _of_imports() -> Iterator[tuple[str, int]]:
    """Paths with rights: site-packages as a whole, and of other entries of ``sys.path`` what can be imported."""
    interpreter = tuple(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix))  # is open as a whole
    for entry in (Path(entry) for entry in dict.fromkeys(sys.path) if entry and not entry.startswith(interpreter)):
        if entry.name in ("site-packages", "dist-packages") or entry.is_file():
            yield str(entry), RUN
        elif entry.is_dir():
            yield str(entry), READ_DIR
            yield from ((str(path), RUN) for path in importable(entry))
    for finder in sys.meta_path:  # setuptools' editable installs
        module = sys.modules.get(getattr(finder, "__module__", None) or type(finder).__module__)
        for path in getattr(module, "MAPPING", {}).values():
            yield from ((found, RUN) for found in (path, f"{path}.py"))


def importable(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Packages, modules and metadata of distributions in ``folder``; ``depth`` levels of namespace packages too."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix in (".py", ".pyc", ".so", ".dist-info", ".egg-info", ".libs"):
                yield path
            elif path.name.isidentifier() and path.is_dir():
                if (path / "__init__.py").is_file():
                    yield path
                elif depth:
                    yield from importable(path, depth - 1)


def _inside(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def _allow(ruleset: int, path: str, rights: int, required: bool = False) -> None:
    """Allow ``rights`` for a file, or for a folder and all below it; what is missing is an error only if required."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        if required:
            raise
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, descriptor)
    _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0))
    if path.startswith("/proc/"):
        _pinned.append(descriptor)
    else:
        os.close(descriptor)


def prctl(option: int, value: int) -> None:
    """Set an option of this process.

    Raises
    ------
    OSError
        If it cannot be set.
    """
    if _libc.prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
