"""Writes tiny random models and what transformers computes with them. Usage: python make_model_goldens.py [NAME...]

Each folder is a Hugging Face checkpoint plus expected.safetensors: residual streams, logits and greedy continuations, all
computed in float32 from the weights as stored. The weights are large, so that a wrong scale or order cannot hide.
"""

import json
import pathlib
import platform
import sys

import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
SHAPES = {"a": (2, 7), "b": (3, 13), "c": (1, 1)}
TEXT = (
    "Once upon a time there was a small cat. The cat liked to sit in the sun, and the sun liked the cat.\n"
    "One day the cat saw a bird. \"Hello,\" said the cat. The bird sang: it's a fine day, isn't it?\n"
)
VOCABULARY = 300
CASES = {
    "gpt2-tied": (
        transformers.GPT2Config(
            vocab_size=VOCABULARY, n_positions=24, n_embd=20, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0,
            scale_attn_by_inverse_layer_idx=True, initializer_range=0.25,
        ),
        torch.float32,
        "1GB",
    ),
    "gpt2-untied-bf16": (
        transformers.GPT2Config(
            vocab_size=61, n_positions=16, n_embd=12, n_layer=2, n_head=2, n_inner=20, bos_token_id=3, eos_token_id=4,
            activation_function="gelu", tie_word_embeddings=False, initializer_range=0.3,
        ),
        torch.bfloat16,
        "1GB",
    ),
    "llama-tied-bias": (
        transformers.LlamaConfig(
            vocab_size=53, max_position_embeddings=32, hidden_size=24, intermediate_size=28, num_hidden_layers=3,
            num_attention_heads=6, num_key_value_heads=2, head_dim=6, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=True, attention_bias=True, mlp_bias=True, initializer_range=0.25,
        ),
        torch.float32,
        "1GB",
    ),
    "llama-untied-fp16-sharded": (
        transformers.LlamaConfig(
            vocab_size=47, max_position_embeddings=32, hidden_size=24, intermediate_size=36, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5,
            tie_word_embeddings=False, initializer_range=0.25,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
        torch.float16,
        "6KB",
    ),
    "llama3-rope": (
        transformers.LlamaConfig(
            vocab_size=41, max_position_embeddings=64, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=8, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=True, initializer_range=0.3,
            rope_parameters={
                "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
            },
        ),
        torch.bfloat16,
        "1GB",
    ),
    "gptneox-parallel": (
        transformers.GPTNeoXConfig(
            vocab_size=43, max_position_embeddings=32, hidden_size=24, intermediate_size=30, num_hidden_layers=3,
            num_attention_heads=3, bos_token_id=0, eos_token_id=0, initializer_range=0.25,
            rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.25},
        ),
        torch.float16,
        "1GB",
    ),
    "gptneox-serial": (
        transformers.GPTNeoXConfig(
            vocab_size=37, max_position_embeddings=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, bos_token_id=0, eos_token_id=0, use_parallel_residual=False, attention_bias=False,
            initializer_range=0.3, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        ),
        torch.float32,
        "1GB",
    ),
    "mistral-window": (
        transformers.MistralConfig(
            vocab_size=39, max_position_embeddings=32, hidden_size=20, intermediate_size=28, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4, bos_token_id=1, eos_token_id=2,
            initializer_range=0.3,
        ),
        torch.float32,
        "1GB",
    ),
    "mistral-no-window": (
        transformers.MistralConfig(
            vocab_size=35, max_position_embeddings=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, sliding_window=None, bos_token_id=1, eos_token_id=2,
            initializer_range=0.3,
        ),
        torch.bfloat16,
        "1GB",
    ),
    "gemma2-window": (
        transformers.Gemma2Config(
            vocab_size=45, max_position_embeddings=32, hidden_size=20, intermediate_size=24, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4, query_pre_attn_scalar=10,
            attn_logit_softcapping=2.0, final_logit_softcapping=5.0, bos_token_id=2, eos_token_id=1,
            initializer_range=0.3,
        ),
        torch.float32,
        "1GB",
    ),
    "gemma2-bf16": (
        transformers.Gemma2Config(
            vocab_size=33, max_position_embeddings=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, head_dim=8, sliding_window=5, query_pre_attn_scalar=8,
            layer_types=["full_attention", "sliding_attention"], bos_token_id=2, eos_token_id=1, initializer_range=0.4,
        ),
        torch.bfloat16,
        "1GB",
    ),
    "qwen2": (
        transformers.Qwen2Config(
            vocab_size=31, max_position_embeddings=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, initializer_range=0.3,
            tie_word_embeddings=True,
        ),
        torch.float32,
        "1GB",
    ),
    "qwen3": (
        transformers.Qwen3Config(
            vocab_size=31, max_position_embeddings=32, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=12, bos_token_id=1, eos_token_id=2,
            initializer_range=0.3,
        ),
        torch.bfloat16,
        "1GB",
    ),
    "gemma3-window": (
        transformers.Gemma3TextConfig(
            vocab_size=45, max_position_embeddings=32, hidden_size=20, intermediate_size=24, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4, query_pre_attn_scalar=10,
            sliding_window_pattern=2, final_logit_softcapping=6.0, bos_token_id=2, eos_token_id=1, initializer_range=0.3,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            },
        ),
        torch.float32,
        "1GB",
    ),
    "gemma3-images-bf16": (
        transformers.Gemma3Config(
            text_config=transformers.Gemma3TextConfig(
                vocab_size=33, max_position_embeddings=32, hidden_size=16, intermediate_size=20, num_hidden_layers=3,
                num_attention_heads=2, num_key_value_heads=1, head_dim=8, sliding_window=5, query_pre_attn_scalar=8,
                layer_types=["full_attention", "sliding_attention", "full_attention"], bos_token_id=2, eos_token_id=1,
                initializer_range=0.4,
                rope_parameters={
                    "full_attention": {"rope_type": "default", "rope_theta": 300.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
                },
            ),
            vision_config=transformers.SiglipVisionConfig(
                hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=2,
            ),
            mm_tokens_per_image=4,
        ),
        torch.bfloat16,
        "1GB",
    ),
}


