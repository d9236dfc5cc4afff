"""Runs Dynamo's own HTTP frontend before a worker that makes tokens of nothing, sends it requests, and
prints its metrics while three of them generate and one waits for its first token: `capture.py MODEL`,
where the model is a folder with a tokenizer.
"""

import asyncio
import http.client
import json
import os
import socket
import sys
import threading

from dynamo.llm import EngineType, EntrypointArgs, ModelInput, ModelType, WorkerType
from dynamo.llm import make_engine, register_model, run_input
from dynamo.runtime import DistributedRuntime

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
# What each request waits for before its first token, and before its end.
first_token, end = threading.Event(), threading.Event()


async def generate(request, context=None):
    """A prompt of many tokens waits for its first one; then each generates until the end."""
    loop = asyncio.get_running_loop()
    if len(request["token_ids"]) > 50:
        await loop.run_in_executor(None, first_token.wait)
    last = request["stop_conditions"]["max_tokens"] - 1
    for at in range(last):
        yield {"token_ids": [70]}
        await asyncio.sleep(0.01)
    if last > 20:
        await loop.run_in_executor(None, end.wait)
    yield {"token_ids": [70], "finish_reason": "length"}


async def serve(model):
    runtime = DistributedRuntime(asyncio.get_running_loop(), "mem", "tcp")
    endpoint = runtime.endpoint("capture.backend.generate")
    worker = asyncio.ensure_future(endpoint.serve_endpoint(generate))
    await register_model(
        ModelInput.Tokens,
        ModelType.Completions,
        endpoint,
        model,
        "tiny",
        worker_type=WorkerType.Aggregated,
    )
    arguments = EntrypointArgs(EngineType.Dynamic, http_host="127.0.0.1", http_port=PORT)
    await run_input(runtime, "http", await make_engine(runtime, arguments))
    await worker


def send(prompt, tokens, model="tiny", stream=True):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "stream": stream}
    connection.request(
        "POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    return connection.getresponse()


def get(path):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def until(holds):
    while True:
        try:
            told = get("/metrics")
            if holds(told):
                return told
        except OSError:
            pass
        # The server has just this machine's cores.
        threading.Event().wait(0.2)


def capture():
    until(lambda told: 'dynamo_frontend_model_ready{model="tiny"} 1' in told)
    send("one", 5, stream=False).read()
    send("two", 11).read()
    send("nobody serves this", 5, model="other").read()
    cut = send("cut", 30)
    cut.read1()
    cut.close()
    until(lambda told: 'error_type="cancelled"' in told)
    answers = [threading.Thread(target=lambda: send("long", 30).read()) for _ in range(3)]
    answers.append(threading.Thread(target=lambda: send("waits " * 20, 5).read()))
    for answer in answers:
        answer.start()
    inside = [
        'dynamo_frontend_inflight_requests{model="tiny"} 4',
        'dynamo_frontend_queued_requests{model="tiny"} 1',
        'dynamo_frontend_time_to_first_token_seconds_count{model="tiny"} 6',
    ]
    told = until(lambda told: all(line in told for line in inside))
    # The frontend's own, without the sentences about each.
    kept = ("dynamo_frontend_", "# TYPE dynamo_frontend_")
    lines = [line for line in told.splitlines() if line.startswith(kept)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    # Its threads outlive the interpreter.
    os._exit(0)


threading.Thread(target=capture, daemon=True).start()
asyncio.run(serve(sys.argv[1]))
