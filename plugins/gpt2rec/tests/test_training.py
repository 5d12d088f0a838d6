"""The training loop: stages, interruptions in either of them, the best weights, rates."""

import numpy as np
import pytest
import torch
from bench_gpt2rec.model import Gpt2Rec

from bench import Validation
from bench.testing import Interrupted, LocalContext

EPOCHS = {"cached_epochs": 3, "dynamic_epochs": 3, "epochs": 4, "batch_size": 160}


@pytest.fixture
def attempt(tiny, tmp_path):
    """One attempt to train, from what an earlier one of that name left; its context knows what it has seen.

    ``scores`` are what the harness finds, if given.
    """

    class Watched(LocalContext):
        def __init__(self, *given, scores=None, patience=5, dies_in=0, **named):
            super().__init__(*given, **named)
            self.planned, self.patience, self.dies_in = scores, patience, dies_in
            self.stages, self.begins, self.ends, self.modes = [], [], [], []

        def epochs(self, max_epochs, unit="epoch", stage="", done=0):
            self.stages.append((stage, max_epochs, done))
            self.begins.append(tiny.weights(self._model._network))
            return super().epochs(max_epochs, unit, stage, done)

        def validate(self):
            if len(self.ends) + 1 == self.dies_in:
                raise Interrupted
            network = self._model._network
            self.ends.append(tiny.weights(network))
            self.modes.append(None if network.encoder is None else network.encoder.mode)
            if self.planned is None:
                return super().validate()
            own = self.planned[self._stage]
            at = self._epoch - 1
            stale = at - int(np.argmax(own[: at + 1]))
            return Validation(own[at], own[at] > max(own[:at], default=-1.0), stale >= self.patience)

    def begin(name="work", *, settings=None, interrupt_after=0, seed=1, **plan):
        model = Gpt2Rec(tiny.config(**{**EPOCHS, **(settings or {})}))
        context = Watched(model, tiny.DATA, tmp_path / name, seed, interrupt_after=interrupt_after, **plan)
        try:
            model.fit(tiny.DATA.train, tiny.DATA.valid, context)
        except Interrupted:
            assert interrupt_after or "dies_in" in plan
        return model, context

    return begin


def test_two_stages_are_cached_epochs_and_then_dynamic_ones(tiny, attempt):
    _, context = attempt()
    assert context.stages == [("cached", 3, 0), ("dynamic", 3, 0)]
    assert context.modes == ["cached"] * 3 + ["dynamic"] * 3
    epochs = [message.split(":")[0] for message in context.messages if " epoch " in message]
    assert epochs == [f"{stage} epoch {number}" for stage in ("cached", "dynamic") for number in (1, 2, 3)]
    names = [name for name in context.ends[0] if name.startswith("encoder")]
    assert names
    for name in names:
        assert all(torch.equal(end[name], context.begins[0][name]) for end in context.ends[:3]), name
        assert not torch.equal(context.ends[3][name], context.begins[1][name]), name
    assert not torch.equal(context.ends[0]["items.ids.weight"], context.begins[0]["items.ids.weight"])


@pytest.mark.parametrize(("settings", "stage"), [
    ({"strategy": "cached"}, "cached"), ({"strategy": "dynamic"}, "dynamic"), ({"text": False}, ""),
])  # fmt: skip
def test_one_stage(attempt, settings, stage):
    _, context = attempt(settings=settings)
    assert context.stages == [(stage, 4, 0)]
    assert context.modes == [stage or None] * 4


LORA = {"finetuning": "lora", "lora_dropout": 0.2}
SETTINGS = {
    "full": {"dropout": 0.2},
    "gpt2": LORA,
    "bert": {"fusion": "concat", **LORA},
    "constant": {"schedule": "constant", "scorer": "both", "weight_decay": 0.1, "strategy": "dynamic"},
}


@pytest.mark.parametrize(
    "settings",
    ["full", "gpt2", pytest.param("bert", marks=pytest.mark.slow), pytest.param("constant", marks=pytest.mark.slow)],
)
def test_an_interrupted_training_goes_on_as_it_would_have_gone(tiny, attempt, gpt2_folder, bert_folder, settings):
    folder = {"gpt2": str(gpt2_folder), "bert": str(bert_folder)}.get(settings, "scratch")
    settings = {**SETTINGS[settings], "backbone": folder, "cached_epochs": 2, "dynamic_epochs": 2}
    straight, expected = attempt("straight", settings=settings)
    # Between two epochs of the first stage, between both stages, and between two of the second.
    for after in (1, 2, 3):
        _, first = attempt(str(after), settings=settings, interrupt_after=after)
        assert len(first.ends) == after
        torch.manual_seed(12345)  # another process has other random numbers behind it
        model, second = attempt(str(after), settings=settings)
        assert len(second.ends) == 4 - after
        assert second.scores == expected.scores
        tiny.assert_equal_weights(second.ends[-1], expected.ends[-1])
        tiny.assert_equal_weights(tiny.weights(model._network), tiny.weights(straight._network))
        np.testing.assert_array_equal(tiny.lists(model).scores, tiny.lists(straight).scores)
        assert any("going on from a checkpoint" in message for message in second.messages)


