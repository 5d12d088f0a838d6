"""The process that downloads what a model needs, with network and without data; arguments: the request as JSON."""

from __future__ import annotations

import sys

from bench.errors import BenchError
from bench.messages.description import ModelRequest
from bench.worker.describe import configured


def main(request: ModelRequest) -> int:
    """Let the model's class fetch what the config of ``request`` needs."""
    try:
        model, _, config = configured(request)
        model.fetch(config)
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(ModelRequest.model_validate_json(sys.argv[1])))
