"""Has SGLang's own collectors write what a server would: `capture.py VERSION FOLDER`, where the
folder is of an unpacked wheel.

Numbers are given to the collectors as its scheduler and its tokenizer give them; names, labels,
types and bounds are the collectors' own. Like the server, it collects over several processes.
"""

import importlib
import os
import pathlib
import sys
import tempfile
from types import SimpleNamespace

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import stubs

version, folder = sys.argv[1], pathlib.Path(sys.argv[2])
work = tempfile.TemporaryDirectory()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = work.name

import prometheus_client
from prometheus_client import CollectorRegistry, metrics, multiprocess, values

# Some gauges tell the process that they are of: the same one, whenever this is run.
metrics.values.ValueClass = values.MultiProcessValue(lambda: 1)

MODULES = {
    "0.4.3": "sglang.srt.metrics.collector",
    "0.5.5": "sglang.srt.metrics.collector",
    "0.5.23": "sglang.srt.observability.metrics_collector",
}
stubs.let_import(
    "sglang",
    folder,
    [MODULES[version], "sglang.srt.metrics.utils", "sglang.srt.observability.utils"]
    + ["sglang.srt.observability.scheduler_stage_metrics", "sglang.srt.utils.gauge_histogram"],
)
collector = importlib.import_module(MODULES[version])


class Settings(SimpleNamespace):
    """A server's, of which those that are not given are off."""

    def __getattr__(self, name):
        return None


def of_0_4_3():
    labels = {"model_name": "tiny"}
    stats = collector.SchedulerStats(num_running_reqs=3, num_queue_reqs=2, token_usage=0.25)
    collector.SchedulerMetricsCollector(labels=labels).log_stats(stats)
    tokenizer = collector.TokenizerMetricsCollector(labels=labels)
    tokenizer.observe_time_to_first_token(0.3)
    tokenizer.observe_time_per_output_token(0.02)
    tokenizer.observe_one_finished_request(100, 11)


def of_0_5_5():
    labels = {"model_name": "tiny", "engine_type": "unified", "tp_rank": 0, "pp_rank": 0}
    stats = collector.SchedulerStats(
        num_running_reqs=3, num_queue_reqs=2, num_grammar_queue_reqs=1, token_usage=0.25
    )
    collector.SchedulerMetricsCollector(labels=labels).log_stats(stats)
    labels = {"model_name": "tiny"}
    tokenizer = collector.TokenizerMetricsCollector(labels=labels)
    tokenizer.observe_time_to_first_token(labels, 0.3)
    tokenizer.observe_inter_token_latency(labels, 0.2, 10)
    tokenizer.observe_one_finished_request(labels, 100, 11, 0, 1.5, False, 0)


def of_0_5_23():
    """With priorities, and three schedulers: the third is a rank that repeats the second."""
    collector.get_disagg = lambda: Settings(disaggregation_mode="null")
    collector.get_observability = lambda: Settings(
        enable_metrics=True, enable_metrics_for_all_schedulers=True
    )
    collector.get_serving = lambda: Settings(served_model_name="tiny")
    collector.get_schedule = lambda: Settings(
        enable_priority_scheduling=True, prefill_delayer_max_delay_passes=30
    )
    collector.DisaggregationMode = SimpleNamespace(to_engine_type=lambda mode: "unified")

    def count(*priorities):
        requests = [SimpleNamespace(priority=priority) for priority in priorities]
        return collector.QueueCount.from_reqs(requests, enable_priority_scheduling=True)

    def scheduler(dp_rank, tp_rank, running, token_usage):
        parallel = Settings(
            dp_rank=dp_rank, tp_rank=tp_rank, attn_tp_rank=tp_rank, pp_rank=0, moe_ep_rank=tp_rank
        )
        collector.get_parallel = lambda: parallel
        own = collector.SchedulerMetricsCollector.init_new(
            server_args=None,
            enable_priority_scheduling=True,
            enable_lora=False,
            enable_hierarchical_cache=False,
        ).collector
        own.emit_constants(
            max_total_num_tokens=4096,
            max_total_num_tokens_swa=None,
            weight_memory_usage_gb=1.0,
            kv_cache_memory_usage_gb=1.0,
            graph_memory_usage_gb={},
            max_running_requests_under_SLO=None,
            page_size=16,
            num_pages=256,
            context_len=2048,
            startup_available_gpu_memory_gb=2.0,
        )
        own.increment_retracted_reqs(
            num_retracted_reqs=2, num_retracted_input_tokens=100, num_retracted_output_tokens=10
        )
        own.log_stats(
            collector.SchedulerStats(
                num_running_reqs=running,
                num_queue_reqs=count(2, 2),
                num_grammar_queue_reqs=1,
                token_usage=token_usage,
            )
        )
        # The next is of another process, where these names are free.
        for each in list(prometheus_client.REGISTRY._collector_to_names):
            prometheus_client.REGISTRY.unregister(each)

    scheduler(0, 0, count(1, 1, 2), 0.25)
    scheduler(1, 0, count(1, 2, 2, 2), 0.75)
    scheduler(1, 1, count(1, 2, 2, 2), 0.75)

    labels = collector.tokenizer_metric_labels()
    tokenizer = collector.TokenizerMetricsCollector(server_args=None, labels=labels)
    for priority, prompt, generated in [("1", 100, 11), ("2", 200, 21)]:
        of = labels | {"priority": priority}
        tokenizer.observe_time_to_first_token(of, 0.3, stream=True)
        tokenizer.observe_inter_token_latency(of, 0.2, 10)
        tokenizer.observe_one_finished_request(
            of, prompt, generated, 0, 1.5, False, is_streaming=True
        )
    tokenizer.observe_one_aborted_request(labels)


{"0.4.3": of_0_4_3, "0.5.5": of_0_5_5, "0.5.23": of_0_5_23}[version]()
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(stubs.body(registry, "sglang:"), end="")
