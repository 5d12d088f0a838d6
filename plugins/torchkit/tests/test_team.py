"""Several processes that train together do what one does."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_torchkit import team
from bench_torchkit.trainer import Place, Settings, Trainer

from bench import Recommendations
from bench.testing import Interrupted, LocalContext, block_interactions

TASKS = Path(__file__).parent / "team_tasks"
DATA = block_interactions()


class Model:
    """Its lists do not matter."""

    def recommend(self, users, history, exclude, k):
        return Recommendations(np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32))


@pytest.fixture
def digits(monkeypatch):
    monkeypatch.syspath_prepend(TASKS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TASKS), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    from team_tasks import Digits

    return Digits


def trained(task, folder, processes, settings=Settings(1.0, averaging=0.5), **options):  # noqa: B008 (frozen)
    context = LocalContext(Model(), DATA, folder, processes=processes, **options)
    made = Trainer(task, context, settings)
    made.train()
    return made, context


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_weights_are_those_of_one_process(tmp_path, digits, processes):
    one, alone = trained(digits(), tmp_path / "one", 1)
    many, together = trained(digits(), tmp_path / "many", processes)
    for name, value in one.task.module.state_dict().items():
        torch.testing.assert_close(many.task.module.state_dict()[name], value, rtol=0, atol=1e-6)
    assert together.messages == alone.messages  # the mean losses of each epoch, to four digits


def test_gradients_are_those_of_the_whole_batch(tmp_path, digits, monkeypatch):
    """Of each step, before clipping, to 1e-6; and a parameter that no process used has none."""
    seen = []
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: seen.append([p.grad for p in parameters])
    )
    made, _ = trained(digits(), tmp_path, 2)
    task = digits()
    optimizer, steps = task.optimizer(0), iter(seen)
    for epoch in (1, 2):
        for batch in task.batches(Place(0, epoch)):
            optimizer.zero_grad()
            task.losses(batch, Place(0, epoch))["total"].backward()
            for p, found in zip(task.module.parameters(), next(steps), strict=True):
                assert (p.grad is None) == (found is None)
                if found is not None:
                    torch.testing.assert_close(found, p.grad, rtol=0, atol=1e-6)
            optimizer.step()
    assert len(seen) == 12
    assert made.task.never.weight.grad is None


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_it_would_have_gone(tmp_path, digits):
    whole, _ = trained(digits(), tmp_path / "whole", 2)
    with pytest.raises(Interrupted):
        trained(digits(), tmp_path / "cut", 2, interrupt_after=3)
    resumed, _ = trained(digits(), tmp_path / "cut", 2)
    for name, value in whole.task.module.state_dict().items():
        torch.testing.assert_close(resumed.task.module.state_dict()[name], value, rtol=0, atol=1e-6)


def test_one_that_is_short_of_memory_makes_all_take_smaller_parts(tmp_path, digits):
    plain, _ = trained(digits(), tmp_path / "plain", 1)
    made, context = trained(digits("memory"), tmp_path / "short", 2)
    assert made.parts == 2
    assert context.facts == {"batch_parts": 2}
    for name, value in plain.task.module.state_dict().items():
        torch.testing.assert_close(made.task.module.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "said"), [("raises", "ValueError: no such digit"), ("dies", "it ended with SIGKILL")]
)
def test_the_reason_of_one_that_fails_is_told(tmp_path, digits, fault, said):
    with pytest.raises(RuntimeError, match=f"process 2 of 2 that trained together: {said}"):
        trained(digits(fault), tmp_path, 2)
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_a_training_that_diverges_is_told_by_the_leader(tmp_path, digits):
    with pytest.raises(ValueError, match=r"^the loss of epoch 2 is nan: the model diverged"):
        trained(digits("diverges"), tmp_path, 2)
    assert not torch.distributed.is_initialized()


def test_each_process_has_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert team.devices("cpu", 2) == ["cpu", "cpu"]
    assert team.devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:2"]
    assert team.devices("cuda:1", 2) == ["cuda:1", "cuda:2"]
    with pytest.raises(ValueError, match="2 processes from cuda:2 on need a GPU each, and 3 can be seen"):
        team.devices("cuda:2", 2)
