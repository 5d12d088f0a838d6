"""The process that downloads what a model needs, with network and without data; arguments: the request as JSON."""

from __future__ import annotations

import sys

from bench.errors import one_line
from bench.messages.description import ModelRequest
from bench.worker.describe import configured


def main(request: ModelRequest) -> int:
    """Let the model's class fetch what the config of ``request`` needs."""
    try:
        model, _, config = configured(request)
        model.fetch(config)
    except Exception as error:  # noqa: BLE001 (a stranger's code may raise anything; the parent shows one line)
        sys.stderr.write(f"error: {one_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(ModelRequest.model_validate_json(sys.argv[1])))
