"""Writing titles as a model of the harness."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from bench_torchkit.item_texts import check_words
from bench_torchkit.schedules import bfloat16
from bench_torchkit.text import fingerprint
from bench_torchkit.trainer import Settings, Trainer
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import Context, Interactions, Recommendations, Recommender
from bench_titles import backbone, explain, tokens
from bench_titles.backbone import Writer
from bench_titles.catalogue import NONE, Catalogue, item_titles, make_catalogue, popular_first
from bench_titles.config import OF_GROUNDING, PRESETS, TitlesConfig
from bench_titles.grounding import Grounder
from bench_titles.training import Pieces, Training

_BEAMS_IN_TRAINING = 20
"""With which titles are searched for when training is validated, whatever makes the lists later."""


_ASKED = 100
"""Users whose freely written titles are looked up in the catalogue."""


class Titles(Recommender):
    """A language model writes the next title behind the latest ones; a title is grounded to the items that bear it."""

    Config = TitlesConfig
    presets = PRESETS

    config: TitlesConfig
    _grounder: Grounder
    _training = False

    @classmethod
    def longest_list(cls, config: TitlesConfig) -> int | None:
        """What the beams can fill; behind it stands what is popular."""
        return config.num_beams * (config.items_per_query if config.grounding == "bm25" else 1)

    @classmethod
    def fetch(cls, config: TitlesConfig) -> None:
        """Download the backbone that ``config`` names, or the tokenizer of one from scratch."""
        if backbone.pretrained(config) is None and config.tokenizer is not None:
            tokens.pretrained(config.tokenizer, "tokenizer")

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Titles and tokens, then the training of the language model, which is kept for other groundings.

        Raises
        ------
        DataError
            If the items have no titles, or the data no times that put them into an order.
        """
        config = self.config
        titles = item_titles(context.item_texts(), config.title_field, "titles")
        if config.grounding == "bm25":
            check_words(titles, "titles", "use grounding=trie")
        if config.order == "time":
            train.require_times()
        torch.manual_seed(context.seed)
        model, tokenizer, name = self._language_model([titles[item] for item in train.items] or titles)
        writer = Writer(model, tokens.end(tokenizer), name).to(context.device)
        catalogue = make_catalogue(titles, tokenizer, config.title_tokens, popular_first(train))
        _tell(context, writer, catalogue)
        self._grounder = Grounder(config, writer, tokenizer, catalogue)
        inputs = self._inputs(context, tokenizer, writer)
        weights = context.cached("language-model", inputs, lambda: self._train(train, context))
        found = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        writer.load_state_dict(found, strict=False)
        if config.grounding == "bm25":
            _tell_written(context, self._grounder, train.select(np.flatnonzero(train.lengths)[:_ASKED]))

    def _language_model(self, titles: list[str]) -> tuple[Any, Tokenizer, str]:
        config = self.config
        if found := backbone.pretrained(config):
            return backbone.adapted(found[0], config), found[1], found[2]
        if config.tokenizer is not None:
            tokenizer = tokens.pretrained(config.tokenizer, "tokenizer")
        else:
            tokenizer = tokens.train(titles, config.vocab_size)
        return backbone.from_scratch(config, tokenizer.get_vocab_size()), tokenizer, "scratch"

    def _inputs(self, context: Context, tokenizer: Tokenizer, writer: Writer) -> dict[str, Any]:
        """What training depends on: a folder of weights may hold others another day."""
        fields = self.config.model_dump(mode="json", exclude=OF_GROUNDING)
        weights = fingerprint(writer)
        return {"config": fields, "seed": context.seed, "tokenizer": tokenizer.to_str(), "weights": weights}

    def _train(self, train: Interactions, context: Context) -> dict[str, NDArray[Any]]:
        config, grounder = self.config, self._grounder
        indptr, titles = grounder.catalogue.of_histories(train)
        pieces = Pieces(indptr, titles, config.history + 1, config.batch_size, config.order == "random")
        task = Training(config, grounder.writer, grounder.catalogue, grounder.trie, pieces, context.seed)
        settings = Settings(config.max_grad_norm, config.schedule, bfloat16=bfloat16(config.precision, context.device))
        self._training = True
        Trainer(task, context, settings).train()
        self._training = False
        return {name: value.detach().cpu().numpy() for name, value in task.weights().items()}

    def recommend(
        self, users: NDArray[np.int64], history: Interactions, exclude: Interactions, k: int
    ) -> Recommendations:
        """Titles behind the latest ones of each history, grounded to items."""
        config, grounder = self.config, self._grounder
        if self._training:
            return grounder.by_trie(history, exclude, k, _BEAMS_IN_TRAINING)
        if config.grounding == "trie":
            return grounder.by_trie(history, exclude, k, config.num_beams)
        return grounder.by_bm25(history, exclude, k)

    def explain(
        self, users: NDArray[np.int64], history: Interactions, recommendations: Recommendations
    ) -> list[list[Mapping[str, Any]]]:
        """For each item what was written, how probable it was, and what it was grounded to."""
        made = explain.by_trie if self.config.grounding == "trie" else explain.by_bm25
        return made(self._grounder, history, recommendations)

    def save(self, folder: Path) -> None:
        """Weights, the shape of the language model, tokenizer and catalogue."""
        grounder = self._grounder
        safetensors.torch.save_model(grounder.writer, str(folder / "writer.safetensors"))
        shape = grounder.writer.model.config.to_dict()
        about = {"backbone": shape, "name": grounder.writer.name, "end": grounder.writer.end}
        (folder / "shape.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
        grounder.tokenizer.save(str(folder / "tokenizer.json"))
        grounder.catalogue.save(folder)

    def load(self, folder: Path, device: str) -> None:
        """The inverse of :meth:`save`; needs no backbone."""
        about = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        writer = Writer(backbone.of_shape(about["backbone"], self.config), about["end"], about["name"])
        safetensors.torch.load_model(writer, folder / "writer.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._grounder = Grounder(self.config, writer.to(device).eval(), tokenizer, Catalogue.load(folder))


def _tell(context: Context, writer: Writer, catalogue: Catalogue) -> None:
    """The facts of the row, and a line in the log."""
    titled = int((catalogue.titles != NONE).sum())
    facts = {
        "backbone": writer.name,
        "parameters": sum(p.numel() for p in writer.parameters()),
        "trained_parameters": sum(p.numel() for p in writer.parameters() if p.requires_grad),
        "vocabulary": writer.vocabulary,
        "titles": len(catalogue),
        "tokens_per_title": round(float(catalogue.lengths.mean()), 2),
        "items_without_title": catalogue.n_items - titled,
        "ambiguous_items": round(float(catalogue.shared.sum()) / titled, 4),
    }
    for name, value in facts.items():
        context.note(name, value)
    context.log(
        f"{len(catalogue):,} titles of {titled:,} items, {facts['tokens_per_title']} tokens each; "
        f"{facts['ambiguous_items']:.1%} of the items share their title, {facts['items_without_title']} have none"
    )


def _tell_written(context: Context, grounder: Grounder, history: Interactions) -> None:
    """How much of what is written freely is there; the rest still serves as queries."""
    catalogue = grounder.catalogue
    known = {tokens.decode(grounder.tokenizer, catalogue.tokens_of(title)) for title in range(len(catalogue))}
    written = [query.text in known for queries in grounder.queries(history) for query in queries]
    share = sum(written) / max(1, len(written))
    context.note("written_titles_that_exist", round(share, 4))
    context.log(
        f"{share:.1%} of {len(written):,} titles, written freely for {history.n_users} users, are in the catalogue"
    )
