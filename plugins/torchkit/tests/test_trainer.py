"""The training loop against plain loops: interruptions, stages, parts, memory that runs out, schedules."""

import math

import numpy as np
import pytest
import torch
from bench_torchkit.schedules import bfloat16, schedule
from bench_torchkit.testing import assert_equal_weights, copied
from bench_torchkit.trainer import Place, Settings, Stage, Task, Trainer, train_epochs

from bench import Recommendations, Validation
from bench.testing import Interrupted, LocalContext, block_interactions

DATA = block_interactions()
X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5]) + 0.3


ONE_STAGE = (Stage("", 4, 3),)


class Regression(Task):
    """Least squares with dropout; the first stage trains the weight alone, a second one the bias too."""

    def __init__(self, stages=ONE_STAGE, dropout=0.0, limit=None, rate=0.1):
        torch.manual_seed(7)
        self.linear = torch.nn.Linear(3, 1)
        self.module = torch.nn.Sequential(torch.nn.Dropout(dropout), self.linear)
        self.stages, self.limit, self.rate = stages, limit, rate
        self.entered, self.validated, self.tried = [], [], []

    def optimizer(self, stage):
        self.linear.bias.requires_grad_(stage > 0)
        return torch.optim.AdamW([p for p in self.module.parameters() if p.requires_grad], lr=self.rate, fused=True)

    def seed(self, place):
        return 1000 * place.stage + place.epoch

    def batches(self, place):
        order = np.random.default_rng([place.stage, place.epoch]).permutation(24)
        return [torch.from_numpy(rows) for rows in np.array_split(order, self.stages[place.stage].steps)]

    def split(self, batch, parts):
        return [(part, len(part) / len(batch)) for part in batch.tensor_split(parts) if len(part)]

    def losses(self, batch, place):
        self.tried.append((len(batch), place))
        loss = (self.module(X[batch])[:, 0] - Y[batch]).square().mean()
        if self.limit is not None and len(batch) > self.limit:
            (loss * 1e6).backward()  # gradients of the attempt are left behind
            raise torch.OutOfMemoryError
        return {"total": loss, "double": 2 * loss}

    def enter(self, stage):
        self.entered.append((stage, copied(self.module.state_dict())))


class Model:
    """Its lists do not matter."""

    def recommend(self, users, history, exclude, k):
        return Recommendations(np.full((len(users), k), -1, np.int32), np.full((len(users), k), -np.inf, np.float32))


def trainer(folder, task, scores=None, settings=Settings(max_grad_norm=1e9), **options):  # noqa: B008 (frozen)
    folder.mkdir(exist_ok=True)
    context = LocalContext(Model(), DATA, folder, **options)
    if scores is not None:
        answers = iter(scores)

        def validate():
            task.validated.append(copied(task.module.state_dict()))
            score = next(answers)
            return Validation(score, True, score is not None and score < 0)

        context.validate = validate
    return Trainer(task, context, settings)


def plain(task, epochs, parts=1):
    """The same steps without a trainer, by gradients of the whole batch."""
    optimizer = task.optimizer(0)
    for epoch in range(1, epochs + 1):
        task.module.train()
        torch.manual_seed(task.seed(Place(0, epoch)))
        for batch in task.batches(Place(0, epoch)):
            optimizer.zero_grad()
            task.losses(batch, Place(0, epoch))["total"].backward()
            optimizer.step()
    return task.module.state_dict()


def test_training_is_the_plain_loop(tmp_path):
    task = Regression(dropout=0.2)
    trainer(tmp_path, task, [None] * 4).train()
    assert_equal_weights(task.module.state_dict(), plain(Regression(dropout=0.2), 4))
    assert not task.module.training
    assert [place for _, place in task.tried] == [Place(0, epoch, step) for epoch in (1, 2, 3, 4) for step in (0, 1, 2)]


