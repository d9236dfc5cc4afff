#!/usr/bin/env bash
# Every figure about speed that the documents quote, each with the command that reruns it.
# Wall times on a shared machine scatter: quote medians.
set -euo pipefail
cd "$(dirname "$0")/.."

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

quick=(-- --warm-up-time 1 --measurement-time 4)
run cargo bench --locked -p preheat-core --bench decide "${quick[@]}"
run cargo bench --locked -p preheat-core --bench quota "${quick[@]}"
run cargo run --release --locked -q -p preheat-core --example week
run cargo bench --locked -p preheat-runtime --bench scrape "${quick[@]}"
run cargo bench --locked -p preheat-engine --bench engine "${quick[@]}"
run cargo bench --locked -p preheat-sim --bench simulate "${quick[@]}"
for tool in nginx haproxy wrk; do
  if ! command -v "$tool" >/dev/null; then
    echo "not run: the gateway beside nginx and HAProxy, for want of $tool (install nginx-light haproxy wrk)"
    exit 0
  fi
done
run crates/preheat-gateway/benches/gateway.sh 10 5000
