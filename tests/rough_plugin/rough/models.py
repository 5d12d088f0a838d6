"""What can go wrong in a stranger's model."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.contract import ModelConfig, Recommendations, hookimpl
from bench.evaluation.topk import rank


class Config(ModelConfig):
    epochs: int = 3
    """Epochs of the model that learns."""


class Healthy:
    """Recommends what is popular."""

    Config = Config
    deterministic = True

    def __init__(self, config):
        self.config = config

    def fit(self, train, valid, context):
        self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)
        self.rough(context)

    def rough(self, context):
        pass

    def recommend(self, users, history, exclude, k):
        found = rank(lambda rows: np.tile(self.counts, (len(rows), 1)), exclude, k)
        return self.spoilt(found, exclude)

    def spoilt(self, found, exclude):
        return found

    def save(self, folder):
        np.save(folder / "counts.npy", self.counts)

    def load(self, folder, device):
        self.counts = np.load(folder / "counts.npy")


class Raises(Healthy):
    def rough(self, context):
        raise RuntimeError("the model broke\nin two lines")


class Aborts(Healthy):
    def rough(self, context):
        os.abort()


class Killed(Healthy):
    def rough(self, context):
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Healthy):
    def rough(self, context):
        sys.exit(0)


class Stuck(Healthy):
    """In native code that holds the interpreter lock."""

    def rough(self, context):
        import ctypes

        ctypes.PyDLL(None).sleep(600)


class Hungry(Healthy):
    def rough(self, context):
        self.much = np.ones(2**40 // 8)


class NoDisk(Healthy):
    def rough(self, context):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


class Grandchild(Healthy):
    """Leaves a process behind that holds all its pipes open."""

    def rough(self, context):
        words = [sys.executable, "-c", "import time; time.sleep(600)", f"grandchild of {context.folder}"]
        subprocess.Popen(words, close_fds=False)


class GrandchildAndSleeps(Grandchild):
    def rough(self, context):
        super().rough(context)
        time.sleep(600)


class Noisy(Healthy):
    def rough(self, context):
        context.log("said through the context")
        print("said on standard output", flush=True)
        os.write(2, b"said on standard error by native code \xff\n")
        print('{"event": "done", "phases": {}}', flush=True)


class Spies(Healthy):
    """Notes whatever it can see without malice."""

    def rough(self, context):
        split = Path(context._split.path)
        context.note("environment", dict(os.environ))
        context.note("arguments", sys.argv)
        context.note("folder", str(Path.cwd()))
        context.note("job", Path(sys.argv[1], "job.json").read_text())
        context.note("files", sorted(path.name for path in split.iterdir()))
        context.note("split", str(split))


class Learner(Healthy):
    """Trains in epochs and validates."""

    deterministic = False

    def rough(self, context):
        final = self.counts.copy()
        for epoch in context.epochs(self.config.epochs):
            self.counts = final * np.float32(epoch % 2)
            if context.validate().stop:
                break
        self.counts = final


class Shape(Healthy):
    def spoilt(self, found, exclude):
        return Recommendations(found.items[:, :3], found.scores[:, :3])


class NaN(Healthy):
    def spoilt(self, found, exclude):
        return Recommendations(found.items, np.full_like(found.scores, np.nan))


class Unknown(Healthy):
    def spoilt(self, found, exclude):
        return Recommendations(found.items + exclude.n_items, found.scores)


class Excluded(Healthy):
    def spoilt(self, found, exclude):
        items = found.items.copy()
        some = np.flatnonzero(exclude.lengths)
        items[some, 0] = exclude.items[exclude.indptr[some]]
        return Recommendations(items, found.scores)


class Duplicates(Healthy):
    def spoilt(self, found, exclude):
        return Recommendations(np.repeat(found.items[:, :1], found.items.shape[1], axis=1), found.scores)


class Nothing(Healthy):
    def spoilt(self, found, exclude):
        return None


class Objects(Healthy):
    def spoilt(self, found, exclude):
        return Recommendations(found.items.astype(object), found.scores)


MODELS = {
    "aborts": Aborts, "duplicates": Duplicates, "excluded": Excluded, "exits": Exits, "grandchild": Grandchild,
    "healthy": Healthy, "hungry": Hungry, "killed": Killed, "learner": Learner, "nan": NaN, "no-disk": NoDisk,
    "noisy": Noisy, "none": Nothing, "objects": Objects, "raises": Raises, "shape": Shape,
    "sleeps": GrandchildAndSleeps, "spies": Spies, "stuck": Stuck, "unknown": Unknown,
}  # fmt: skip


@hookimpl
def bench_model(name):
    if name == "rough-family:good":
        return Healthy
    return MODELS.get(name.removeprefix("rough-"))
