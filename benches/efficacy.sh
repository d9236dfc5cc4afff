#!/bin/sh
# What preheat is worth: against every other autoscaler on recorded traffic (also written as a page,
# target/efficacy.html), beside fleets that are told part of the future, without each of its parts,
# with a rung to sleep on, and at the edges of traces that were redrawn window by window.
# docs/benchmarks.md has what it printed. Traces that are not at hand are named and left out: Azure's
# two are embedded, ServeGen's lie beside the checkout.
set -eu
cd "$(dirname "$0")/.."

mode="${1:-full}"
traces=../shared/traces
cargo build --release --locked --quiet -p preheat
preheat="${CARGO_TARGET_DIR:-target}/release/preheat"
mkdir -p target
pool="--max-num-seqs 8 --cold-start 180s --slo-ttft 2s"

# Adds a trace to $chosen if it is at hand: file, then rate and part.
add() {
    if [ -e "$traces/$1" ]; then
        chosen="$chosen --trace $traces/$1@$2"
    else
        echo "left out, not at hand: $traces/$1" >&2
    fi
}
title() {
    printf '\n# %s\n\n' "$1"
}

chosen="--trace azure-conversation@4 --trace azure-code@10"
add servegen_m_large_day1_resampled.csv.gz 2
if [ "$mode" = quick ]; then
    policies=preheat,static,keda-concurrency,llmd-queue-guard
else
    policies=all
    add servegen_m_large_day2_resampled.csv.gz 2
    add rates/servegen_m_large_600s.csv 0.04:240h-264h
    add rates/nab_tweets_amzn_300s.csv 20:96h-144h
fi
title "against the others"
# shellcheck disable=SC2086 # the words of $chosen and $pool are arguments of their own
"$preheat" compare $chosen $pool --policies "$policies" --tune --html target/efficacy.html

if [ "$mode" = full ] && ! command -v python3 >/dev/null; then
    echo "left out, there is no python3: bursts that were made up" >&2
elif [ "$mode" = full ]; then
    title "bursts that were made up, against those that do best on them"
    benches/bursts.py target/bursts
    bursts=
    for name in on-off pareto flash switching levels; do
        bursts="$bursts --trace target/bursts/$name.csv@1"
    done
    # shellcheck disable=SC2086
    "$preheat" compare $bursts $pool --tune \
        --policies preheat,static,keda-concurrency,llmd-queue-guard,inferline,skyserve,kubeai,knative
fi

if [ "$mode" = full ]; then
    title "what could be known: told the shape, told each step as it comes, told to expect yesterday again"
    # shellcheck disable=SC2086
    "$preheat" compare $chosen $pool --policies preheat,told
fi

chosen="--trace azure-conversation@4 --trace azure-code@10"
add servegen_m_large_day1_resampled.csv.gz 2
if [ "$mode" = quick ]; then
    exit
fi
title "without each part"
# shellcheck disable=SC2086
"$preheat" compare $chosen $pool --policies preheat,ablations

add servegen_m_large_day2_resampled.csv.gz 2
title "with a rung to sleep on: a quarter of the price, 5 s to wake"
# shellcheck disable=SC2086
"$preheat" compare $chosen $pool --policies preheat --standby-price 0.25 --standby-wake 5s

title "without the minute after each edge of 600 s"
for day in 1 2; do
    trace="$traces/servegen_m_large_day${day}_resampled.csv.gz"
    [ -e "$trace" ] || continue
    for policy in preheat keda-concurrency; do
        # shellcheck disable=SC2086
        "$preheat" simulate --trace "$trace" --rate-scale 2 $pool --edges 600s --policy "$policy" |
            grep -E '^(policy|attainment|off edges|GPU-hours)'
    done
done