def test_the_mean_losses_of_an_epoch_are_logged(tmp_path):
    task = Regression([Stage("", 1, 3)])
    made = trainer(tmp_path, task, [None])
    other = Regression()
    optimizer, values = other.optimizer(0), []
    for batch in other.batches(Place(0, 1)):
        loss = other.losses(batch, Place(0, 1))["total"]
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made.train()
    mean = np.mean(values)
    assert made.context.messages == [f"epoch 1: total {mean:.4f}, double {2 * mean:.4f}"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_that_diverges_is_an_error_after_its_epoch(tmp_path, value):
    task = Regression()
    losses = task.losses

    def diverging(batch, place):
        found = losses(batch, place)
        return {**found, "total": found["total"] + (value if (place.epoch, place.step) == (3, 1) else 0.0)}

    task.losses = diverging
    with pytest.raises(ValueError, match=f"the loss of epoch 3 is {value}: the model diverged"):
        trainer(tmp_path, task, [None] * 4).train()
    assert len(task.validated) == 2
    again = Regression()
    again.losses = task.losses
    with pytest.raises(ValueError, match="the loss of epoch 3"):
        trainer(tmp_path, again, [None] * 4).train()


STAGES = [Stage("first", 3, 2), Stage("second", 3, 4)]


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_an_interrupted_training_goes_on_as_it_would_have_gone(tmp_path, after):
    settings = Settings(0.5, schedule="linear", warm_up=0.3, parts=2)
    scores = [0.1, 0.4, 0.2, 0.3, 0.5, 0.1]
    straight = Regression(STAGES, dropout=0.3)
    trainer(tmp_path / "straight", straight, scores, settings).train()
    first = Regression(STAGES, dropout=0.3)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "work", first, scores, settings, interrupt_after=after).train()
    torch.manual_seed(12345)  # another process has other random numbers behind it
    second = Regression(STAGES, dropout=0.3)
    trainer(tmp_path / "work", second, scores[after:], settings).train()
    assert_equal_weights(second.module.state_dict(), straight.module.state_dict())
    assert second.tried == straight.tried[len(first.tried) :]


def test_a_stage_begins_with_the_best_weights_and_the_best_of_all_are_kept(tmp_path):
    task = Regression(STAGES)
    trainer(tmp_path, task, [0.1, 0.4, 0.2, 0.3, 0.1, 0.2]).train()
    (_, begin), (_, second) = task.entered
    assert [stage for stage, _ in task.entered] == [0, 1]
    assert torch.equal(begin["1.bias"], second["1.bias"])  # frozen in the first stage
    assert_equal_weights(second, task.validated[1])
    # The best of all is of the first stage, which did not train the bias.
    assert torch.equal(task.module.state_dict()["1.weight"], task.validated[1]["1.weight"])


def test_the_last_weights_are_kept_if_nothing_was_validated(tmp_path):
    task = Regression()
    made = trainer(tmp_path, task, [None] * 4)
    made.train()
    assert made.best is None
    assert_equal_weights(task.module.state_dict(), task.validated[-1])


def test_a_training_that_was_over_stays_over(tmp_path):
    task = Regression()
    trainer(tmp_path, task, [0.3, -1.0]).train()
    assert len(task.validated) == 2
    again = Regression()
    trainer(tmp_path, again, [0.9] * 9).train()
    assert not again.tried
    assert_equal_weights(again.module.state_dict(), task.validated[0])


def test_a_half_written_checkpoint_is_never_read(tmp_path, monkeypatch):
    task = Regression()
    trainer(tmp_path / "straight", task, [None] * 4).train()
    with pytest.raises(Interrupted):
        trainer(tmp_path / "work", Regression(), [None] * 4, interrupt_after=2).train()

    def crash(state, path):
        path.write_bytes(b"half of it")
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", crash)
        with pytest.raises(Interrupted):
            trainer(tmp_path / "work", Regression(), [None] * 4).train()
    last = Regression()
    trainer(tmp_path / "work", last, [None] * 4).train()
    assert_equal_weights(last.module.state_dict(), task.module.state_dict())
    assert {path.name for path in (tmp_path / "work" / "checkpoints").iterdir()} == {"training.pt"}