def blocks(model):
    """Each block with the modules whose outputs go into the residual stream: attention's, the MLP's."""
    body = getattr(model.base_model, "language_model", model.base_model)
    for block in getattr(body, "layers", None) or body.h:
        if hasattr(block, "post_feedforward_layernorm"):
            yield block, block.post_attention_layernorm, block.post_feedforward_layernorm
        else:
            attention = next(getattr(block, n) for n in ("self_attn", "attention", "attn") if hasattr(block, n))
            yield block, attention, block.mlp


def watch(model, seen):
    """Keeps what passes the sites of every block in `seen`, by "site.layer"."""
    for layer, modules in enumerate(blocks(model)):
        for site, module in zip(("hook_resid_post", "hook_attn_out", "hook_mlp_out"), modules):
            def keep(_module, _inputs, output, key=f"{site}.{layer}"):
                seen[key] = (output[0] if isinstance(output, tuple) else output).clone()
            module.register_forward_hook(keep)


def make_tokenizer(folder):
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([TEXT], trainer)
    assert bpe.get_vocab_size() == VOCABULARY
    bpe.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names, indent=1) + "\n")
    texts = [TEXT, "The cat sat.", " Größe 猫 😀\t\n\n x", "a<|endoftext|>b", ""]
    cases = [{"text": text, "ids": bpe.encode(text, add_special_tokens=False).ids} for text in texts]
    (folder / "tokenized.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")


def old_layout(folder):
    """Older checkpoints have the options of rotary positions at the top level."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gemma3_text":
        config["rope_theta"] = rope["full_attention"].pop("rope_theta")
        config["rope_scaling"] = rope["full_attention"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        del config["_sliding_window_pattern"]
        config["sliding_window_pattern"] = 1 + config.pop("layer_types").index("full_attention")
    elif config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = rope["rope_theta"]
        config["rotary_pct"] = rope["partial_rotary_factor"]
    else:
        config["rope_theta"] = rope["rope_theta"]
    file.write_text(json.dumps(config, indent=2) + "\n")


for number, (name, (config, dtype, shard)) in enumerate(CASES.items()):
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(number)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where mistakes do not show
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    # Not sdpa, which leaves out Gemma 2's bound of the scores.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    if name in ("llama-tied-bias", "gptneox-serial", "gemma3-window"):
        old_layout(folder)
    if name == "gpt2-tied":
        make_tokenizer(folder)
    expected = {}
    seen = {}
    watch(model, seen)
    with torch.no_grad():
        for key, shape in SHAPES.items():
            tokens = torch.randint(0, config.get_text_config().vocab_size, shape)
            out = model(tokens, output_hidden_states=True)
            if key == "a":
                expected.update({name: value.contiguous() for name, value in seen.items()})
            expected[f"tokens.{key}"] = tokens.int()
            expected[f"logits.{key}"] = out.logits.contiguous()
            for layer, residual in enumerate(out.hidden_states[:-1]):
                expected[f"residual.{key}.{layer}"] = residual.contiguous().clone()
        prompt = expected["tokens.a"][:, :5].long()
        greedy = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=9, eos_token_id=None,
            pad_token_id=0,
        )
        expected["greedy"] = greedy.int()
    versions = {
        "script": pathlib.Path(__file__).name, "seed": str(number), "torch": torch.__version__,
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
        "python": platform.python_version(),
    }
    save_file(expected, folder / "expected.safetensors", metadata=versions)
