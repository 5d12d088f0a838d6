"""How models on semantic IDs are trained."""

from __future__ import annotations

from bench_torchkit.trainer import Settings

from bench_semid.config import SemanticConfig


def settings(config: SemanticConfig) -> Settings:
    """For the trainer."""
    return Settings(config.max_grad_norm, schedule=config.schedule, warm_up=config.warm_up, averaging=config.averaging)
