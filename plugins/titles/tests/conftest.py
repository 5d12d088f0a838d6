"""A tiny language model over a few titles, and slow transcriptions of what is computed in batches."""

from types import SimpleNamespace

from bench_torchkit.testing import offline  # noqa: F401 (first: see there)

# ruff: isort: split

import pytest
import torch
from bench_titles import tokens
from bench_titles.backbone import Writer, from_scratch
from bench_titles.catalogue import make_catalogue, popular_first
from bench_titles.config import TitlesConfig
from bench_titles.grounding import Grounder
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from bench.testing import interactions_from

TITLES = [
    "the red door",
    "the red house",
    "red",
    "a blue sea and a red door",
    "The  Red Door",  # that of 0, written in another way
    "",  # no title
    "the red",  # the beginning of others
    "blue",
    "blue",
    "naïve café (1995)",
]
SMALL = {"embedding_size": 16, "layers": 2, "heads": 2, "vocab_size": 300, "dropout": 0.0, "history": 3}
TRAIN = interactions_from([[0, 1, 4], [4, 8], [4, 2, 3], [8], [9]], len(TITLES))


def shaken(model, seed=0):
    """Random weights, so that no two titles are equally likely by chance."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def make_grounder(titles=TITLES, train=TRAIN, seed=0, **changes):
    """With random weights."""
    config = TitlesConfig(**{**SMALL, **changes})
    tokenizer = tokens.train(titles, config.vocab_size)
    torch.manual_seed(seed)
    model = shaken(from_scratch(config, tokenizer.get_vocab_size()), seed)
    catalogue = make_catalogue(titles, tokenizer, config.title_tokens, popular_first(train))
    return Grounder(config, Writer(model, tokens.end(tokenizer), "scratch"), tokenizer, catalogue)


def prompt(grounder, history):
    """The tokens before the title to be written: ``history`` is a list of items, oldest first."""
    catalogue, end = grounder.catalogue, grounder.writer.end
    known = [catalogue.titles[item] for item in history if catalogue.titles[item] >= 0]
    ids = [end]
    for title in known[-grounder.config.history :]:
        ids += [*catalogue.tokens_of(title), end]
    return ids


def plain_log_probability(grounder, ids, written):
    """Of the tokens ``written`` behind the tokens ``ids``: one after another, each read anew with all before it.

    Among all tokens, or with loss=trie among those with which a title of the catalogue goes on.
    """
    end, found = grounder.writer.end, 0.0
    catalogue = grounder.catalogue
    titles = [(*catalogue.tokens_of(title), end) for title in range(len(catalogue))]
    with torch.no_grad():
        for at, token in enumerate(written):
            logits = grounder.writer.model(input_ids=torch.tensor([[*ids, *written[:at]]])).logits[0, -1].double()
            begun = [title for title in titles if title[:at] == tuple(written[:at])]
            others = sorted({title[at] for title in begun}) if grounder.config.loss == "trie" else range(len(logits))
            found += float(logits[token] - torch.logsumexp(logits[list(others)], 0))
    return found


def plain_titles(grounder, history):
    """The log-probability of each title of the catalogue, with its end."""
    end, ids = grounder.writer.end, prompt(grounder, history)
    every = range(len(grounder.catalogue))
    return [plain_log_probability(grounder, ids, [*grounder.catalogue.tokens_of(t), end]) for t in every]


@pytest.fixture(scope="session")
def tiny():
    """The functions of this file."""
    functions = {"grounder": make_grounder, "prompt": prompt, "titles": plain_titles}
    return SimpleNamespace(**functions, log_probability=plain_log_probability, TITLES=TITLES)


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """A GPT-2 of two layers and 16 dimensions with its tokenizer, as a pretrained one lies in a folder."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = TitlesConfig(**{**SMALL, "dropout": 0.1, "history": 30})
    tokenizer = tokens.train(TITLES, 300)
    torch.manual_seed(3)
    model: GPT2LMHeadModel = from_scratch(config, tokenizer.get_vocab_size())
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=tokens.END).save_pretrained(folder)
    return folder
