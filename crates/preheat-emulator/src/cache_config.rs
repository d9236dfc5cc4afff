//! `vllm:cache_config_info`: the KV cache's configuration as labels of a gauge that is always 1.
//! A reader takes `kv_cache_size_tokens`, `kv_cache_max_concurrency`, `num_gpu_blocks` and
//! `block_size` from it; the other labels only make the line look like vLLM's.

use crate::exposition::{Exposition, Label};

/// What `vllm:cache_config_info` tells about the KV cache, and who serves it.
#[derive(Clone, Debug)]
pub(crate) struct ServerIdentity {
    /// The first served name: the only one in labels.
    pub(crate) model_name: String,
    pub(crate) kv_capacity_tokens: u64,
    pub(crate) block_size: u32,
    pub(crate) max_model_len: u32,
}

/// Writes the family.
pub(crate) fn write_cache_config(identity: &ServerIdentity, out: &mut Exposition) {
    let block_size = identity.block_size.to_string();
    let blocks = identity.kv_capacity_tokens / u64::from(identity.block_size.max(1));
    let kv_tokens = identity.kv_capacity_tokens.to_string();
    let concurrency = identity.kv_capacity_tokens as f64 / f64::from(identity.max_model_len.max(1));
    let (blocks, concurrency) = (blocks.to_string(), format!("{concurrency:?}"));
    let labels: &[Label<'_>] = &[
        ("_block_size_resolved", "True"),
        ("block_size", &block_size),
        ("cache_dtype", "auto"),
        ("cache_hit_alignment_tokens", "None"),
        ("effective_attention_block_size", &block_size),
        ("enable_mamba_shared_prefix_checkpoint", "False"),
        ("enable_prefix_caching", "False"),
        ("engine", "0"),
        ("gpu_memory_utilization", "0.92"),
        ("hash_block_size", "None"),
        ("is_attention_free", "False"),
        ("kv_cache_dtype_skip_layers", "[]"),
        ("kv_cache_layout", "None"),
        ("kv_cache_max_concurrency", &concurrency),
        ("kv_cache_memory_bytes", "None"),
        ("kv_cache_size_tokens", &kv_tokens),
        ("kv_offloading_backend", "native"),
        ("kv_offloading_size", "None"),
        ("kv_sharing_fast_prefill", "False"),
        ("mamba_block_size", "None"),
        ("mamba_cache_dtype", "auto"),
        ("mamba_cache_mode", "none"),
        ("mamba_page_size_padded", "None"),
        ("mamba_ssm_cache_dtype", "auto"),
        ("num_cpu_blocks", "None"),
        ("num_gpu_blocks", &blocks),
        ("num_gpu_blocks_override", "None"),
        ("prefix_cache_retention_interval", "0"),
        ("prefix_caching_hash_algo", "sha256"),
        ("prefix_match_unit", "None"),
        ("replayssm_buffer_len", "16"),
        ("skip_page_size_padded", "None"),
        ("sliding_window", "None"),
        ("swa_bounded_replay", "True"),
        ("use_kda_recoverssm", "False"),
        ("use_replayssm", "False"),
        ("user_specified_block_size", "False"),
    ];
    out.gauge("vllm:cache_config_info", "The KV cache's configuration.", &[(labels, 1.0)]);
}
