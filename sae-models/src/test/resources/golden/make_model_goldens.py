"""Writes tiny random models and what transformers computes with them. Usage: python make_model_goldens.py

Each folder is a Hugging Face checkpoint plus expected.safetensors: residual streams, logits and greedy continuations, all
computed in float32 from the weights as stored. The weights are large, so that a wrong scale or order cannot hide.
"""

import json
import pathlib
import platform

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
}


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
    """Older checkpoints have rope_theta at the top level."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    file.write_text(json.dumps(config, indent=2) + "\n")


for number, (name, (config, dtype, shard)) in enumerate(CASES.items()):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(number)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where mistakes do not show
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if name == "llama-tied-bias":
        old_layout(folder)
    if name == "gpt2-tied":
        make_tokenizer(folder)
    expected = {}
    with torch.no_grad():
        for key, shape in SHAPES.items():
            tokens = torch.randint(0, config.vocab_size, shape)
            out = model(tokens, output_hidden_states=True)
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