@pytest.mark.slow
def test_an_epoch_that_did_not_end_is_done_again(tiny, attempt):
    settings = {"cached_epochs": 2, "dynamic_epochs": 2, "dropout": 0.2}
    straight, expected = attempt("straight", settings=settings)
    for dies_in in (1, 2, 3, 4):
        _, first = attempt(str(dies_in), settings=settings, dies_in=dies_in)
        assert len(first.ends) == dies_in - 1
        model, second = attempt(str(dies_in), settings=settings)
        assert len(second.ends) == 4 - dies_in + 1
        assert second.scores == expected.scores
        tiny.assert_equal_weights(tiny.weights(model._network), tiny.weights(straight._network))


@pytest.mark.slow
def test_an_interruption_after_an_early_end_of_the_first_stage(tiny, attempt):
    scores = {"cached": [0.3, 0.2, 0.1, 0.9], "dynamic": [0.4, 0.5, 0.2, 0.1]}
    given = {"settings": {"cached_epochs": 4, "dynamic_epochs": 4}, "scores": scores, "patience": 2}
    straight, expected = attempt("straight", **given)
    assert [stage for stage, *_ in expected.stages] == ["cached", "dynamic"]
    assert len(expected.ends) == 3 + 4
    for dies_in in (3, 4, 5):
        _, first = attempt(f"{dies_in}", dies_in=dies_in, **given)
        model, second = attempt(f"{dies_in}", **given)
        tiny.assert_equal_weights(tiny.weights(model._network), tiny.weights(straight._network))
        assert second.stages[0][0] == "cached"  # the harness is told of it in any case
        assert len(first.ends) + len(second.ends) == 7


def test_a_training_that_was_over_stays_over(tiny, attempt):
    scores = {"cached": [0.1, 0.3, 0.2], "dynamic": [0.5, 0.2, 0.1]}
    first, _ = attempt(scores=scores, patience=1)
    again, context = attempt(scores={stage: [0.9] * 9 for stage in scores}, seed=1)
    assert not context.ends
    tiny.assert_equal_weights(tiny.weights(again._network), tiny.weights(first._network))


@pytest.mark.parametrize(("cached", "dynamic", "best"), [
    ([0.1, 0.9, 0.2], [0.3, 0.5, 0.4], 1), ([0.1, 0.3, 0.2], [0.2, 0.9, 0.4], 4), ([0.1, 0.3, 0.2], [0.0, 0.1, 0.2], 1),
    ([0.1, 0.2, 0.3], [0.1, 0.2, 0.4], 5),
])  # fmt: skip
def test_the_best_weights_of_both_stages_are_kept(tiny, attempt, cached, dynamic, best):
    model, context = attempt(scores={"cached": cached, "dynamic": dynamic})
    assert len(context.ends) == 6
    tiny.assert_equal_weights(tiny.weights(model._network), context.ends[best])
    assert not torch.equal(context.ends[5]["users.ids.weight"], context.ends[4]["users.ids.weight"])


def test_the_second_stage_begins_with_the_best_of_the_first(tiny, attempt):
    _, context = attempt(scores={"cached": [0.1, 0.9, 0.2], "dynamic": [0.3, 0.5, 0.4]})
    tiny.assert_equal_weights(context.begins[1], context.ends[1])


def test_the_best_weights_of_the_first_stage_outlive_an_interruption_in_the_second(tiny, attempt):
    scores = {"cached": [0.1, 0.9, 0.2], "dynamic": [0.3, 0.5, 0.4]}
    _, first = attempt(scores=scores, interrupt_after=5)
    model, _ = attempt(scores=scores)
    tiny.assert_equal_weights(tiny.weights(model._network), first.ends[1])


def test_a_stage_ends_when_the_harness_says_so(attempt):
    _, context = attempt(scores={"cached": [0.3, 0.2, 0.1], "dynamic": [0.1, 0.05, 0.2]}, patience=1)
    assert len(context.ends) == 2 + 2


def test_a_half_written_checkpoint_is_never_read(tiny, attempt, monkeypatch):
    expected, _ = attempt("straight")
    attempt(interrupt_after=3)

    def crash(state, path):
        path.write_bytes(b"half of it")
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", crash)
        attempt(interrupt_after=99)
    model, _ = attempt()
    tiny.assert_equal_weights(tiny.weights(model._network), tiny.weights(expected._network))


def test_the_work_of_an_earlier_attempt_is_all_in_its_folder(tiny, attempt, tmp_path):
    attempt()
    assert {path.name for path in (tmp_path / "work" / "checkpoints").iterdir()} == {"training.pt"}


