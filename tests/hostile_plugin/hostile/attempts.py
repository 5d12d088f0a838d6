"""What a stranger's code may try. Each attempt ends as ``refused``, ``done`` or with what else happened."""

import errno
import json
import os
import socket
import sys
from pathlib import Path

REFUSED = (errno.EPERM, errno.EACCES, errno.EXDEV)
OF_PROCESSES = ("mem", "environ", "maps", "fd/0", "root/etc/passwd")


class Attempts:
    """Outcomes by name."""

    def __init__(self):
        self.known = json.loads(os.environ["HOSTILE"])
        self.given, self.output = map(Path, sys.argv[1:3])
        self.guardian = os.getppid()
        self.outcomes = {}

    def attempt(self, name, call):
        try:
            call()
            self.outcomes[name] = "done"
        except OSError as error:
            self.outcomes[name] = "refused" if error.errno in REFUSED else repr(error)

    def read(self, prefix=""):
        """Every file of the cache, the raw data and the results, and what lies beside the own split."""
        for path in self.known["files"]:
            self.attempt(f"{prefix}read {path}", Path(path).read_bytes)
        for path in self.known["folders"]:
            self.attempt(f"{prefix}list {path}", lambda path=path: list(Path(path).iterdir()))
        cell = self.given.parent.parent
        for steps, path in {"job": self.given.parent, "cell": cell, "cells": cell.parent}.items():
            self.attempt(f"{prefix}list the {steps}", lambda path=path: list(Path(path).iterdir()))
        inside = Path("/proc/self/root", *Path(self.known["files"][0]).parts[1:])
        self.attempt(f"{prefix}read by another root", inside.read_bytes)

    def processes(self, prefix=""):
        """The parent, its parent, and whoever was started before this process."""
        for pid in (self.guardian, self.known["pid"]):
            self.attempt(f"{prefix}fd of {pid}", lambda pid=pid: list(Path(f"/proc/{pid}/fd").iterdir()))
            for name in OF_PROCESSES:
                self.attempt(f"{prefix}{name} of {pid}", Path(f"/proc/{pid}/{name}").open)
        for pid in (1, *range(max(2, os.getpid() - 2000), os.getpid())):
            try:
                Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            self.outcomes[f"{prefix}environ of {pid}"] = "done"

    def network(self, prefix=""):
        self.attempt(f"{prefix}connect", lambda: socket.create_connection(("127.0.0.1", self.known["port"])).close())
        self.attempt(f"{prefix}listen", lambda: socket.create_server(("127.0.0.1", 0)).close())

    def signals(self, prefix=""):
        for pid in (self.guardian, self.known["pid"]):
            self.attempt(f"{prefix}signal {pid}", lambda pid=pid: os.kill(pid, 0))

    def write(self):
        """Files outside, what was given, results, and an output that is more than a file."""
        cell = self.given.parent.parent
        result = next(path for path in self.known["files"] if path.endswith("result.json"))
        for path in self.known["files"]:
            self.attempt(f"change {path}", lambda path=path: Path(path).open("r+b").close())
            self.attempt(f"remove {path}", Path(path).unlink)
        for path in (*self.known["folders"], cell.parent, cell, self.given.parent, self.given, self.given / "split"):
            self.attempt(f"make a file in {path}", lambda path=path: Path(path, "hostile").write_text("hostile"))
        self.attempt("make a file in /tmp", lambda: Path("/tmp", f"hostile-{os.getpid()}").write_text("hostile"))
        self.attempt("own result", lambda: (cell / "result.json").write_text("{}"))
        self.attempt("change the split", lambda: next((self.given / "split").iterdir()).open("r+b").close())
        self.attempt("link as lists", lambda: (self.output / "items.npy").symlink_to(result))
        self.attempt("pipe as scores", lambda: os.mkfifo(self.output / "scores.npy"))
        self.attempt("shared data as output", lambda: os.link(self.given / "users.npy", self.output / "users.npy"))
        self.attempt("result as output", lambda: os.link(result, self.output / "kept"))
        self.attempt("link as folder", lambda: (self.output / "model").symlink_to(cell.parent))
