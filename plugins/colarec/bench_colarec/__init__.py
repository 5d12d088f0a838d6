"""ColaRec: content-based collaborative generation (Wang et al., CIKM 2024, arXiv:2403.18480) as a plugin."""

from __future__ import annotations

from bench.contract import hookimpl


@hookimpl
def bench_model(name: str) -> type:
    """The one model of this plugin; torch and transformers are imported with it, not before."""
    from bench_colarec.model import ColaRec

    return ColaRec