@pytest.fixture
def steps(monkeypatch):
    """(rate, weight decay, number of weights) of every group, step by step, and norms of whole gradients."""
    seen, step = [], torch.optim.AdamW.step

    def watch(self, *given, **named):
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = float(sum(grad.square().sum() for grad in grads).sqrt())
        groups = [(g["lr"], g["weight_decay"], sum(p.numel() for p in g["params"])) for g in self.param_groups]
        seen.append((groups, norm))
        return step(self, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    return seen


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_rates_of_ids_and_encoder_and_how_they_fall(tiny, attempt, steps, schedule):
    model, _ = attempt(
        settings={
            "schedule": schedule,
            "learning_rate": 0.03,
            "encoder_learning_rate": 0.002,
            "weight_decay": 0.1,
            "batch_size": 100,
        }
    )
    n = 3 * -(-len(tiny.DATA.train) // 100)
    assert len(steps) == 2 * n
    network = model._network
    ids = network.users.ids.weight.numel() + network.items.ids.weight.numel()
    encoder = sum(p.numel() for p in network.encoder.parameters())
    rest = sum(p.numel() for p in network.parameters()) - ids - encoder
    for at, (groups, _) in enumerate(steps):
        left = 1 - at / (2 * n) if schedule == "linear" else 1.0
        expected = [(0.03 * left, 0.0, ids), (0.03 * left, 0.1, rest)]
        if at >= n:
            expected.append((0.002 * left, 0.1, encoder))
        assert groups == [pytest.approx(one) for one in expected]


def test_gradients_are_clipped(attempt, steps):
    attempt(settings={"max_grad_norm": 0.01, "strategy": "dynamic"})
    assert max(norm for _, norm in steps) <= 0.01 * 1.001
    assert max(norm for _, norm in steps) > 0.009


def test_only_adapters_and_the_network_learn_with_lora(tiny, attempt, gpt2_folder):
    model, context = attempt(settings={"finetuning": "lora", "backbone": str(gpt2_folder), "lora_rank": 2})
    before, after = context.begins[0], context.ends[-1]
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {name for name, p in model._network.named_parameters() if p.requires_grad}
    assert moved == trained
    assert {name for name in moved if name.startswith("encoder")} == {name for name in before if "lora" in name}


def test_a_frozen_encoder_is_never_in_the_mode_of_training_when_it_is_read(tiny, attempt, gpt2_folder):
    """Dropout of a pretrained model does not reach cached states: two seeds, the same states."""
    states = []
    for seed in (1, 2):
        model, _ = attempt(
            str(seed), settings={"strategy": "cached", "finetuning": "frozen", "backbone": str(gpt2_folder)}, seed=seed
        )
        with torch.no_grad():
            states.append(model._network.encoder.encode(np.arange(48)).tokens)
    assert torch.equal(*states)


def test_dropout_differs_between_epochs_stages_and_seeds(attempt, monkeypatch):
    used, manual_seed = [], torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: used.append(seed) or manual_seed(seed))
    attempt("a")
    attempt("b", seed=2)
    assert len(used) == len(set(used)) == 2 * (1 + 6)  # one for the weights, one for each epoch


def test_training_in_bfloat16(tiny, attempt):
    settings = {"strategy": "dynamic", "encoder_learning_rate": 0.005}
    model, context = attempt(settings={**settings, "precision": "bfloat16"})
    losses = [float(message.split("total ")[1].split(",")[0]) for message in context.messages if "total" in message]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in model._network.parameters())
    single, _ = attempt(
        "single", settings={"precision": "float32", "strategy": "dynamic", "encoder_learning_rate": 0.005}
    )
    assert not np.array_equal(tiny.lists(single).scores, tiny.lists(model).scores)


def test_the_last_weights_are_kept_if_nothing_was_validated(tiny, tmp_path):
    class Silent(LocalContext):
        def validate(self):
            self.last = tiny.weights(self._model._network)
            return Validation(None, False, False)

    model, context = tiny.fit(tmp_path, context=Silent)
    tiny.assert_equal_weights(tiny.weights(model._network), context.last)


def test_the_best_weights_are_kept_when_time_is_up(tiny, tmp_path):
    class Hasty(LocalContext):
        """One epoch of each stage is all there is time for, and that of the second is worse."""

        ends = ()

        def epochs(self, max_epochs, unit="epoch", stage="", done=0):
            return iter(list(super().epochs(max_epochs, unit, stage, done))[:1])

        def validate(self):
            self.ends = (*self.ends, tiny.weights(self._model._network))
            return Validation(1.0 / len(self.ends), len(self.ends) == 1, False)

    model, context = tiny.fit(tmp_path, context=Hasty)
    assert len(context.ends) == 2
    tiny.assert_equal_weights(tiny.weights(model._network), context.ends[0])
