# make demo · make test · make quality: each makes .venv and installs what it needs the first time.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed

.PHONY: demo test quality benchmark clean

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

clean:
	rm -rf .venv .cache outputs build *.egg-info
