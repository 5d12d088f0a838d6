"""What codes are like, and how they become unique."""

from __future__ import annotations

from typing import Any

import numpy as np
from bench_torchkit.ragged import within
from numpy.typing import NDArray

from bench_semid.items.quantize import Codes


def describe(codes: Codes, values: int) -> dict[str, Any]:
    """JSON-ready: use and entropy of each level, and how many items share all their codes.

    ``used`` is the number of values that occur, ``entropy`` that of their shares in bits, at most log2(values).
    ``shared`` is the share of items that are not alone with their codes, ``crowd`` the most items of the same ones.
    """
    levels = []
    for column in codes.T:
        counts = np.bincount(column, minlength=values)
        shares = counts[counts > 0] / len(codes)
        levels.append({"used": len(shares), "entropy": round(float(-(shares * np.log2(shares)).sum()), 3)})
    sizes = _groups(codes)[1]
    return {
        "values": values,
        "levels": levels,
        "shared": round(float(sizes[sizes > 1].sum() / max(1, len(codes))), 5),
        "crowd": int(sizes.max(initial=0)),
    }


def as_lines(described: dict[str, Any]) -> list[str]:
    """:func:`describe`'s answer for the log."""
    levels, values = described["levels"], described["values"]
    used = " ".join(str(level["used"]) for level in levels)
    entropy = " ".join(f"{level['entropy']:.2f}" for level in levels)
    shared, crowd = described["shared"], described["crowd"]
    return [
        f"codes: {len(levels)} of {values} values, used {used}",
        f"codes: entropy in bits, of {np.log2(values):.2f}: {entropy}",
        f"codes: {shared:.2%} of items share all codes with another, at most {crowd} the same",
    ]


def numbered(codes: Codes, values: int) -> Codes:
    """(n_items, m + d): behind its codes the number of an item among those of the same ones, so that no two are equal.

    It counts from 0 and has d ≥ 1 digits of base ``values``, as many as the largest number needs.
    """
    group, sizes = _groups(codes)
    order = np.argsort(group, kind="stable")
    number = np.empty(len(codes), np.int32)
    number[order] = within(sizes)
    digits = [number]
    while digits[0].max(initial=0) >= values:
        digits[:1] = divmod(digits[0], values)
    return np.column_stack([codes, *digits]).astype(np.int32)


def _groups(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n_items,) the number of each item's codes, and how many items have them."""
    _, group, sizes = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return group.reshape(-1), sizes
