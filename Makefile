# make demo, make test, make test-all, make quality, make pictures: each creates .venv and installs its dependencies on first use.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test test-all quality benchmark page page-check pictures clean

$(READY): pyproject.toml constraints.txt
	@echo "Installing into .venv: about 2 GB, which takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python training/demo.py

# One thread per worker: on few cores, threads of several workers only wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -q $(TESTS)

# All cases of the tests that have many: hours on two cores.
test-all: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -q --all-cases $(TESTS)

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python benchmarks/step.py

# The built explanation page is in the repository: Node is only needed to change it.
page: frontend/node_modules
	cd frontend && npm run --silent build

page-check: frontend/node_modules
	cd frontend && npm run --silent check

# What the example in Node needs; its test is skipped without. No install scripts: they load libraries for GPUs.
examples/node/node_modules: examples/node/package.json examples/node/package-lock.json
	cd examples/node && npm ci --silent --ignore-scripts
	touch $@

frontend/node_modules: frontend/package.json frontend/package-lock.json
	cd frontend && npm ci --silent
	touch $@

# The pictures in the README, from the packaged model; needs chromium.
pictures: $(READY)
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf .venv .cache outputs build *.egg-info frontend/node_modules examples/node/node_modules
