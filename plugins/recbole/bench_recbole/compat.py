"""What RecBole 1.2.1 needs to run beside today's numpy and scipy, quietly, and without writing a file of its own.

The patches change RecBole's modules in place, which reaches no further than the worker process of the cell.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import recbole.model.sequential_recommender
import recbole.trainer.trainer
import torch
from recbole.config import Config
from scipy.sparse import dok_matrix

# Switched on for the whole process by the import of RecBole's sequential models (sine.py); doubles the time of BPR.
torch.autograd.set_detect_anomaly(False)


@functools.cache
def patch() -> None:
    """Apply all patches, once per process."""
    for alias, target in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        if not hasattr(np, alias):  # gone in numpy 2; RecBole's Config reads them
            setattr(np, alias, target)
    matrices: Any = dok_matrix
    if not hasattr(matrices, "_update"):  # gone in scipy 1.13; the graph models fill their adjacency matrix with it
        matrices._update = lambda matrix, entries: matrix._dict.update(entries)
    recbole.trainer.trainer.get_tensorboard = lambda _logger: _NoWriter()
    # RecBole uses old spellings of torch's functions, which no user of the benchmark can change.
    warnings.filterwarnings("ignore", category=FutureWarning, message=r".*torch\.cuda\.amp.*")
    warnings.filterwarnings("ignore", category=UserWarning, message=r".*torch\.sparse\.SparseTensor.*")
    warnings.filterwarnings("ignore", category=UserWarning, message="Sparse CSR tensor support is in beta state")


class _NoWriter:
    """Stands in for the TensorBoard writer, which makes a folder in the working directory as soon as it exists."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None


class PlainConfig(Config):  # type: ignore[misc]
    """RecBole's Config made from a dict alone.

    RecBole's reads ``sys.argv``, evaluates strings as Python code, sets ``CUDA_VISIBLE_DEVICES`` and picks the device.
    """

    def __init__(self, model: type, options: Mapping[str, Any], device: str) -> None:
        patch()
        self._torch_device = torch.device(device)
        super().__init__(model=model, dataset="bench", config_dict=dict(options))

    def _load_cmd_line(self) -> dict[str, Any]:
        return {}

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return config_dict

    def _init_device(self) -> None:
        self.final_config_dict.update(
            device=self._torch_device, use_gpu=self._torch_device.type == "cuda", single_spec=True, local_rank=0
        )


def speed_up_graph(model: torch.nn.Module, options: Config) -> None:
    """Turn the adjacency matrix of a graph model into compressed rows: a third less time for an epoch on a CPU.

    Not with node dropout, which reads the coordinates of the matrix.
    """
    if options["device"].type != "cpu" or options["node_dropout"]:
        return
    for name in ("norm_adj_matrix", "norm_adj_mat"):
        matrix = getattr(model, name, None)
        if isinstance(matrix, torch.Tensor) and matrix.is_sparse:
            setattr(model, name, matrix.to_sparse_csr())
