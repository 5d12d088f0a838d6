"""What can go wrong in a stranger's model."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from bench import ModelConfig, Recommendations, Recommender, Search, rank


class Config(ModelConfig):
    epochs: int = 3
    """Epochs of the model that learns."""


class Healthy(Recommender):
    """Recommends what is popular."""

    Config = Config
    deterministic = True
    state = ("counts",)

    def fit(self, train, valid, context):
        self.counts = np.bincount(train.items, minlength=train.n_items).astype(np.float32)
        self.rough(context)

    def rough(self, context):
        pass

    def score(self, users, history):
        return np.tile(self.counts, (len(users), 1))

    def recommend(self, users, history, exclude, k):
        return self.spoilt(super().recommend(users, history, exclude, k), exclude)

    def spoilt(self, found, exclude):
        return found


class OverfitsConfig(ModelConfig):
    share: Annotated[float, Search(0.0, 1.0)] = 0.0
    """Of the validation items of each user, those that are learnt by heart."""


class Overfits(Healthy):
    Config = OverfitsConfig
    state = ("counts", "known")

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        drawn = np.random.default_rng(0).random(len(valid.items)) < self.config.share
        self.known = np.zeros(valid.shape, np.float32)
        self.known[valid.users[drawn], valid.items[drawn]] = self.counts.max() + 1

    def score(self, users, history):
        return super().score(users, history) + self.known[users]


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
        print('{"event": "phase", "name": "fit"}', flush=True)


class Spies(Healthy):
    """Notes whatever it can see without malice."""

    def rough(self, context):
        split = Path(context._visible.path)
        context.note("environment", dict(os.environ))
        context.note("arguments", sys.argv)
        context.note("folder", str(Path.cwd()))
        context.note("job", Path(sys.argv[1], "request.json").read_text())
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


class ShakenConfig(ModelConfig):
    noise: Annotated[float, Search(0.0, 1.0)] = 0.1
    """Share of chance in the scores."""


class Shaken(Healthy):
    """Trains for twelve epochs; the more noise, the worse it is."""

    Config = ShakenConfig
    deterministic = False

    def rough(self, context):
        final, rng = self.counts.copy(), np.random.default_rng(context.seed)
        for _ in context.epochs(12):
            noise = rng.random(len(final), np.float32) * final.max()
            self.counts = final + np.float32(self.config.noise) * (noise - final)
            if context.validate().stop:
                break


class Checkpoints(Healthy):
    """Trains in two stages and goes on where it was; dies where ROUGH_DIE says, in the way of ROUGH_HOW."""

    deterministic = False

    def rough(self, context):
        path, trained = context.folder / "checkpoint.json", []
        rng = np.random.default_rng(context.seed)
        at, best = ["vectors", 0], None
        if path.is_file():
            at, weights, best, rng.bit_generator.state = json.loads(path.read_text())
            self.counts, best = np.array(weights, np.float32), np.array(best, np.float32)
        stages = ["vectors", "lists"]
        for stage in stages:
            over = stages.index(stage) < stages.index(at[0])
            done = 4 if over else at[1] if stage == at[0] else 0
            for epoch in context.epochs(4, stage=stage, done=done):
                trained.append(f"{stage} {epoch}")
                time.sleep(0.02)
                self.counts = self.counts + rng.random(len(self.counts), np.float32) * 9
                if context.validate().improved:
                    best = self.counts
                whole = json.dumps([[stage, epoch], self.counts.tolist(), best.tolist(), rng.bit_generator.state])
                path.with_suffix(".new").write_text(whole)
                path.with_suffix(".new").rename(path)
                if os.environ.get("ROUGH_DIE") == trained[-1]:
                    self.die(os.environ["ROUGH_HOW"])
            if not over:
                self.counts = best
        context.note("trained", trained)

    def die(self, how):
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "raise":
            raise RuntimeError("in the midst of it")
        time.sleep(600)


class Together(Healthy):
    """Starts the processes that it was given, of 150 MiB each, and notes whether it may connect to anything."""

    distributed = True

    def rough(self, context):
        words = [sys.executable, "-c", "bytearray(150 << 20)"]
        for other in [subprocess.Popen(words) for _ in range(context.processes - 1)]:
            other.wait()
        try:
            socket.create_server(("127.0.0.1", 0)).close()
            may = True
        except PermissionError:
            may = False
        context.note("given", [context.processes, os.environ["OMP_NUM_THREADS"], may])


class Explains(Healthy):
    """Says why: of which item it speaks, for whom, and what else came to its mind."""

    def explain(self, users, history, recommendations):
        def why(row, item):
            known = history.items[history.indptr[row] : history.indptr[row + 1]].tolist()
            path = [{"token": "kind", "p": 0.123456}, {"token": str(item % 4), "p": 1.0}]
            return {"speaks of": int(item), "to": int(users[row]), "who knows": known, "path": path, "text": "a\nb"}

        return [[why(row, item) for item in items if item >= 0] for row, items in enumerate(recommendations.items)]


class Mumbles(Healthy):
    def explain(self, users, history, recommendations):
        return [[{"why": "because"}] for _ in users]


class PartsConfig(ModelConfig):
    blocks: bool = True
    strength: int = 1


class Parts(Healthy):
    """Has presets, a backbone, and parts that can be left away."""

    Config = PartsConfig
    deterministic = False
    presets: ClassVar = {"quick": {}, "paper": {"strength": 2}}
    ablations: ClassVar = {
        "no_blocks": {"blocks": False},
        "no_strength": {"strength": 0},
        "breaks": {"strength": -1},
        "invalid": {"strength": "much"},
        "unknown": {"size": 3},
    }

    def rough(self, context):
        if self.config.strength < 0:
            raise RuntimeError("no strength left")
        noise = np.random.default_rng(context.seed).random(len(self.counts), np.float32)
        self.counts = self.counts * self.config.strength / self.counts.max() + noise
        context.note("backbone", "scratch" if self.config.strength < 2 else "t5-small")

    def recommend(self, users, history, exclude, k):
        """By the block of four, as ``tests/conftest.py`` makes them, in which most of the history lies."""
        if not self.config.blocks:
            return super().recommend(users, history, exclude, k)
        liked = np.zeros((len(users), 4), np.float32)
        np.add.at(liked, (history.users, history.items % 4), 1)
        return rank(lambda rows: 9 * liked[rows][:, np.arange(exclude.n_items) % 4] + self.counts, exclude, k)


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


class FetchConfig(ModelConfig):
    url: str = ""
    """Of a file that the model needs."""


class Fetches(Healthy):
    """Needs a file of the net, and looks whether there is a net when it is run."""

    Config = FetchConfig

    @classmethod
    def fetch(cls, config):
        Path(os.environ["HF_HUB_CACHE"], "weights").write_bytes(urllib.request.urlopen(config.url, timeout=10).read())

    def rough(self, context):
        context.note("weights", Path(os.environ["HF_HUB_CACHE"], "weights").read_text())
        context.note("offline", os.environ.get("HF_HUB_OFFLINE"))
        try:
            urllib.request.urlopen(self.config.url, timeout=10)
            context.note("net", "open")
        except OSError as error:
            context.note("net", str(error))
        try:
            Path(os.environ["HF_HUB_CACHE"], "weights").write_text("changed")
            context.note("cache", "can be changed")
        except OSError as error:
            context.note("cache", str(error))


class ReadsConfig(ModelConfig):
    path: str = ""
    """A file that it tries to read."""


class Reads(Healthy):
    Config = ReadsConfig

    def rough(self, context):
        try:
            context.note("read", Path(self.config.path).read_text())
        except OSError as error:
            context.note("read", type(error).__name__)


class Shallow(Healthy):
    """Ranks no more than twelve items."""

    @classmethod
    def longest_list(cls, config):
        return 12


class Unsaved(Healthy):
    def save(self, folder):
        raise RuntimeError("it cannot be written")


class ById(Healthy):
    fold_in = False


def family(name):
    """``rough-family:good`` is a model."""
    return Healthy if name == "rough-family:good" else None


class Shallowest(Healthy):
    """Ranks no more than five items, fewer than a model is judged by."""

    @classmethod
    def longest_list(cls, config):
        return 5
