"""Several processes that train one task: each computes its parts of a batch, and all take the same step.

The leader is the process that would train alone: it validates, keeps checkpoints, and knows the harness. It starts
followers with a copy of the task (:mod:`bench_torchkit.follower`), which do what it tells them. They talk through
loopback sockets: gloo, and NCCL between GPUs, of which each process has one.

Gradients are summed, not averaged, since a task says what share in the loss each part has. That, and that a task calls
more of its module than ``forward``, is why neither ``DistributedDataParallel`` nor accelerate, which builds on it, is
used here.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

TASK, STAGE, REASON = "task.pt", "stage.pt", "reason-{}"
"""Files of a team's folder: the task with its settings, the state in which a stage begins, and why a rank failed."""
_PATIENCE = datetime.timedelta(days=1)
"""Followers wait for the leader's validation. One that dies closes its sockets, which is seen at once."""
_LAST_WORDS = 30.0
"""Seconds in which followers end when they are told to."""
_DYING = 5.0
"""Seconds in which a follower that was killed is gone; also what the leader waits if the fault is its own."""


@dataclass
class Team:
    """What this process is in a team; in one of one process, nothing is to be done."""

    rank: int = 0
    """0 is the leader."""
    size: int = 1
    device: str = "cpu"
    folder: Path = Path()
    followers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Of the leader."""

    def join(self) -> None:
        """Meet the others, on this process's own device."""
        os.environ.update(GLOO_SOCKET_IFNAME="lo", NCCL_SOCKET_IFNAME="lo")
        if self.device.startswith("cuda"):
            torch.cuda.set_device(self.device)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if self.device.startswith("cuda") else "gloo",
            init_method=f"file://{self.folder}/store",
            rank=self.rank,
            world_size=self.size,
            timeout=_PATIENCE,
        )

    def tell(self, order: Any) -> None:
        """As the leader, say what comes next; None is the end."""
        if self.size > 1:
            dist.broadcast_object_list([order])

    def hear(self) -> Any:
        """As a follower, wait for what comes next."""
        box = [None]
        dist.broadcast_object_list(box)
        return box[0]

    def sum_gradients(self, module: nn.Module, short: bool) -> bool:
        """Let every process have the sum of all gradients, unless one is ``short`` of memory; returns whether one is.

        A parameter has no gradient afterwards if no process had one.
        """
        if self.size == 1:
            return short
        parameters = [p for p in module.parameters() if p.requires_grad]
        device = parameters[0].device
        found = torch.tensor([short, *(p.grad is not None for p in parameters)], dtype=torch.int32, device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        any_short, *has = found.tolist()
        if any_short:
            return True
        taught = [p for p, one in zip(parameters, has, strict=True) if one]
        for dtype in dict.fromkeys(p.dtype for p in taught):
            some = [p for p in taught if p.dtype == dtype]
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in some])
            dist.all_reduce(flat)
            for p, summed in zip(some, torch.split(flat, [p.numel() for p in some]), strict=True):
                p.grad = summed.view_as(p)
        return False

    def sums(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """The values of all processes, summed by their names."""
        own = {name: float(value) for name, value in values.items()}
        if self.size == 1:
            return own
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, own)
        return {name: sum(one.get(name, 0.0) for one in told) for name in {n: None for one in told for n in one}}


def devices(device: str, size: int) -> list[str]:
    """One for each process.

    Raises
    ------
    ValueError
        If this machine has too few.
    """
    if not device.startswith("cuda"):
        return [device] * size
    first, has = torch.device(device).index or 0, torch.cuda.device_count()
    if first + size > has:
        raise ValueError(f"{size} processes from {device} on need a GPU each, and {has} can be seen: give fewer")
    return [f"cuda:{first + rank}" for rank in range(size)]


@contextmanager
def team(task: Any, settings: Any, device: str, size: int) -> Iterator[Team]:
    """As the leader, a team with copies of ``task``, which must be one that pickle can copy.

    Raises
    ------
    RuntimeError
        If a follower ends before its time.
    """
    if size == 1:
        yield Team()
        return
    places = devices(device, size)
    with tempfile.TemporaryDirectory(prefix="team-") as name:
        folder = Path(name)
        torch.save((task, settings), folder / TASK)
        own = Team(0, size, places[0], folder, [_start(folder, rank, size, places[rank]) for rank in range(1, size)])
        try:
            own.join()
            yield own
            own.tell(None)
            for follower in own.followers:
                with contextlib.suppress(subprocess.TimeoutExpired):  # all is trained: it is killed below
                    follower.wait(_LAST_WORDS)
        except RuntimeError as error:
            if reason := _reason(folder, own.followers):
                raise RuntimeError(reason) from error
            raise
        finally:
            for follower in own.followers:
                follower.kill()
                follower.wait()
            if dist.is_initialized():
                dist.destroy_process_group()


def _start(folder: Path, rank: int, size: int, device: str) -> subprocess.Popen[bytes]:
    words = [str(folder), str(rank), str(size), device]
    return subprocess.Popen([sys.executable, "-P", "-m", "bench_torchkit.follower", *words], stdin=subprocess.DEVNULL)


def _reason(folder: Path, followers: Sequence[subprocess.Popen[bytes]]) -> str | None:
    """Why the first follower ended before its time; None if none did.

    One that fails writes why before its sockets close, so there is no need to wait for its end.
    """
    where = "process {} of {} that trained together: {}"
    if said := sorted(folder.glob(REASON.format("*")), key=lambda path: path.stat().st_mtime_ns):
        rank = int(said[0].name.partition("-")[2])
        return where.format(rank + 1, len(followers) + 1, said[0].read_text(encoding="utf-8"))
    end = time.monotonic() + _DYING
    for rank, follower in enumerate(followers, 1):
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = follower.wait(max(0.0, end - time.monotonic()))
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            return where.format(rank + 1, len(followers) + 1, f"it ended with {how}")
    return None
