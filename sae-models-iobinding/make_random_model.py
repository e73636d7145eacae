"""Writes a model of SmolLM2-135M's shape with random weights: make_random_model.py FOLDER. Needs only torch."""

import json
import os
import struct
import sys

import torch

LAYERS, WIDTH, INNER, HEADS, KV_HEADS, VOCABULARY = 30, 576, 1536, 9, 3, 49152
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
torch.manual_seed(1)
head = WIDTH // HEADS
shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
for layer in range(LAYERS):
    name = f"model.layers.{layer}."
    shapes |= {
        name + "input_layernorm.weight": (WIDTH,),
        name + "post_attention_layernorm.weight": (WIDTH,),
        name + "self_attn.q_proj.weight": (WIDTH, WIDTH),
        name + "self_attn.k_proj.weight": (KV_HEADS * head, WIDTH),
        name + "self_attn.v_proj.weight": (KV_HEADS * head, WIDTH),
        name + "self_attn.o_proj.weight": (WIDTH, WIDTH),
        name + "mlp.gate_proj.weight": (INNER, WIDTH),
        name + "mlp.up_proj.weight": (INNER, WIDTH),
        name + "mlp.down_proj.weight": (WIDTH, INNER),
    }
header, end = {"__metadata__": {"format": "pt"}}, 0
for name, shape in shapes.items():
    size = 2 * torch.Size(shape).numel()
    header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
    end += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(folder, "model.safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for shape in shapes.values():
        values = torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.04
        file.write(values.to(torch.bfloat16).view(torch.uint8).numpy().tobytes())
with open(os.path.join(folder, "config.json"), "w") as file:
    json.dump(
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 100000,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "torch_dtype": "bfloat16",
        },
        file,
    )
