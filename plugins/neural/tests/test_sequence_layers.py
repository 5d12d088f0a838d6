"""The blocks of sequence models against literal transcriptions, one sequence and one place at a time."""

import math

import numpy as np
import pytest
import torch
from bench_neural.sequences.layers import BSARecBlock, HSTUBlock, LowPass
from bench_neural.sequences.network import Network
from bench_torchkit.attention import SASRecBlock
from bench_torchkit.rows import histories, pack
from torch.nn.functional import gelu, layer_norm, silu

from bench.interactions import Interactions
from bench.testing import interactions_from

SIZE, HEADS, HEAD, LENGTH, N_ITEMS = 8, 2, 3, 7, 30
SEQUENCES = [[3, 1, 4, 15, 9], [2, 6], [5, 3, 8, 27, 10, 11, 12], [7]]


def block(kind):
    if kind == "sasrec":
        return SASRecBlock(SIZE, HEADS, 16, 0.5, 0.5)
    if kind == "bsarec":
        return BSARecBlock(SIZE, HEADS, 16, 0.5, 0.5, length=LENGTH, frequencies=3, filter_share=0.7)
    return HSTUBlock(SIZE, HEADS, HEAD, 0.5, LENGTH, to_next=kind == "hstu to next")


def network(kind, **options):
    torch.manual_seed(5)
    found = Network(N_ITEMS, SIZE, LENGTH, 2, 0.5, lambda: block(kind), initial_range=0.5, **options).eval()
    with torch.no_grad():
        for name, p in found.named_parameters():
            if p.dim() == 1:
                p += 0.3 * torch.randn_like(p)  # norms and biases begin at 1 and 0, where mistakes would not show
            if "by_" in name:
                p.normal_()
    return found


def rows_of(sequences, times=None):
    known = interactions_from(sequences, N_ITEMS)
    if times is not None:
        known = Interactions(known.indptr, known.items, np.concatenate(times), N_ITEMS)
    return pack(known, histories(known, LENGTH), LENGTH)


def states(found, sequences, times=None):
    """(d,) of the last place of each sequence, and (n, d) of all its places."""
    rows = rows_of(sequences, times)
    with torch.no_grad():
        everywhere = found.states(rows, torch.arange(rows.items.numel()))
        last = found.states(rows, rows.last)
    whole = [everywhere[end - len(s) + 1 : end + 1] for end, s in zip(rows.last.tolist(), sequences, strict=True)]
    return last, whole


def attend(attention, x):
    """Of each place to itself and earlier ones; (n, d)."""
    query, key, value = attention.inputs(x).split(SIZE, dim=1)
    width = SIZE // HEADS
    found = torch.zeros_like(x)
    for place in range(len(x)):
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            weights = torch.stack([query[place, part] @ key[i, part] / math.sqrt(width) for i in range(place + 1)])
            weights = weights.exp() / weights.exp().sum()
            found[place, part] = sum(w * value[i, part] for i, w in enumerate(weights))
    return attention.output(found)


def feed_forward(layer, x):
    return layer.norm(x + layer.outer(gelu(layer.inner(x))))


def sasrec(layer, x, times):
    return feed_forward(layer.feed_forward, layer.norm(x + attend(layer.attention, x)))


def low_pass(layer, x, frequencies=3):
    """By a Fourier transform of the sequence that is padded with zeros to its full length."""
    padded = torch.cat([torch.zeros(LENGTH - len(x), SIZE), x])
    spectrum = torch.fft.rfft(padded, dim=0, norm="ortho")
    spectrum[frequencies:] = 0
    low = torch.fft.irfft(spectrum, n=LENGTH, dim=0, norm="ortho")[LENGTH - len(x) :]
    return layer.norm(x + low + layer.high**2 * (x - low))


def bsarec(layer, x, times):
    attended = layer.norm(x + attend(layer.attention, x))
    return feed_forward(layer.feed_forward, 0.7 * low_pass(layer.filter, x) + 0.3 * attended)


def hstu(layer, x, times):
    seen_at = [*times[1:], times[-1]] if layer.to_next else times
    gate, value, query, key = silu(layer.inputs(layer.norm(x))).split(HEADS * HEAD, dim=1)
    found = torch.zeros_like(value)
    for place in range(len(x)):
        for head in range(HEADS):
            part = slice(head * HEAD, (head + 1) * HEAD)
            for i in range(place + 1):
                seconds = int(seen_at[place] - times[i])
                bias = layer.by_distance[place - i] + layer.by_time[int(2 * math.log2(1 + seconds))]
                weight = silu(query[place, part] @ key[i, part] + bias) / LENGTH
                found[place, part] += weight * value[i, part]
    return x + layer.output(layer_norm(found, (HEADS * HEAD,)) * gate)


