#!/usr/bin/env python3
"""Writes a Llama of random weights as GGUF, for tests: its words mean nothing, its speed is real.

usage: tiny_gguf.py OUT [LAYERS] [HIDDEN]

It needs nothing but Python. Every byte is a token, and so is every word that `preheat load` writes
prompts of: its prompts have as many tokens here as in a large vocabulary. Layers and width set how
long a step takes: 4 x 256 are 10 MB, and a third of a millisecond a token where the machine is free.
"""

import array
import random
import struct
import sys

ALIGNMENT = 32
CONTEXT = 8192
HEAD = 32
EPSILON = 1e-5
# Those of `crates/preheat-load/src/prompt.rs`, each with a space before it.
WORDS = """
the and for are but not you all any can had her was one our out day get has him his how man new
now old see two way who boy did its let put say she too use dad mom act add age ago air art ask
bad bag bar bed big bit box bus buy car cat cup cut dog eat end
""".split()
# Types of metadata and of tensors, as the GGUF specification numbers them.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32 = 0
NORMAL, CONTROL = 1, 3


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


PACK = {
    U32: lambda value: struct.pack("<I", value),
    I32: lambda value: struct.pack("<i", value),
    F32: lambda value: struct.pack("<f", value),
    BOOL: lambda value: struct.pack("<?", value),
    STRING: text,
}


def entry(key: str, kind: int, value) -> bytes:
    return text(key) + struct.pack("<I", kind) + PACK[kind](value)


def entries(key: str, kind: int, values: list) -> bytes:
    head = struct.pack("<IIQ", ARRAY, kind, len(values))
    return text(key) + head + b"".join(map(PACK[kind], values))


def byte_names() -> list[str]:
    """How byte-level BPE writes each byte: printable ones as they are, others from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(b if b in printable else 256 + hidden.index(b)) for b in range(256)]


def word_merges() -> list[str]:
    """Each word from its front: a space and a letter first, then letter by letter."""
    words = [chr(256 + 32) + word for word in WORDS]
    merges = (f"{word[:end]} {word[end]}" for word in words for end in range(1, len(word)))
    return list(dict.fromkeys(merges))


def metadata(layers: int, hidden: int, vocabulary: list[str], merges: list[str]) -> list[bytes]:
    size = len(vocabulary)
    heads = hidden // HEAD
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "preheat-tiny"),
        entry("general.file_type", U32, 0),
        entry("llama.context_length", U32, CONTEXT),
        entry("llama.embedding_length", U32, hidden),
        entry("llama.block_count", U32, layers),
        entry("llama.feed_forward_length", U32, 2 * hidden),
        entry("llama.attention.head_count", U32, heads),
        entry("llama.attention.head_count_kv", U32, max(1, heads // 2)),
        entry("llama.attention.layer_norm_rms_epsilon", F32, EPSILON),
        entry("llama.rope.dimension_count", U32, HEAD),
        entry("llama.vocab_size", U32, size),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        entries("tokenizer.ggml.tokens", STRING, vocabulary),
        entries("tokenizer.ggml.token_type", I32, [NORMAL] * (size - 2) + [CONTROL] * 2),
        entries("tokenizer.ggml.merges", STRING, merges),
        entry("tokenizer.ggml.bos_token_id", U32, size - 2),
        entry("tokenizer.ggml.eos_token_id", U32, size - 1),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
    ]


def tensors(layers: int, hidden: int, vocabulary: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, the fastest dimension first. One of one dimension is a norm."""
    heads = hidden // HEAD
    narrow = max(1, heads // 2) * HEAD
    shapes = [("token_embd.weight", (hidden, vocabulary)), ("output_norm.weight", (hidden,))]
    shapes.append(("output.weight", (hidden, vocabulary)))
    for layer in range(layers):
        block = [
            ("attn_norm", (hidden,)),
            ("attn_q", (hidden, hidden)),
            ("attn_k", (hidden, narrow)),
            ("attn_v", (hidden, narrow)),
            ("attn_output", (hidden, hidden)),
            ("ffn_norm", (hidden,)),
            ("ffn_gate", (hidden, 2 * hidden)),
            ("ffn_up", (hidden, 2 * hidden)),
            ("ffn_down", (2 * hidden, hidden)),
        ]
        shapes += [(f"blk.{layer}.{name}.weight", shape) for name, shape in block]
    return shapes


def weights(shape: tuple[int, ...], drawn: random.Random) -> bytes:
    count = 1
    for dimension in shape:
        count *= dimension
    if len(shape) == 1:
        return array.array("f", [1.0] * count).tobytes()
    whole = array.array("h", drawn.randbytes(2 * count))
    # Even between -0.04 and 0.04: small enough that no layer blows up.
    return array.array("f", [value * (0.04 / 32768) for value in whole]).tobytes()


def main(out: str, layers: int = 4, hidden: int = 256) -> None:
    merges = word_merges()
    vocabulary = byte_names() + [merge.replace(" ", "") for merge in merges] + ["<s>", "</s>"]
    drawn = random.Random(0)
    shapes = tensors(layers, hidden, len(vocabulary))
    about = metadata(layers, hidden, vocabulary, merges)
    data, infos = bytearray(), bytearray()
    for name, shape in shapes:
        data += bytes(-len(data) % ALIGNMENT)
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos += text(name) + dimensions + struct.pack("<IQ", TENSOR_F32, len(data))
        rows = weights(shape, drawn)
        if name == "output.weight":
            # Their logits are 0, far below the largest, so that they are never said: a server keeps
            # a byte back that is no character by itself, and one event would hold several tokens.
            row = 4 * hidden
            rows = rows[: 0x80 * row] + bytes(0x80 * row) + rows[0x100 * row :]
        data += rows
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), len(about)) + b"".join(about) + infos
    with open(out, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + data)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
