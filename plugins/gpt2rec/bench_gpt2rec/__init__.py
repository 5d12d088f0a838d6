"""The GPT-2 recommender: texts of users and items, read by a language model and fused with ids, as a plugin."""

from __future__ import annotations

from bench.contract import hookimpl


@hookimpl
def bench_model(name: str) -> type:
    """One of the three models; torch and transformers are imported with them, not before."""
    from bench_gpt2rec.model import MODELS

    return MODELS[name]
