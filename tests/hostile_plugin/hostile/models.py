"""Good models on the outside: popularity, with something else in ``fit``."""

import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bench import Recommender
from hostile.attempts import Attempts


class Reads(Recommender):
    """Reads whatever it finds."""

    deterministic = True
    personalized = False

    def fit(self, train, valid, context):
        self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)
        attempts = Attempts()
        self.hostile(attempts, context)
        context.note("attempts", attempts.outcomes)

    def hostile(self, attempts, context):
        attempts.read()
        attempts.processes()

    def score(self, users, history):
        return np.tile(self.counts, (len(users), 1))


class Threads(Reads):
    """The same from a thread that it starts, and from one that was there."""

    def hostile(self, attempts, context):
        started = threading.Thread(target=lambda: _everything(attempts, "started: "))
        started.start()
        started.join()
        table = io.BytesIO()
        pd.DataFrame({name: range(10) for name in "abc"}).to_parquet(table)
        pd.read_parquet(io.BytesIO(table.getvalue()))  # its threads are there from now on
        found = {int(path.name) for path in Path("/proc/self/task").iterdir()} - {os.getpid()}

        class Spy(io.BytesIO):
            """Read by pyarrow, in a thread of its own pool."""

            def read(self, *size):
                if threading.get_native_id() in found:
                    _everything(attempts, "found: ")
                return super().read(*size)

        pd.read_parquet(Spy(table.getvalue()))


def _everything(attempts, prefix):
    attempts.read(prefix)
    attempts.processes(prefix)
    attempts.network(prefix)
    attempts.signals(prefix)


class Network(Reads):
    """Calls home, and its neighbours."""

    def hostile(self, attempts, context):
        attempts.network()
        attempts.signals()


class Writes(Reads):
    """Writes outside, and makes of its output more than it is."""

    def hostile(self, attempts, context):
        attempts.write()


class Orphan(Reads):
    """Leaves a process in a session of its own behind, which waits for the answers to appear."""

    def hostile(self, attempts, context):
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(write, str(os.getpid()).encode())
                time.sleep(120)
            os._exit(0)
        os.wait()
        context.note("orphan", int(os.read(read, 20)))
