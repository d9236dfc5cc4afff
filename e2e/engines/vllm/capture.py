"""Has vLLM's own loggers of older versions write what a server would: `capture.py VERSION FOLDER`,
where the folder is of an unpacked wheel. What 0.32.0 writes is captured from the engine itself."""

import importlib
import pathlib
import sys
from types import SimpleNamespace

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import stubs

version, folder = sys.argv[1], pathlib.Path(sys.argv[2])
labels = {"model_name": "tiny"}


def of_0_6_0():
    stubs.let_import(
        "vllm", folder, ["vllm.engine.metrics", "vllm.engine.metrics_types", "vllm.config"]
    )
    config = importlib.import_module("vllm.config")
    from vllm.engine.metrics import PrometheusStatLogger
    from vllm.engine.metrics_types import Stats

    logger = PrometheusStatLogger(local_interval=5, labels=labels, max_model_len=2048)
    config.GiB_bytes = 1 << 30
    cache = config.CacheConfig(
        block_size=16, gpu_memory_utilization=0.9, swap_space=4, cache_dtype="auto"
    )
    cache.num_gpu_blocks = 256
    logger.info("cache_config", cache)
    stats = Stats(
        now=logger.last_local_log,
        num_running_sys=3,
        num_waiting_sys=2,
        num_swapped_sys=1,
        gpu_cache_usage_sys=0.25,
        cpu_cache_usage_sys=0.5,
        cpu_prefix_cache_hit_rate=-1,
        gpu_prefix_cache_hit_rate=-1,
        num_prompt_tokens_iter=100,
        num_generation_tokens_iter=11,
        time_to_first_tokens_iter=[0.3],
        time_per_output_tokens_iter=[0.02] * 10,
        num_preemption_iter=4,
        time_e2e_requests=[0.5, 0.5],
        num_prompt_tokens_requests=[50, 50],
        num_generation_tokens_requests=[6, 5],
        best_of_requests=[1, 1],
        n_requests=[1, 1],
        finished_reason_requests=["stop", "abort"],
    )
    logger._log_prometheus(stats)


def of_0_9_2():
    """The engine of today, on which the older names were for a while beside the newer."""
    stubs.let_import(
        "vllm",
        folder,
        ["vllm.v1.engine", "vllm.v1.metrics.loggers", "vllm.v1.metrics.prometheus"]
        + ["vllm.v1.metrics.stats"],
    )
    from vllm.v1.engine import FinishReason
    from vllm.v1.metrics.loggers import PrometheusStatLogger
    from vllm.v1.metrics.stats import FinishedRequestStats, IterationStats, SchedulerStats

    # As its own does, of all that it holds; these are what is read.
    info = {"block_size": "16", "num_gpu_blocks": "256"}
    config = SimpleNamespace(
        observability_config=SimpleNamespace(show_hidden_metrics=False),
        model_config=SimpleNamespace(served_model_name="tiny", max_model_len=2048),
        speculative_config=None,
        lora_config=None,
        cache_config=SimpleNamespace(metrics_info=lambda: info),
    )
    PrometheusStatLogger._spec_decoding_cls = lambda *_: None
    logger = PrometheusStatLogger(config)
    logger.log_engine_initialized()
    iteration = IterationStats()
    iteration.num_prompt_tokens, iteration.num_generation_tokens = 100, 11
    iteration.num_preempted_reqs = 4
    iteration.time_to_first_tokens_iter = [0.3]
    iteration.time_per_output_tokens_iter = [0.02] * 10
    iteration.finished_requests = [
        FinishedRequestStats(finish_reason=reason, e2e_latency=0.5)
        for reason in [FinishReason.STOP, FinishReason.ABORT]
    ]
    scheduler = SchedulerStats(num_running_reqs=3, num_waiting_reqs=2, kv_cache_usage=0.25)
    logger.record(scheduler, iteration)


{"0.6.0": of_0_6_0, "0.9.2": of_0_9_2}[version]()
from prometheus_client import REGISTRY

print(stubs.body(REGISTRY, "vllm:"), end="")
