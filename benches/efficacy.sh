#!/bin/sh
# preheat against every other autoscaler on recorded traffic; prints the tables of
# docs/benchmarks.md and writes target/efficacy.html. Traces that are not at hand are named and left
# out: the two Azure traces are embedded, ServeGen's days lie beside the checkout.
set -eu
cd "$(dirname "$0")/.."

traces=../shared/traces
cargo build --release --locked --quiet -p preheat
preheat="${CARGO_TARGET_DIR:-target}/release/preheat"
mkdir -p target

set -- "${1:-full}" --max-num-seqs 8 --cold-start 180s --slo-ttft 2s
mode=$1
shift
add() {
    if [ -e "$1" ]; then
        chosen="$chosen --trace $1@$2"
    else
        echo "left out, not at hand: $1" >&2
    fi
}
chosen="--trace azure-conversation@4 --trace azure-code@10"
add "$traces/servegen_m_large_day1_resampled.csv.gz" 2
if [ "$mode" = quick ]; then
    policies=preheat,static,keda-concurrency,llmd-queue-guard
else
    policies=all
    add "$traces/servegen_m_large_day0_resampled.csv.gz" 2
    add "$traces/servegen_m_large_day2_resampled.csv.gz" 2
fi
# shellcheck disable=SC2086 # the traces are words of their own
"$preheat" compare $chosen "$@" --policies "$policies" --tune --html target/efficacy.html
