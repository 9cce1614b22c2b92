# Everything a person needs: install, demo, test, check, bench. Needs Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test check bench docs reproduce torture audit clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: install
	$(BIN)/convgraft demo --out runs/demo --overwrite

test: install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Needs image sets and weights: CONVGRAFT_DATA, CONVGRAFT_WEIGHTS; see docs/reproduce.md. One to two hours.
reproduce: install
	$(BIN)/convgraft reproduce table1 table2 table3 --scale cpu --out runs/reproduce \
		--markdown docs/reproduced.md

# The documentation as a site in site/; no page loads anything from elsewhere. Every warning is an error.
docs: install
	set -e; for script in docs/reference/write_*.py; do $(BIN)/python $$script; done
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --clean

bench: install
	set -e; for script in benchmarks/*.py; do $(BIN)/python $$script; done

# Every promise under attack, at full size: many hours; it goes on where it was stopped.
torture: install
	$(BIN)/python tests/faults/torture.py --markdown docs/reliability.md

# Known vulnerabilities of the pinned versions; needs a network.
audit:
	test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && \
		build/audit/bin/python -m pip install --quiet pip-audit; }
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf .venv build dist runs site .pytest_cache .ruff_cache