LITERAL = {"sasrec": sasrec, "bsarec": bsarec, "hstu": hstu, "hstu to next": hstu}
TIMES = [np.cumsum(np.random.default_rng(n).integers(0, 10**6, len(s))) for n, s in enumerate(SEQUENCES)]


@pytest.mark.parametrize("positions", ["start", "end", "none"])
@pytest.mark.parametrize("kind", LITERAL)
def test_forward_pass_is_the_literal_one(kind, positions):
    norm = "behind" if kind.startswith("hstu") else "before"
    found = network(kind, positions=positions, norm=norm)
    last, whole = states(found, SEQUENCES, TIMES)
    for sequence, times, of_last, of_all in zip(SEQUENCES, TIMES, last, whole, strict=True):
        with torch.no_grad():
            x = found.items.weight[sequence] * (SIZE**0.5 if norm == "behind" else 1)
            place = torch.arange(len(sequence))
            if positions != "none":
                x = x + found.places(place if positions == "start" else place.flip(0))
            x = found.before(x) if norm == "before" else x
            for layer in found.blocks:
                x = LITERAL[kind](layer, x, times)
            x = found.behind(x) if norm == "behind" else x
        torch.testing.assert_close(of_all, x, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(of_last, x[-1], rtol=1e-4, atol=1e-5)


def changed_later(kind):
    """Largest change of the states of the first three places when the fourth item is another one."""
    found = network(kind)
    before, after = (states(found, [[3, 1, 4, item, 9]], [np.arange(5)])[1][0] for item in (15, 16))
    return (before - after).abs()


@pytest.mark.parametrize("kind", ["sasrec", "hstu", "hstu to next"])
def test_a_place_does_not_know_what_comes_later(kind):
    change = changed_later(kind)
    assert change[:3].max() == 0
    assert change[3:].max(1).values.min() > 1e-3


def test_the_filter_mixes_places_so_that_packed_targets_would_be_seen():
    assert changed_later("bsarec")[:3].max(1).values.min() > 1e-3


@pytest.mark.parametrize("kind", LITERAL)
def test_sequences_of_one_row_do_not_know_each_other(kind):
    found = network(kind)
    together, _ = states(found, SEQUENCES, TIMES)
    alone = [states(found, [s], [t])[0][0] for s, t in zip(SEQUENCES, TIMES, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("frequencies", [1, 2, 3, 4, 9])
def test_kernel_is_that_of_the_lowest_frequencies(length, frequencies):
    x = torch.randn(length, 1, dtype=torch.float64)
    spectrum = torch.fft.rfft(x, dim=0)
    spectrum[frequencies:] = 0
    expected = torch.fft.irfft(spectrum, n=length, dim=0)
    kernel = LowPass(1, length, frequencies, 0.0).kernel.double()
    place = torch.arange(length)
    torch.testing.assert_close(kernel[(place[:, None] - place).abs()] @ x, expected, rtol=1e-5, atol=1e-6)


def test_buckets_of_time_grow_with_the_logarithm():
    rows = rows_of([[1, 2, 3, 4]], [np.array([0, 1, 3, 2**40])])
    assert rows.time_buckets[0, 0, :4].tolist() == [0, 2, 4, 63]


def test_scores_by_cosine_are_within_the_temperature():
    found = network("hstu", temperature=0.1)
    last, _ = states(found, SEQUENCES, TIMES)
    scores = last @ found.item_vectors().T
    expected = torch.nn.functional.cosine_similarity(last[:, None], found.items.weight[None, :N_ITEMS], dim=2) / 0.1
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_items_drop_out_in_training_alone():
    torch.manual_seed(0)
    found = Network(1000, 64, LENGTH, 1, 0.0, lambda: block("sasrec"), item_dropout=0.25)
    weights, some = found.items.weight[:1000], torch.tensor([7, 3, 7])
    for vectors, whole in ((found.item_vectors(), weights), (found.item_vectors(some), weights[some])):
        kept = vectors != 0
        torch.testing.assert_close(vectors[kept], whole[kept] / 0.75)
        assert kept.float().mean() == pytest.approx(0.75, abs=0.1)
    found.eval()
    assert torch.equal(found.item_vectors(), weights)
    assert torch.equal(found.item_vectors(some), weights[some])
