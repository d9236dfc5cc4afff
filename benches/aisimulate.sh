#!/usr/bin/env bash
# preheat's simulator beside AISimulate (NVIDIA, Apache-2.0), whose steps come from the same kernel
# measurements: 10,000 requests of 512 and 256 tokens, Poisson at 6/s, on one replica.
# Usage: benches/aisimulate.sh [PREHEAT]; Python 3.11 and 400 MB of wheels, or it says so and ends.
set -euo pipefail
cd "$(dirname "$0")/.."
preheat=${1:-${CARGO_TARGET_DIR:-target}/release/preheat}
preheat=$(realpath "$preheat")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Only this development version is a wheel that runs; its further dependencies are not needed here.
install() {
  python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install -q --no-deps 'aisimulate==0.13.0.dev202610270000000085' &&
    "$work/venv/bin/pip" install -q numpy pandas pyarrow pyyaml scipy packaging psutil ijson pydantic \
      prettytable munch tqdm jinja2 matplotlib 'plotext<6' plotly bokeh nvidia-ml-py
}
if ! install >"$work/install.log" 2>&1; then
  echo "not run: aisimulate does not install here ($(tail -n 1 "$work/install.log"))"
  exit 0
fi

cat >"$work/predict.yaml" <<'YAML'
traffic:
  source: {type: synthetic, input_tokens: 512, output_tokens: 256}
  load: {type: poisson, requests_per_second: 6}
  stop: {requests: 10000}
engine:
  mode: aggregated
  model: Qwen/Qwen3-32B-FP8
  hardware: h100_sxm
  backend: vllm
  workers: {aggregated: {parallelism: {replicas: 1}}}
YAML
cd "$work"
# preheat runs twenty times as many requests: 10,000 are over before its clock shows anything.
python3 - <<'PYTHON'
import random

random.seed(1)
now = 0.0
with open("trace.csv", "w") as trace:
    print("arrival_s,input_tokens,output_tokens", file=trace)
    for _ in range(200_000):
        now += random.expovariate(6)
        print(f"{now:.6f},512,256", file=trace)
PYTHON

"$work/venv/bin/python" -m aisimulate predict -c predict.yaml --output-dir out --overwrite >/dev/null 2>&1
# Under block scales, as the checkpoint has, and under per-tensor ones.
for profile in qwen3-32b-fp8tensor-kvfp8-h100 qwen3-32b-fp8-kvfp8-h100; do
  "$preheat" simulate --trace trace.csv --profile "$profile" --max-num-seqs 256 --min-replicas 1 \
    --max-replicas 1 --json >"$profile.json" 2>"$profile.log"
done
python3 - <<'PYTHON'
import glob
import json
import re

print("| simulator | requests/s | TTFT ms: p50 | p90 | p99 | TPOT ms: p50 | p90 | p99 |")
print("|---|---|---|---|---|---|---|---|")


def row(name, rate, ttft, tpot):
    cells = [f"{ms:.1f}" for ms in [*ttft, *tpot]]
    print(f"| {name} | {rate:,.0f} | {' | '.join(cells)} |")


theirs = json.load(open("out/prediction.json"))


def find(tree, key):
    if isinstance(tree, dict):
        if key in tree:
            return tree[key]
        for below in tree.values():
            found = find(below, key)
            if found is not None:
                return found
    return None


levels = ["median", "p90", "p99"]
row(
    "aisimulate",
    10_000 / find(theirs, "wall_time_ms") * 1e3,
    [find(theirs, f"{level}_ttft_ms") for level in levels],
    [find(theirs, f"{level}_tpot_ms") for level in levels],
)
for path in sorted(glob.glob("qwen3*.json")):
    ours = json.load(open(path))
    took = re.search(r"in ([0-9.]+) s", open(path.replace(".json", ".log")).read())
    quantiles = lambda of: [ours[of][q] * 1e3 for q in ("p50", "p90", "p99")]
    row(
        f"preheat, {path.removesuffix('.json')}",
        ours["requests"] / float(took.group(1)),
        quantiles("ttft_s"),
        quantiles("tpot_s"),
    )
PYTHON
