#!/usr/bin/env python3
"""Serves a GGUF with llama.cpp's own HTTP server, as `llama-server` would.

usage: serve.py MODEL NAME PORT SLOTS

The wheel has no executable, so its options are set here. SIGTERM ends it at once, whatever is
inside: who takes it out of routing has to wait for its streams.
"""

import os
import signal
import sys
import threading

import xllamacpp


def main(model: str, name: str, port: int, slots: int) -> None:
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: os._exit(0))
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.model_alias = name
    options.hostnames = ["127.0.0.1"]
    options.port = port
    options.n_parallel = slots
    # Shared by the slots.
    options.n_ctx = 4096 * slots
    options.offline = True
    options.endpoint_metrics = True
    # Several replicas share two cores in the tests.
    options.cpuparams.n_threads = 1
    options.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(options)
    print("listening", server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
