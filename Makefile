# The two commands that a newcomer needs are `make demo` and `make test`.

CARGO ?= cargo

.PHONY: demo test test-kube cluster deploy bench efficacy efficacy-quick lint docs deny reference

## Watch an autoscaler keep a pool of engine processes ahead of real traffic (about two minutes).
demo:
	$(CARGO) run --release --locked --quiet -p preheat -- demo $(ARGS)

## Everything that can be shown to work, in about ten minutes on two cores.
test:
	$(CARGO) test --workspace --locked

## preheat against a real control plane: etcd, kube-apiserver and kube-controller-manager are built
## with Go first, once, which takes a quarter of an hour on two cores. `make test` runs the same
## tests where they have been built, and says so where not.
test-kube:
	./e2e/controlplane/build
	PREHEAT_TEST_KUBE=1 $(CARGO) test --locked -p preheat-kube --test cluster

## The same control plane to try things on, until Ctrl-C: each pod is an emulated engine.
cluster:
	./e2e/controlplane/build
	PREHEAT_TEST_KUBE=1 $(CARGO) test --locked -q -p preheat-kube --test cluster -- serve

## Speed: prints every figure with the command that reruns it.
bench:
	./benches/run.sh

## preheat against every other autoscaler, tuned, on recorded traffic: tables, and a page
## (target/efficacy.html); without each of its parts; with a rung to sleep on. Forty minutes on two
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

## Licences, duplicates and sources of what we depend on.
deny:
	$(CARGO) deny --offline check bans licenses sources

## Write deploy anew from the code.
deploy:
	UPDATE_DEPLOY=1 $(CARGO) test --locked -p preheat-kube --test manifests

## Write docs/reference and completions anew from the code.
reference:
	UPDATE_REFERENCE=1 $(CARGO) test --locked -p preheat --test reference
