# Everything here sets itself up: a virtual environment from pinned requirements, the sandbox's programs from pinned Go modules.
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two stages of the same environment: what the operator itself needs, and everything.
RUN := $(VENV)/.run
READY := $(VENV)/.ready
# Another environment: what asks the HTTP API has packages that nothing else here needs.
SCHEMATHESIS := build/schemathesis/.made
INSTALL := requirements/install.py
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras --allow-unsafe
WORKERS ?= 4

SIMULATED := --policy examples/policy-seed.yaml --fault 5 --onset 30m --runs 10

.PHONY: help sbom simulate demo demo-programs walkthrough test lint types layers unit cluster-tests coverage audit fuzz crds messages image-check bench soak bench-handover bench-large bench-judge bench-batching bench-budgets bench-fairness faults field autoscaler lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

# The pip that the lock pins is in it; nothing else yet.
$(VENV)/.pip: requirements/installer.txt $(INSTALL)
	@command -v $(PYTHON) >/dev/null || { echo 'There is no $(PYTHON) on PATH. Install Python 3.11 or later, or name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) $(INSTALL) $(VENV)
	@touch $@

$(RUN): $(VENV)/.pip requirements/run.txt requirements/build.txt pyproject.toml
	$(PYTHON) $(INSTALL) $(VENV) requirements/run.txt requirements/build.txt --checkout
	@touch $@

$(READY): $(RUN) requirements/dev.txt
	$(PYTHON) $(INSTALL) $(VENV) requirements/dev.txt
	@touch $@

$(SCHEMATHESIS): $(VENV)/.pip requirements/schemathesis.txt
	$(PYTHON) $(INSTALL) $(dir $@) requirements/schemathesis.txt
	@touch $@

simulate: $(RUN) ## The judge of the seed policy on generated traffic, without a cluster: seen within a minute of the clone
	$(BIN)/tidegate backtest --simulate $(SIMULATED)

demo: ## A good version is promoted, bad ones are shut out, on a real cluster with real traffic
	@$(MAKE) --no-print-directory --jobs=2 $(READY) demo-programs
	$(BIN)/python -m tidegate_sandbox.demo

# Needs nothing but Python's own library, so that compiling begins while packages are still being downloaded.
demo-programs: $(VENV)/.pip
	@PYTHONPATH=operator $(BIN)/python -m tidegate_sandbox.demo.programs

walkthrough: $(READY) ## One version from dev to production by what three people type, on a cluster of its own (a minute)
	$(BIN)/tidegate-sandbox build kubernetes etcd kwok
	$(BIN)/python -m tidegate_sandbox.walkthrough

test: lint types layers cluster-tests ## Lint, types and all tests

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types
	$(BIN)/mypy

layers: $(READY) ## Check that modules import only from the layers below
	$(BIN)/lint-imports

unit: $(READY) ## Tests that need no cluster
	$(BIN)/pytest -n $(WORKERS) tests/unit

cluster-tests: $(READY) $(SCHEMATHESIS) ## All tests, on a local cluster that is taken down afterwards
	$(BIN)/tidegate-sandbox build
	PYTHONPATH=tests $(BIN)/python -m api.postgres
	$(BIN)/tidegate-sandbox run -- $(BIN)/pytest -n $(WORKERS) --dist loadgroup --durations 30 --durations-min 10

coverage: $(READY) ## Measure which lines and branches the tests reach that need no cluster; fails below a package's floor
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term:skip-covered --cov-report=json:build/coverage.json tests/unit
	$(BIN)/python tests/coverage_floor.py build/coverage.json

audit: ## Look pinned dependencies up in the advisories of the package index; STRICT=1 fails where it serves none
	$(PYTHON) .ci/audit.py $(if $(STRICT),--strict) requirements/run.txt requirements/dev.txt requirements/schemathesis.txt

sbom: $(VENV)/.pip ## Write the bill of materials of the locked packages (CycloneDX), build/tidegate.cdx.json; asks no index
	$(BIN)/python requirements/sbom.py build/tidegate.cdx.json

fuzz: $(READY) ## The fuzz tests with a hundred times as many examples, the simulation with ten times, other ones each time: over an hour
	TIDEGATE_FUZZ=100 $(BIN)/pytest -n $(WORKERS) --timeout 0 tests/unit/fuzz tests/simulation

crds: $(READY) ## Write crds/ and docs/reference.md from the models
	$(BIN)/python -m tidegate.api.crds crds charts/tidegate/files/crds
	$(BIN)/python -m tidegate.api.reference docs/reference.md

messages: $(READY) ## Write the catalogue of all sentences that users see, tests/messages/*.txt, to be read as a diff
	PYTHONPATH=operator:tests $(BIN)/python -m messages

image-check: $(READY) ## Run the Dockerfile's own commands in clean folders
	TIDEGATE_IMAGE_CHECK=1 $(BIN)/pytest tests/api/test_image.py

bench: $(READY) ## Measure speed and scale on local clusters (an hour); writes bench/results and the tables of docs/performance.md
	$(BIN)/python -m bench.scale

soak: $(READY) ## Half an hour of rollouts over 1,000 Releases on a local cluster; nothing may grow, slow down or end wrongly
	$(BIN)/python -m bench.scale --only soak

bench-handover: $(READY) ## Measure how long nobody works when one of two operators ends (3 minutes); writes bench/results
	$(BIN)/tidegate-sandbox run --parts api,controllers -- $(BIN)/python bench/handover.py

bench-large: $(READY) ## Measure what 300 Deployments of 0.8 MB cost that no Release names (3 minutes)
	$(BIN)/tidegate-sandbox run --parts api,controllers,kwok -- env TIDEGATE_LARGE=300 $(BIN)/pytest -s tests/api/test_large_objects.py -k costs_little

bench-judge: $(READY) ## Measure the judge: false alarms, detection, speed (20 minutes); writes bench/results and docs/judge-results.md
	$(BIN)/python -m bench.judge

faults: $(READY) ## Over a thousand faults on a local cluster, the operator killed at every write; under an hour; writes build/faults.json
	$(BIN)/tidegate-sandbox run --parts api,controllers,kwok -- env PYTHONPATH=tests $(BIN)/python -m faults --side-by-side 8 --report build/faults.json --summary bench/results/faults.json

field: $(READY) ## What teams have met in the field, on a cluster with real pods, gateway and Prometheus, and back ends of metrics (40 minutes); writes build/field.json
	$(BIN)/tidegate-sandbox run -- env PYTHONPATH=tests $(BIN)/python -m field $(if $(ONLY),--only '$(ONLY)')
	$(if $(ONLY),,$(BIN)/tidegate-sandbox build thanos)
	$(if $(ONLY),,PYTHONPATH=tests $(BIN)/python -m field.backends)

autoscaler: $(READY) ## Load that doubles and halves in every phase, on a cluster's own autoscaler (7 minutes); writes build/autoscaler.md and bench/results
	$(BIN)/tidegate-sandbox run --parts api,controllers,kwok,gateway -- env TIDEGATE_AUTOSCALER=build/autoscaler.md $(BIN)/pytest -s tests/e2e/test_autoscaler.py
	cp build/autoscaler.json bench/results/autoscaler.json

bench-budgets: $(READY) ## Measure the memory of gates with many series (2 minutes); writes bench/results
	$(BIN)/python -m bench.budgets

bench-fairness: $(READY) ## Measure a breach beside another tenant's slow queries (3 minutes); writes bench/results
	$(BIN)/python -m bench.fairness

bench-batching: $(READY) ## Count the requests to Prometheus as Releases grow; writes bench/results
	$(BIN)/tidegate-sandbox run --parts prometheus -- $(BIN)/python -m bench.batching

lock: $(READY) ## Pin dependencies anew
	$(PIP_COMPILE) --output-file requirements/installer.txt requirements/installer.in
	$(PIP_COMPILE) --output-file requirements/go.txt requirements/go.in
	$(PIP_COMPILE) --only-build-deps --build-deps-for wheel --output-file requirements/build.txt pyproject.toml
	$(PIP_COMPILE) --output-file requirements/run.txt pyproject.toml
	$(PIP_COMPILE) --extra dev --constraint requirements/installer.txt --constraint requirements/build.txt --constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml
	$(PIP_COMPILE) --constraint requirements/installer.txt --output-file requirements/audit.txt requirements/audit.in
	$(PIP_COMPILE) --constraint requirements/installer.txt --output-file requirements/schemathesis.txt requirements/schemathesis.in

clean: ## Remove what was built
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
