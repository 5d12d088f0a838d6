"""What trackers are told of cells and results, in names and plain values."""

from __future__ import annotations

import json

from bench.messages.cell import Cell, Result

Value = str | int | float | bool


def parameters(cell: Cell) -> dict[str, Value]:
    """What determines the cell: model, ``config/KEY``, data, protocol, fold, seed, device, code."""
    fixed = {
        "model": cell.model,
        "preset": cell.preset,
        "ablation": cell.ablation.name if cell.ablation else "",
        "dataset": cell.dataset,
        "protocol": cell.protocol.name,
        "fingerprint": cell.fingerprint,
        "fold": "" if cell.fold is None else cell.fold,
        "seed": cell.seed,
        "device": cell.device,
        "code": cell.code,
    }
    config = {f"config/{key}": value for key, value in cell.config.items()}
    return {name: _plain(value) for name, value in (fixed | config).items()}


def _plain(value: object) -> Value:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def metrics(result: Result) -> dict[str, float]:
    """``GROUP/METRIC@K``, what lists are like as ``lists/NAME@K``, and costs: ``PHASE/seconds``, ``PHASE/mib``."""
    groups = result.groups.items()
    found = {f"{name}/{key}": value for name, group in groups for key, value in group.metrics.items()}
    found |= {f"lists/{key}": value for key, value in result.beyond.items()}
    for name, phase in result.phases.items():
        found |= {f"{name}/seconds": phase.seconds, f"{name}/mib": phase.peak_mib}
    return found


def provenance(result: Result) -> dict[str, str]:
    """How it ended, where and with what it was made."""
    return {
        "id": result.cell_id,
        "status": result.status,
        "reason": result.reason or "",
        "created": result.created,
        "plugin": f"{result.plugin.distribution} {result.plugin.version}",
        "packages": " ".join(f"{name}=={version}" for name, version in result.packages.items()),
        "confinement": result.confinement,
        "command": result.command,
        "git_revision": result.git_revision or "",
    }
