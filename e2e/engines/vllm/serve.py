#!/usr/bin/env python3
"""Serves a model with vLLM on a CPU, as `vllm serve` would.

usage: serve.py FOLDER NAME PORT SLOTS

FOLDER is what `install` printed. Weights are drawn at random as they are loaded. It becomes vLLM, so
that signals reach it; SIGTERM ends it at once, whatever is inside.
"""

import os
import sys

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    # GiB.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Two replicas share what cores there are; by default each takes the first for itself.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # /sleep, /wake_up and /is_sleeping.
    "VLLM_SERVER_DEV_MODE": "1",
}


def main(folder: str, name: str, port: str, slots: str) -> None:
    os.environ.update(ENVIRONMENT, VLLM_CACHE_ROOT=f"{folder}/cache", VLLM_CONFIG_ROOT=f"{folder}/config")
    python = f"{folder}/venv/bin/python"
    options = {
        "--served-model-name": name,
        "--host": "127.0.0.1",
        "--port": port,
        "--load-format": "dummy",
        "--dtype": "float32",
        "--max-num-seqs": slots,
        "--max-model-len": "2048",
    }
    words = [word for option in options.items() for word in option]
    module = ["-m", "vllm.entrypoints.cli.main", "serve", f"{folder}/tiny", "--enforce-eager"]
    os.execv(python, [python, *module, *words])


if __name__ == "__main__":
    main(*sys.argv[1:5])
