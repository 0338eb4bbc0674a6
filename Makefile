export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
MAKEFLAGS += --no-print-directory

.PHONY: help setup check test torture demo demo-clean bench-memory bench-queries bench-scale bench-serve bench-stalled bench-stalls bench-sync ffprobe image-test ci

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install what is missing for the tests (Debian packages as root, npm packages)
	@scripts/setup

check: ## types, lint and format
	@scripts/setup npm
	@tsc --noEmit
	@biome check --error-on-warnings .

test: setup ## the whole suite, or a part: make test ONLY=test/sync
	@node test/run.ts $(ONLY)

torture: setup ## kill it TORTURE_POINTS times and spoil TORTURE_TRANSFERS transfers: make torture TORTURE_POINTS=1000 SEED=1
	@TORTURE_POINTS="$(or $(TORTURE_POINTS),1000)" TORTURE_TRANSFERS="$(or $(TORTURE_TRANSFERS),0)" \
	  SEED="$(SEED)" WORLD="$(WORLD)" node test/torture/torture.ts

demo: ## show the whole life of an item; DEMO_SERVE=0 stops after the table
	@scripts/setup demo
	@bin/strongroom demo

demo-clean: ## remove what the demo left
	@rm -rf demo-data

bench-memory: ## measure how much memory a sync takes
	@scripts/setup
	@node bench/memory.ts

bench-queries: ## time what is asked of the database on ten million rows; BENCH='--rows 1000000' for fewer
	@scripts/setup
	@node bench/queries.ts $(BENCH)

bench-scale: ffprobe ## compare one syncing process with four on a bucket that answers late
	@scripts/setup
	@scripts/setup sync-bench
	@node bench/scale.ts $(BENCH)

bench-serve: ## compare the file server with nginx, Caddy and Hono
	@scripts/setup bench
	@node bench/serve.ts $(BENCH)

bench-stalled: ## measure what an attack costs that holds connections
	@scripts/setup npm
	@node bench/stalled.ts

bench-stalls: ffprobe ## measure how late the event loop comes while a process syncs and serves
	@scripts/setup
	@scripts/setup sync-bench
	@node bench/stalls.ts $(BENCH)

bench-sync: ffprobe ## compare a whole sync with the loop that it replaces, rclone and aws
	@scripts/setup
	@scripts/setup sync-bench
	@node bench/sync.ts $(BENCH)

ffprobe: ## build the small ffprobe for FFPROBE_SMALL_PATH, and print where it is
	@scripts/setup ffprobe
	@scripts/build-ffprobe

image-test: ## build the container image without an engine and test it (root, Debian)
	@scripts/setup image
	@scripts/image-test

ci: ## what CI runs
	@.ci/run