@pytest.mark.parametrize("parts", [1, 2, 5, 8])
def test_a_batch_in_parts_is_the_batch(tmp_path, parts):
    task = Regression()
    trainer(tmp_path, task, [None] * 4, Settings(1e9, parts=parts)).train()
    for name, value in plain(Regression(), 4).items():
        torch.testing.assert_close(task.module.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path):
    task = Regression(limit=2)
    made = trainer(tmp_path, task, [None] * 4)
    made.train()
    assert made.parts == 4
    assert made.context.facts["batch_parts"] == 4
    assert [m for m in made.context.messages if "memory" in m] == [
        f"out of memory: batches are computed in {n} parts from now on" for n in (2, 4)
    ]
    assert [size for size, _ in task.tried[:4]] == [8, 4, 2, 2]
    assert [place.part for _, place in task.tried[2:6]] == [0, 1, 2, 3]
    for name, value in plain(Regression(), 4).items():
        torch.testing.assert_close(task.module.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_a_sample_that_does_not_fit_is_an_error(tmp_path):
    task = Regression(limit=0)
    with pytest.raises(torch.OutOfMemoryError):
        trainer(tmp_path, task, [None] * 4).train()
    assert min(size for size, _ in task.tried) == 1


def test_a_task_that_cannot_be_split_is_tried_once(tmp_path):
    task = Regression(limit=0)
    task.split = lambda batch, parts: [(batch, 1.0)]
    with pytest.raises(torch.OutOfMemoryError):
        trainer(tmp_path, task, [None] * 4).train()
    assert len(task.tried) == 1


def test_gradients_are_clipped_over_all_parameters_together(tmp_path):
    task = Regression([Stage("", 1, 1)])
    task.optimizer = lambda stage: torch.optim.SGD(task.module.parameters(), lr=1.0)
    before = copied(task.module.state_dict())
    trainer(tmp_path, task, [None], Settings(max_grad_norm=0.01)).train()
    moved = [value - before[name] for name, value in task.module.state_dict().items()]
    assert math.sqrt(sum(float(change.square().sum()) for change in moved)) == pytest.approx(0.01, rel=1e-3)


def rates_of(name, n, warm_up=0.0):
    """The share of the learning rate in each of n steps, and behind them."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler, rates = schedule(optimizer, name, n, warm_up), []
    for _ in range(n):
        rates.append(scheduler.get_last_lr()[0] / 2)
        optimizer.step()
        scheduler.step()
    return rates, scheduler.get_last_lr()[0] / 2


@pytest.mark.parametrize(("n", "warm_up", "rise"), [(40, 0.05, 2), (33, 0.3, 10), (10, 0.01, 1), (1, 0.5, 0)])
def test_a_linear_schedule_rises_by_stairs_and_falls_to_zero(n, warm_up, rise):
    rates, behind = rates_of("linear", n, warm_up)
    expected = [(step + 1) / rise if step < rise else (n - step) / (n - rise) for step in range(n)]
    assert rates == pytest.approx(expected)
    assert behind == 0


@pytest.mark.parametrize(("n", "warm_up", "rise"), [(20, 0.25, 5), (10, 0.01, 1), (1, 0.5, 1)])
def test_a_constant_schedule_rises_by_stairs_and_stays(n, warm_up, rise):
    rates, _ = rates_of("constant", n, warm_up)
    assert rates == pytest.approx([min(1, (step + 1) / rise) for step in range(n)])


def test_schedules_without_a_rise():
    for name, expected in (("constant", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]),
                           ("cosine", [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)])):  # fmt: skip
        assert rates_of(name, 4)[0] == pytest.approx(expected)


def test_a_stage_goes_on_at_the_rate_that_the_one_before_ended_with(tmp_path):
    """Two epochs of two steps and two of three: ten steps from 1 to 0, the first stage being ended after one epoch."""
    task = Regression([Stage("first", 2, 2), Stage("second", 2, 3)])
    made, rates = trainer(tmp_path, task, [-1.0, 0.1, 0.2], Settings(1e9, schedule="linear")), []
    update = made._update

    def noting(batch, place):
        rates.append((place.stage, made.scheduler.get_last_lr()[0] / task.optimizer(0).param_groups[0]["lr"]))
        return update(batch, place)

    made._update = noting
    made.train()
    assert rates == [(0, pytest.approx(1 - step / 10)) for step in (0, 1)] + [
        (1, pytest.approx(1 - step / 10)) for step in range(4, 10)
    ]


def test_bfloat16_is_used_where_it_is_asked_for(tmp_path):
    assert bfloat16("bfloat16", "cpu")
    assert not bfloat16("float32", "cuda")
    assert not bfloat16("auto", "cpu")
    kinds = set()
    for wanted in (True, False):
        task = Regression()
        task.linear.register_forward_hook(lambda *given: kinds.add(given[-1].dtype))
        trainer(tmp_path / str(wanted), task, [None] * 4, Settings(1e9, bfloat16=wanted)).train()
        assert kinds == {torch.bfloat16 if wanted else torch.float32}
        assert all(value.dtype == torch.float32 for value in task.module.parameters())
        kinds.clear()


def test_the_short_loop_keeps_the_best_state(tmp_path):
    context = LocalContext(Model(), DATA, tmp_path)
    answers = iter([
        Validation(None, False, False), Validation(0.2, True, False), Validation(0.1, False, False),
        Validation(0.3, True, False), Validation(0.1, False, True), Validation(0.9, True, False),
    ])  # fmt: skip
    context.validate = lambda: next(answers)
    trained = []
    assert train_epochs(context, 50, trained.append, lambda: trained[-1]) == 4
    assert trained == [1, 2, 3, 4, 5]
    context.validate = lambda: Validation(None, False, False)
    assert train_epochs(context, 3, trained.append, lambda: trained[-1], "another") is None


AVERAGING = Settings(max_grad_norm=1e9, averaging=0.6)


def averages(epochs, memory=0.6):
    """The average after each epoch, step by step, and the weights that are trained."""
    task = Regression()
    optimizer = task.optimizer(0)
    names = [name for name, p in task.module.named_parameters() if p.requires_grad]
    average = copied(task.module.state_dict())
    found, step = [], 0
    for epoch in range(1, epochs + 1):
        for batch in task.batches(Place(0, epoch)):
            optimizer.zero_grad()
            task.losses(batch, Place(0, epoch))["total"].backward()
            optimizer.step()
            step += 1
            kept = min(memory, step / (10 + step))
            for name in names:
                average[name] = kept * average[name] + (1 - kept) * task.module.state_dict()[name]
        found.append(copied(average))
    return found, task.module.state_dict()


def test_averages_are_validated_and_kept_and_training_goes_on_from_its_own_weights(tmp_path):
    task = Regression()
    made = trainer(tmp_path, task, [0.1, 0.3, 0.2, 0.25], AVERAGING)
    made.train()
    expected, trained = averages(4)
    for validated, average in zip(task.validated, expected, strict=True):
        for name, value in validated.items():
            torch.testing.assert_close(value, average[name])
    state = torch.load(tmp_path / "checkpoints" / "training.pt", weights_only=True)
    assert_equal_weights(state["weights"], {"1.weight": trained["1.weight"]})
    assert_equal_weights(task.module.state_dict(), task.validated[1])


def test_averages_stay_when_nothing_is_validated(tmp_path):
    task = Regression()
    trainer(tmp_path, task, [None] * 4, AVERAGING).train()
    expected, _ = averages(4)
    torch.testing.assert_close(task.module.state_dict()["1.weight"], expected[3]["1.weight"])


def test_an_interrupted_training_goes_on_with_its_average(tmp_path):
    whole, first, again = Regression(), Regression(), Regression()
    trainer(tmp_path / "whole", whole, [None] * 4, AVERAGING).train()
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", first, [None] * 4, AVERAGING, interrupt_after=2).train()
    trainer(tmp_path / "parts", again, [None] * 4, AVERAGING).train()
    assert_equal_weights(again.module.state_dict(), whole.module.state_dict())


@pytest.mark.parametrize("name", ["constant", "linear"])
def test_plain_schedules_are_those_of_transformers(name):
    from transformers import get_scheduler

    rates = []
    for make in (schedule, lambda *given: get_scheduler(given[1], given[0], 0, given[2])):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        found = make(optimizer, name, 7)
        own = []
        for _ in range(9):
            own.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            found.step()
        rates.append(own)
    assert rates[0] == rates[1]
