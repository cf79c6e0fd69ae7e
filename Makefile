# `make book` builds the book, `make test` runs the tests. Everything happens in .venv; nothing else is touched.

STUDY  ?= microworld
PYTHON ?= python3
BIN    := .venv/bin

.PHONY: book test test-slow venv lock where clean

book: .venv/installed
	@$(BIN)/brainalign book $(STUDY)

test: .venv/installed
	@$(BIN)/pytest -n auto --dist loadgroup --no-loadscope-reorder -m "not slow"

test-slow: .venv/installed
	@$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder -m slow --durations=25

venv: .venv/installed

# The locked set first, so that installing the project itself has nothing left to fetch.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

# Keeps the pins that still fit; UPGRADE=--upgrade moves all but torch, whose version moves the numbers.
lock: .venv/installed
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group test --universal --python-version 3.11 $(UPGRADE) \
		--upgrade-package torch==2.13.0 --fork-strategy fewest --annotation-style line \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock
	sed -i.bak -E \
		-e '1s/.*/# Exactly what brainalign runs on, its tests included; accelerator packages are left to pip. Remake it with:/' \
		-e '/^(cuda|nvidia|triton)[a-z0-9-]*==/d' requirements.lock
	rm requirements.lock.bak

# Folder of the rendered book.
where:
	@echo build/$(STUDY)/_build/html

clean:
	rm -rf build .snakemake
