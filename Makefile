PYTHON ?= python3
BIN := .venv/bin
SQL := plans costs counters* ranges* site* search* lead* overview session* pages* geo engagement sources realtime current dashboard \
  filter* compare* conversions* campaigns attributions* pipeline board* database* purge* erase response_cache import* cli_import d1_dump \
  backup copy export

# Suppress pip's notices about newer versions and about running as root.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# Settings of `make run`. A file .env is only for commands that are run manually.
PORT ?= 8000
BIND := 127.0.0.1:$(PORT)
DEMO := ANALYTICS_DATABASE=demo.db ANALYTICS_STORAGE=demo-recordings ANALYTICS_API_KEY= ANALYTICS_API_KEY_FILE=demo.key

PYTEST := pytest -n auto --dist worksteal
WORKERS = $$(( $$(getconf _NPROCESSORS_ONLN) * 2 ))  # more than cores, because many tests wait for servers

.PHONY: help run check test test-browser lowest newest faults bench lint types clean

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

run: .venv/run demo.key  ## serve demo data on http://127.0.0.1:8000; options: PORT=8001 or BIND=HOST:PORT
	@$(BIN)/python -c 'import click; from analytics_api.cli.serve import check_address as check; \
	  click.Command("run", callback=lambda: check("$(BIND)")).main([])' \
	  || { echo 'For another port: make run PORT=8001' >&2; exit 1; }
	@$(DEMO) $(BIN)/analytics-api demo --if-empty --recordings demo-recordings
	@printf '\nThe key is %s, stored in demo.key. Try:\n\n' "$$(cat demo.key)"; \
	printf "  curl -H 'Authorization: Bearer %s' http://$(BIND)/analytics/overview\n\n" "$$(cat demo.key)"
	@$(DEMO) $(BIN)/analytics-api serve --bind $(BIND)

check: lint types  ## lint, check types and run the fast tests
	$(BIN)/$(PYTEST) -q --engine sqlite -m 'not slow and not postgresql'

test: .venv/test  ## run all tests but those in a browser
	PYTEST_XDIST_AUTO_NUM_WORKERS=$(WORKERS) $(BIN)/$(PYTEST) --ignore tests/browser

test-browser: .venv/browser  ## test the web pages in Chromium, which must be installed: apt-get install chromium chromium-headless-shell
	BROWSER_TESTS=1 PYTEST_XDIST_AUTO_NUM_WORKERS=$(WORKERS) $(BIN)/$(PYTEST) tests/browser

lowest: .venv-lowest/test  ## run the tests on the lowest supported versions; OPTIONS is passed to pytest
	.venv-lowest/bin/python tests/lowest.py --installed
	.venv-lowest/bin/$(PYTEST) --ignore tests/browser $(OPTIONS)

newest: .venv/test .venv/newest/libsqlite3.so.0  ## run the tests of SQL and of imports on the newest SQLite on PyPI
	LD_LIBRARY_PATH=$(CURDIR)/.venv/newest PYTHONPATH=.venv/newest $(BIN)/python -c 'import pysqlite3, sqlite3; \
	  print("SQLite", sqlite3.sqlite_version); assert sqlite3.sqlite_version == pysqlite3.sqlite_version'
	LD_LIBRARY_PATH=$(CURDIR)/.venv/newest $(BIN)/$(PYTEST) --engine sqlite tests/imports $(SQL:%=tests/test_%.py)

faults: .venv/test  ## inject faults and run the random tests for longer; as root also full and read-only disks
	@cd faults && for script in crash collect_crash disk_faults slow_clients slow_exports reload lead_contention \
	  cache_freshness fuzz injections hostile_files memory; \
	  do ../$(BIN)/python $$script.py || exit; done
	COLLECT_EXAMPLES=1000 FUZZED_FILES=1000 FUZZ_EXAMPLES=100 COUNTER_EXAMPLES=2000 RANGE_EXAMPLES=2000 \
	  COMPARE_EXAMPLES=1000 FILTER_EXAMPLES=2000 CONVERSION_EXAMPLES=2000 PIECES_EXAMPLES=500 ROUND_TRIP_EXAMPLES=200 \
	  ATTRIBUTION_EXAMPLES=200 POSTGRESQL_EXAMPLES=400 $(BIN)/$(PYTEST) \
	  tests/collector/test_collect_streams.py tests/imports/test_fuzzed_files.py tests/imports/test_log_pieces.py \
	  tests/imports/test_round_trip.py tests/test_attributions_exact.py \
	  tests/test_counters_exact.py tests/test_ranges_exact.py tests/test_filters_exact.py tests/test_compare_exact.py \
	  tests/test_conversions_exact.py tests/test_openapi_fuzzed.py tests/postgresql/test_postgresql_counters_exact.py

bench: .venv/bench  ## run benchmarks (half an hour); options: PARTS=functions,throughput SIZES=20k,2M LEADS=10k EVENTS=100M
	$(BIN)/python -m benchmarks $(if $(PARTS),--parts $(PARTS)) $(if $(SIZES),--sizes $(SIZES)) \
	  $(if $(LEADS),--leads $(LEADS)) $(if $(EVENTS),--events $(EVENTS))

lint: .venv/test  ## check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/test  ## check types
	$(BIN)/mypy

clean:  ## remove generated files, including the demo data
	rm -rf .venv .venv-lowest .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	rm -rf demo.db demo.db-shm demo.db-wal demo.key demo-recordings
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

demo.key:
	@umask 077; $(PYTHON) -c 'import secrets; print(secrets.token_hex(32))' > demo.key

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed, and this is %s; " \
	  "pass another one, such as: make run PYTHON=python3.13" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # remove an incomplete environment

.venv/run: .venv/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable '.[server]'
	@touch $@

.venv/test: .venv/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable '.[server,metrics,postgresql,test,fuzz,lint]'
	@touch $@ .venv/run

.venv/browser: .venv/test
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	@touch $@

.venv/bench: .venv/test
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

.venv-lowest/test: setup.cfg
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) tests/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/constraints.txt \
	  --editable '.[server,metrics,postgresql,test]'
	@touch $@

.venv/newest/libsqlite3.so.0: .venv/bin/python
	$(BIN)/python -m pip install --quiet --upgrade --no-deps --only-binary :all: --target .venv/newest pysqlite3
	@ln -sf $$(cd .venv/newest && echo pysqlite3/_sqlite3*.so) $@  # it exports the symbols of the library
