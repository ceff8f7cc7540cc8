# Every target sets up what it needs: Python 3.11 or newer, make and pip are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where a model folder, reports and benchmark results go.
MODELS ?= models
REPORTS ?= reports
# What a measurement is told on its command line: make bench ARGS="--rounds 1".
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-ray test-torch check format docs bench bench-cores bench-peers bench-reliability calibrate proto clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Plain pip on purpose: on Linux other installers take the CUDA build of torch, several gigabytes.
$(VENV)/.installed: pyproject.toml constraints.txt hatch_build.py $(wildcard proto/*/*.proto proto/*/*/*.proto)
	@test -x $(BIN)/python || (echo "Making $(VENV) ..." && $(PYTHON) -m venv $(VENV))
	@echo "Installing twinserve and what it needs (torch is the largest part; a few minutes the first time) ..."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(VENV)/.installed ## Train, quantise, serve, load-test, report: the whole answer, in a few minutes
	$(BIN)/twinserve demo --models $(MODELS) --reports $(REPORTS)

# A module's tests stay together: they share its server. How many run at once: tests/conftest.py. In the order of the
# folders: by their number of tests, the few long ones would come last and leave all but one worker idle.
# Where nothing may be cached, each of some hundred servers would compile its modules anew.
test: $(VENV)/.installed ## Run the tests
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not ray"

test-ray: $(VENV)/.installed ## Run the tests on a cluster of Ray nodes (3 GB of memory)
	$(BIN)/python -m pytest -m ray tests/ray_serve

# In a venv of its own, in which all but torch and torchvision is as constraints.txt says.
test-torch: ## Run the tests of the runtimes and of making models with another torch: make test-torch TORCH=2.14.1
	@test -n "$(TORCH)" || (echo "Say which: make test-torch TORCH=2.14.1"; exit 2)
	@test -x $(VENV)-torch-$(TORCH)/bin/python || $(PYTHON) -m venv $(VENV)-torch-$(TORCH)
	grep -vE '^(torch|torchvision)==' constraints.txt > $(VENV)-torch-$(TORCH)/constraints.txt
	$(VENV)-torch-$(TORCH)/bin/python -m pip install --disable-pip-version-check \
		-c $(VENV)-torch-$(TORCH)/constraints.txt -e '.[all]' torch==$(TORCH) pytest pytest-asyncio pytest-timeout pyyaml 'tritonclient[grpc]'
	$(VENV)-torch-$(TORCH)/bin/python -c 'import torch; print("torch", torch.__version__)'
	$(VENV)-torch-$(TORCH)/bin/python -m pytest tests/server/model tests/models $(ARGS)

check: $(VENV)/.installed ## Lint, types, import boundaries, contract, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive client server loadtest/twinserve_loadtest
	$(BIN)/python deploy/audit.py

format: $(VENV)/.installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## Measure the server against its bounds (needs h2load: apt-get install nghttp2-client)
	$(BIN)/python -m twinserve_bench.run --models $(MODELS) $(ARGS)

bench-cores: $(VENV)/.installed ## Measure the default plan on 2, 4, 8 and 16 cores, as many as there are
	$(BIN)/python -m twinserve_bench.many_cores --models $(MODELS) $(ARGS)

bench-peers: $(VENV)/.installed ## Measure the server against Triton, TorchServe, KServe, MLServer, Ray Serve
	$(BIN)/python -m twinserve_bench.peers.run --models $(MODELS) $(ARGS)

bench-reliability: $(VENV)/.installed ## Measure what is promised under overload: make bench-reliability ARGS="--only deadlines"
	$(BIN)/python -m twinserve_bench.reliability.run --models $(MODELS) $(ARGS)

docs: $(VENV)/.installed ## Build the documentation as a site, strictly: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

calibrate: $(VENV)/.installed ## Check the statistics: A/A runs and planted effects
	$(BIN)/python -m twinserve_bench.calibration $(ARGS)

proto: $(VENV)/.installed ## Generate the stubs again
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .

clean: ## Remove what was made: venv, models, reports, caches, stubs
	rm -rf $(VENV) $(VENV)-torch-* $(MODELS) $(REPORTS) bench-results dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f proto/twinserve/*/*_pb2.py proto/twinserve/*/*_pb2.pyi proto/twinserve/*/*_pb2_grpc.py proto/twinserve/*/*_pb2_grpc.pyi
