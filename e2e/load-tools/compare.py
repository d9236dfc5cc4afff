#!/usr/bin/env python3
"""Sends one schedule of requests through preheat's gateway twice: by aiperf, unmodified, and by
`preheat load`. Prints what each reports of the time to first token, and how far they are apart.

usage: compare.py PREHEAT AIPERF [REQUESTS] [SHARE_MAX]

An emulated engine answers behind the gateway. Exit code 1 where their medians differ by
more than SHARE_MAX (0.05); the tails of one run on a shared machine are the machine's.
"""

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

GATEWAY, ADMIN = "127.0.0.1:19480", "127.0.0.1:19481"
MODEL = "m"
# A prompt long enough that its prefill, half a second, is far above what a client's own clock and
# event loop add, and requests far enough apart that a late one is not made later by those before it.
PROMPT_TOKENS, OUTPUT_TOKENS, APART_S = 6000, 30, 1.5
QUANTILES = ("p50", "p90", "p99")

CONFIG = f"""
stateDir: state
gateway: {{listen: '{GATEWAY}'}}
admin: {{listen: '{ADMIN}'}}
pools:
- name: chat
  modelName: {MODEL}
  minReplicas: 1
  maxReplicas: 1
  coldStart: {{p50: 1s, p90: 1s}}
  engine: {{emulated: {{profile: qwen-27b-fp8-h100}}, ports: 19490-19490, gpusPerReplica: 0}}
"""


def wait_until_ready() -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://{ADMIN}/api/v1/fleet", timeout=1) as answer:
                if json.load(answer)["pools"][0]["ready"] == 1:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the engine was not ready within a minute")


def tokenizer(folder: Path) -> Path:
    """aiperf counts tokens by itself, and its own tokenizer is a download: one of words instead, as
    the emulated engine counts."""
    folder.mkdir()
    about = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"w": 0}, "unk_token": "w"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(about))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def by_aiperf(program: str, times: list[float], folder: Path) -> dict:
    drawn = random.Random(2)
    rows = []
    for at in times:
        words = (f"w{drawn.randrange(10**6)}" for _ in range(PROMPT_TOKENS))
        rows.append({"timestamp": round(1000 * at), "text": " ".join(words)})
    schedule = folder / "schedule.jsonl"
    schedule.write_text("".join(json.dumps(row) + "\n" for row in rows))
    artifacts = folder / "aiperf"
    command = [
        program, "profile", "--model", MODEL, "--url", f"http://{GATEWAY}",
        "--endpoint-type", "completions", "--streaming",
        "--input-file", str(schedule), "--custom-dataset-type", "single_turn", "--fixed-schedule",
        "--extra-inputs", f"max_tokens:{OUTPUT_TOKENS}", "--extra-inputs", "ignore_eos:true",
        "--tokenizer", str(tokenizer(folder / "words")),
        "--artifact-dir", str(artifacts), "--ui", "none",
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    reports = list(artifacts.rglob("profile_export_aiperf.json"))
    if ran.returncode != 0 or len(reports) != 1:
        sys.exit(f"aiperf ended with {ran.returncode}:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}")
    ttft = json.loads(reports[0].read_text())["time_to_first_token"]
    assert ttft["unit"] == "ms", ttft
    return {key: ttft[key] for key in QUANTILES}


def by_preheat(program: str, times: list[float], folder: Path) -> dict:
    trace = folder / "trace.csv"
    rows = (f"{at},{PROMPT_TOKENS},{OUTPUT_TOKENS}\n" for at in times)
    trace.write_text("arrival_s,input_tokens,output_tokens\n" + "".join(rows))
    command = [program, "load", "--trace", str(trace), "--url", f"http://{GATEWAY}"]
    ran = subprocess.run([*command, "--model", MODEL, "--json"], capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"preheat load ended with {ran.returncode}:\n{ran.stderr}")
    ttft = json.loads(ran.stdout)["ttft_s"]
    return {key: 1000 * ttft[key] for key in QUANTILES}


def main(preheat: str, aiperf: str, requests: int = 40, share_max: float = 0.05) -> None:
    times = [APART_S * index for index in range(requests)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "preheat.yaml").write_text(CONFIG)
        log = (folder / "up.log").open("w")
        up = subprocess.Popen([preheat, "up", "preheat.yaml"], cwd=folder, stdout=log, stderr=log)
        try:
            wait_until_ready()
            ours = by_preheat(preheat, times, folder)
            theirs = by_aiperf(aiperf, times, folder)
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)
    version = subprocess.run([aiperf, "--version"], capture_output=True, text=True).stdout
    version = re.sub(r"[^0-9.]", "", version)
    print(f"TTFT of {requests} requests, ms" + "".join(f"{key:>9}" for key in QUANTILES))
    for who, ttft in (("preheat load", ours), (f"aiperf {version}", theirs)):
        print(f"{who:<28}" + "".join(f"{ttft[key]:9.1f}" for key in QUANTILES))
    apart = {key: theirs[key] / ours[key] - 1 for key in QUANTILES}
    print(f"{'difference':<28}" + "".join(f"{apart[key]:+9.1%}" for key in QUANTILES))
    sys.exit(abs(apart["p50"]) > share_max)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]), *map(float, sys.argv[4:5]))
