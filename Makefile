# Each target does all its own set-up; a fresh Debian or Ubuntu needs only Python 3.11 or newer and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check bench soak docs format lock clean

bin := .venv/bin
run_ready := .venv/ready-run
dev_ready := .venv/ready-dev
# How scenarios run on several instances; see tests/test_divergence.py. The core is what depends on how they are connected.
topologies := instances pgbouncer without-redis
core := $(addprefix tests/scenarios/test_,$(addsuffix .py,batches cache contention idempotency_keys identity_sessions live positions \
	realtime_instances rest_changes))

help:  ## This list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(run_ready)  ## Serve the PrimeTrade example with demo data at http://127.0.0.1:8000.
	$(bin)/ramet serve examples/primetrade/app.py --demo

test: $(dev_ready)  ## Every test, the long ones in their short form.
	scripts/system-packages test
	$(bin)/python -m pytest $(ARGS)
	RAMET_TEST_TOPOLOGY=instances $(bin)/python -m pytest tests/scenarios -m "not soak" $(ARGS)
	RAMET_TEST_TOPOLOGY=pgbouncer $(bin)/python -m pytest $(core) -m "not soak" $(ARGS)
	RAMET_TEST_TOPOLOGY=without-redis $(bin)/python -m pytest $(core) -m "not soak" $(ARGS)

check: $(dev_ready)  ## Lint, format, types, architecture, tidiness and docs.
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/python -m pytest tests/test_architecture.py tests/test_tidy.py tests/test_docs.py

bench: $(dev_ready)  ## Measure against the budgets; fails when a ratio is below its own.
	scripts/system-packages bench
	$(bin)/python -m benchmarks $(ARGS)

soak: $(dev_ready)  ## The long tests with their full counts.
	scripts/system-packages test
	$(bin)/python -m pytest -m soak --soak --timeout 14400 $(ARGS)
	RAMET_TEST_DATABASE=postgresql $(bin)/python -m pytest tests/scenarios $(ARGS)
	for topology in $(topologies); do \
		RAMET_TEST_TOPOLOGY=$$topology $(bin)/python -m pytest tests/scenarios $(ARGS) || exit 1; \
		RAMET_TEST_TOPOLOGY=$$topology RAMET_TEST_NEEDED=1 $(bin)/python -m pytest tests/scenarios $(ARGS) || exit 1; \
	done

docs: $(dev_ready)  ## Write the generated pages of docs/reference.
	$(bin)/python -m scripts.reference

format: $(dev_ready)  ## Format the code and mend what ruff can mend.
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

lock: $(dev_ready)  ## Refresh both locks to the newest versions that pyproject.toml allows.
	scripts/lock

clean:  ## Remove what make made; data of running applications stays.
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The locks agree on every version, so both sets live in one environment and the larger serves for both.
$(run_ready): requirements-run.lock pyproject.toml scripts/venv
	scripts/venv $<
	touch $@

$(dev_ready): requirements.lock pyproject.toml scripts/venv
	scripts/venv $<
	touch $@ $(run_ready)
