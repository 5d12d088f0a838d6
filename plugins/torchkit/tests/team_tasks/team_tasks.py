"""Tasks that a follower can import."""

import os
import signal

import numpy as np
import torch
from bench_torchkit.trainer import Stage, Task


class Digits(Task):
    """Two layers, one of which is used by some rows alone, so that a process may have no gradient of it."""

    stages = (Stage("first", 2, 3), Stage("second", 2, 3))

    def __init__(self, fault=""):
        torch.manual_seed(7)
        self.main, self.rare = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
        self.never = torch.nn.Linear(4, 3)
        self.module = torch.nn.ModuleList([self.main, self.rare, self.never])
        self.fault = fault
        self.x = torch.randn(25, 4)
        self.y = torch.randint(0, 3, (25,))
        self.leader = os.getpid()

    def optimizer(self, stage):
        return torch.optim.AdamW(self.module.parameters(), lr=0.05 * (stage + 1), weight_decay=0.1)

    def seed(self, place):
        return place.epoch

    def batches(self, place):
        order = np.random.default_rng([place.stage, place.epoch]).permutation(25)
        return [torch.from_numpy(rows) for rows in np.array_split(order, 3)]

    def split(self, batch, parts):
        return [(part, len(part) / len(batch)) for part in batch.tensor_split(parts) if len(part)]

    def losses(self, batch, place):
        if os.getpid() != self.leader and place.epoch == 2:
            self.fail(batch)
        scores = self.main(self.x[batch])
        chosen = batch == 3
        if chosen.any():
            scores = scores + chosen[:, None] * self.rare(self.x[batch])
        loss = torch.nn.functional.cross_entropy(scores, self.y[batch])
        if self.fault == "diverges" and place.epoch == 2:
            loss = loss * torch.nan
        return {"total": loss, "twice": 2 * loss}

    def fail(self, batch):
        if self.fault == "raises":
            raise ValueError("no such digit")
        if self.fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "memory" and len(batch) > 2:
            raise torch.OutOfMemoryError
