# make demo · make test · make quality · make pictures: each makes .venv and installs what it needs the first time.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test quality benchmark page page-check pictures clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python training/demo.py

# One thread a worker: on few cores, threads of several workers only wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -q $(TESTS)

quality: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(READY)
	$(BIN)/python benchmarks/step.py

# The explanation page is kept built: Node is only needed to change it.
page: frontend/node_modules
	cd frontend && npm run --silent build

page-check: frontend/node_modules
	cd frontend && npm run --silent check

frontend/node_modules: frontend/package.json frontend/package-lock.json
	cd frontend && npm ci --silent
	touch $@

# The README's pictures, of the model that make demo trains; needs chromium.
pictures: $(READY)
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf .venv .cache outputs build *.egg-info frontend/node_modules
