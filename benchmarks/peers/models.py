"""Tokens per second of transformers: models.py FOLDER THREADS SECONDS OUT.json [DTYPE [DEVICE]]. The same work as ModelSpeed.java."""

import json
import resource
import sys
import time

import torch
import transformers

SEQUENCES, LENGTH, BATCH = 8, 128, 32
folder, threads, seconds, out = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
dtype = getattr(torch, sys.argv[5] if len(sys.argv) > 5 else "float32")
device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
torch.set_num_threads(threads)
torch.manual_seed(1)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()


def rate(work):
    work()
    start = time.perf_counter()
    done = 0
    while time.perf_counter() - start < seconds:
        done += work()
    return done / (time.perf_counter() - start)


@torch.no_grad()
def harvest(blocks, tokens):
    blocks(tokens, use_cache=False)
    if device != "cpu":
        torch.cuda.synchronize()
    return tokens.numel()


@torch.no_grad()
def generate():
    start = torch.full((BATCH, 1), model.config.bos_token_id, device=device)
    made = model.generate(
        start, attention_mask=torch.ones_like(start), do_sample=True, temperature=1.0, top_p=1.0, top_k=0,
        repetition_penalty=1.0, min_new_tokens=LENGTH - 1, max_new_tokens=LENGTH - 1, eos_token_id=None, pad_token_id=0,
    )
    return BATCH * (made.shape[1] - 1)


generated = rate(generate)
base = model.base_model  # cut in the middle: the blocks behind it do not run
layers = base.layers if hasattr(base, "layers") else base.h
half = torch.nn.ModuleList(list(layers)[: len(layers) // 2])
setattr(base, "layers" if hasattr(base, "layers") else "h", half)
harvested = rate(lambda tokens=torch.randint(0, model.config.vocab_size, (SEQUENCES, LENGTH), device=device): harvest(base, tokens))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with open(out, "w") as file:
    json.dump({"harvest": harvested, "generate": generated, "peak_mib": peak}, file)
