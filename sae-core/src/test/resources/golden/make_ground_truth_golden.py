"""Writes ground_truth.json: how well the authors' TopK trainer, re-stated in PyTorch, finds 256 known directions.

The rows are those of ActivationSources.superposition, re-stated here in numpy bit for bit but for the last place of the
directions. The trainer is that of make_training_goldens.py. FVU is measured on rows that were not trained on.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

FEATURES, D_IN, L0, DATA_SEED = 256, 64, 3.0, 1
D_SAE, K, LR, BATCH, STEPS, SEED = 512, 4, 3e-3, 512, 1000, 42
HELD_OUT = 20_000
MASK = np.uint64(0xFFFFFFFF)
RECIPE, ROWS, DIRECTIONS = 10, 11, 1  # purposes of Rng, and the stream of the recipe


def high(a, b):
    """Upper halves of 128-bit products."""
    a0, a1, b0, b1, half = a & MASK, a >> np.uint64(32), b & MASK, b >> np.uint64(32), np.uint64(32)
    middle = a1 * b0 + (a0 * b0 >> half)
    return a1 * b1 + (middle >> half) + (a0 * b1 + (middle & MASK) >> half)


def philox(counter, key):
    """Philox4x64-10 of many counters under one key."""
    c, k = [np.asarray(word, dtype=np.uint64) for word in counter], [np.array(word, dtype=np.uint64) for word in key]
    m0, m1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
    for _ in range(10):
        c = [high(m1, c[2]) ^ c[1] ^ k[0], m1 * c[2], high(m0, c[0]) ^ c[3] ^ k[1], m0 * c[0]]
        k = [k[0] + np.uint64(0x9E3779B97F4A7C15), k[1] + np.uint64(0xBB67AE8584CAA73B)]
    return c


class Rng:
    """The library's Rng on many streams at once; `where` says which of them draw."""

    def __init__(self, seed, purpose, streams):
        self.key, self.streams = (seed, purpose), np.asarray(streams).astype(np.uint64)
        self.drawn = np.zeros(len(self.streams), dtype=np.uint64)

    def next_double(self, where=True):
        zeros = np.zeros_like(self.drawn)
        block = philox((self.drawn // np.uint64(4) + np.uint64(1), zeros, zeros, self.streams), self.key)
        bits = np.choose((self.drawn % np.uint64(4)).astype(int), block)
        self.drawn = self.drawn + np.where(where, np.uint64(1), np.uint64(0))
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def directions():
    rng = Rng(DATA_SEED, RECIPE, [DIRECTIONS])
    values = np.empty((FEATURES, D_IN))
    for f in range(FEATURES):
        for i in range(D_IN):
            radius = np.sqrt(-2 * np.log(1 - rng.next_double()[0]))
            values[f, i] = radius * np.cos(2 * np.pi * rng.next_double()[0])
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def rows(first, count, true):
    rng = Rng(DATA_SEED, ROWS, np.arange(first, first + count))
    coefficients = np.zeros((count, FEATURES), dtype=np.float32)
    for f in range(FEATURES):
        on = rng.next_double() * FEATURES < L0
        coefficients[:, f] = np.where(on, rng.next_double(on), 0)
    return torch.from_numpy(coefficients @ true)


def train(true):
    torch.manual_seed(SEED)
    bound = (6 / D_SAE) ** 0.5
    W_enc = torch.nn.Parameter((torch.rand(D_IN, D_SAE) * 2 - 1) * bound)
    W_dec = torch.nn.Parameter(torch.nn.functional.normalize(W_enc.detach().T.clone(), dim=1))
    b_dec = torch.nn.Parameter(torch.zeros(D_IN))
    adam = torch.optim.Adam([W_enc, W_dec, b_dec], lr=LR, betas=(0.9, 0.99), eps=1e-8)
    inactive = torch.zeros(D_SAE)
    buffer = None
    for step in range(STEPS):
        place = step % 32
        if place == 0:
            print(f"step {step} of {STEPS}", file=sys.stderr)
            buffer = rows(step * BATCH, 32 * BATCH, true)[torch.randperm(32 * BATCH)]
        x = buffer[place * BATCH : (place + 1) * BATCH]
        acts = torch.relu((x - b_dec) @ W_enc)
        top = acts.topk(K, dim=-1)
        sparse = torch.zeros_like(acts).scatter(-1, top.indices, top.values)
        x_hat = sparse @ W_dec + b_dec
        inactive = torch.where(sparse.sum(0) > 0, torch.zeros_like(inactive), inactive + 1)
        dead = inactive >= 5
        loss = (x_hat - x).pow(2).mean()
        if dead.any():
            dead_acts = acts[:, dead]
            top = dead_acts.topk(min(512, int(dead.sum())), dim=-1)
            aux = torch.zeros_like(dead_acts).scatter(-1, top.indices, top.values) @ W_dec[dead]
            loss = loss + (aux - (x - x_hat)).pow(2).mean() / 32
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([W_enc, W_dec, b_dec], 100_000)
        with torch.no_grad():
            unit = W_dec / W_dec.norm(dim=-1, keepdim=True)
            W_dec.grad -= (W_dec.grad * unit).sum(-1, keepdim=True) * unit
            W_dec.copy_(unit)
        adam.step()
    return W_enc.detach(), W_dec.detach(), b_dec.detach()


def main():
    np.seterr(over="ignore")  # the generator wraps
    torch.set_num_threads(1)
    true = directions()
    W_enc, W_dec, b_dec = train(true)
    x = rows(STEPS * BATCH, HELD_OUT, true)
    acts = torch.relu((x - b_dec) @ W_enc)
    top = acts.topk(K, dim=-1)
    x_hat = torch.zeros_like(acts).scatter(-1, top.indices, top.values) @ W_dec + b_dec
    fvu = ((x - x_hat).double().pow(2).sum() / (x - x.mean(0)).double().pow(2).sum()).item()
    cosines = torch.nn.functional.normalize(W_dec, dim=1) @ torch.from_numpy(true).T
    found = (cosines.max(0).values > 0.9).double().mean().item()
    result = {
        "script": Path(__file__).name,
        "torch": torch.__version__,
        "features": FEATURES,
        "d_in": D_IN,
        "l0": L0,
        "data_seed": DATA_SEED,
        "d_sae": D_SAE,
        "k": K,
        "lr": LR,
        "batch": BATCH,
        "steps": STEPS,
        "seed": SEED,
        "held_out": HELD_OUT,
        "first_elements": [float(v) for v in rows(5, 1, true)[0, :4]],
        "found_at_0.9": found,
        "fvu": fvu,
    }
    text = json.dumps(result, indent=2) + "\n"
    (Path(__file__).parent / "ground_truth.json").write_text(text)
    print(text)


main()
