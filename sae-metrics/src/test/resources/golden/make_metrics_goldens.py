"""Writes metrics.safetensors (inputs) and metrics.json (what SciPy and PyTorch make of them).

The definitions are re-stated here from the papers, in double precision; nothing is taken from this
project. Python 3.11: torch, scipy, numpy and safetensors; versions are in metrics.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
import torch
from safetensors.torch import save_file
from scipy.optimize import linear_sum_assignment

SEED = 20250617
rng = np.random.default_rng(SEED)
tensors, expected = {}, {}


def keep(name, array, dtype=torch.float32):
    """Stores a tensor and gives back what a reader of the file sees, in double precision."""
    tensors[name] = torch.tensor(np.asarray(array)).to(dtype).contiguous()
    return tensors[name].double()


# Assignment: the same optimum as SciPy's, to the last pair where it is unique.
ties = rng.integers(-2, 3, (30, 30)).astype(float)
matrices = {
    "one": np.array([[-3.0]]),
    "ties": ties,
    "wide_ties": rng.integers(0, 3, (12, 25)).astype(float),
    "square": rng.normal(size=(64, 64)),
    "negative": -rng.random((33, 33)) - 1,
    "wide": rng.normal(size=(20, 75)),
    "uneven": np.outer(np.arange(1, 41), np.arange(1, 41)) + rng.random((40, 40)),
}
expected["assignment"] = {}
for name, matrix in matrices.items():
    scores = keep("assignment." + name, matrix).numpy()
    rows, columns = linear_sum_assignment(scores, maximize=True)
    expected["assignment"][name] = {
        "unique": "ties" not in name,
        "columns": columns.tolist(),
        "sum": float(scores[rows, columns].sum()),
    }

# A TopK SAE and rows with a large common offset, as residual streams have it.
d, n, k = 12, 40, 4
directions = rng.normal(size=(n, d))
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
w_dec = keep("W_dec", directions)
w_enc = keep("W_enc", directions + 0.05 * rng.normal(size=(n, d)))  # [n, d]: a row for each latent
b_enc = keep("b_enc", np.where(np.arange(n) % 10 == 0, -50.0, -0.8))  # every tenth is dead
b_dec = keep("b_dec", 3 * rng.normal(size=d))


def sae(x):
    pre = torch.relu((x - b_dec) @ w_enc.T + b_enc)
    top = pre.topk(k, dim=-1)
    z = torch.zeros_like(pre).scatter(-1, top.indices, top.values)
    return z, z @ w_dec + b_dec


sparse = rng.gamma(2.0, size=(700, n)) * (rng.random((700, n)) < 2.5 / n)
x = keep("x", sparse @ directions + 0.1 * rng.normal(size=(700, d)) + b_dec.numpy())
z, y = sae(x)
fvu = ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
expected["reconstruction"] = {
    "meanNorm": x.norm(dim=1).mean().item(),
    "l2": torch.nn.functional.mse_loss(y, x).item(),
    "l2Ratio": (y.norm(dim=1) / x.norm(dim=1)).mean().item(),
    "cosine": torch.nn.functional.cosine_similarity(x, y).mean().item(),
    "scalarExplainedVariance": (1 - (x - y).var() / x.var()).item(),
    "fvu": fvu.item(),
    "explainedVariance": (1 - fvu).item(),
    "l0": (z > 0).double().sum(1).mean().item(),
    "deadLatents": int((z > 0).sum(0).eq(0).sum()),
}

# A language model of two blocks, and its text: CE and KL as PyTorch computes them.
vocabulary = 30
embedding = keep("embedding", rng.normal(size=(vocabulary, d)) + b_dec.numpy())
blocks = [keep(f"block{i}", rng.normal(size=(d, d)) / np.sqrt(d)) for i in range(2)]
unembedding = keep("unembedding", rng.normal(size=(d, vocabulary)) / np.sqrt(d))
skipped, excluded, max_norm = 1, 28, 10.2


def run(x, first):
    for w in blocks[first:]:
        past = x.cumsum(0) / torch.arange(1, len(x) + 1).unsqueeze(1)
        x = x + torch.relu(past @ w)
    return x @ unembedding


def sample(length):
    tokens = [int(rng.integers(vocabulary))]
    while len(tokens) < length:
        p = run(embedding[torch.tensor(tokens)], 0)[-1].softmax(-1).numpy()
        tokens.append(int(rng.choice(vocabulary, p=p)))
    return tokens


text = [sample(length) for length in (9, 9, 7, 1, 12, 12, 12)]
totals = torch.zeros(4, dtype=torch.float64)
predicted = replaced = kept = 0
for tokens in text:
    if len(tokens) < 2:
        continue
    ids = torch.tensor(tokens)
    h = embedding[ids]
    past = h.cumsum(0) / torch.arange(1, len(h) + 1).unsqueeze(1)
    h = h + torch.relu(past @ blocks[0])
    chosen = (torch.arange(len(ids)) >= skipped) & (ids != excluded) & (h.norm(dim=1) <= max_norm)
    clean = run(h, 1)
    other = run(torch.where(chosen.unsqueeze(1), sae(h)[1], h), 1)
    zeros = run(torch.where(chosen.unsqueeze(1), torch.zeros_like(h), h), 1)
    ce = lambda logits: torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum")
    kl = torch.nn.functional.kl_div(
        other[:-1].log_softmax(-1), clean[:-1].log_softmax(-1), reduction="sum", log_target=True
    )
    totals += torch.stack([ce(clean), ce(other), ce(zeros), kl])
    predicted += len(tokens) - 1
    replaced += int(chosen.sum())
    kept += int((~chosen).sum())
clean, other, zeros, kl = (totals / predicted).tolist()
assert 10 < kept and replaced > 20, (kept, replaced)  # every part of the filter leaves something out
expected["crossEntropy"] = {
    "text": text,
    "skipPositions": skipped,
    "excludedToken": excluded,
    "maxNorm": max_norm,
    "sequences": sum(len(t) > 1 for t in text),
    "tokensPredicted": predicted,
    "positionsReplaced": replaced,
    "positionsKept": kept,
    "clean": clean,
    "replaced": other,
    "zeroAblated": zeros,
    "difference": other - clean,
    "lossRecovered": (zeros - other) / (zeros - clean),
    "klDivergence": kl,
}

expected["about"] = {
    "script": "make_metrics_goldens.py",
    "seed": SEED,
    "torch": torch.__version__,
    "scipy": scipy.__version__,
    "numpy": np.__version__,
}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
save_file(tensors, folder / "metrics.safetensors", metadata={"script": "make_metrics_goldens.py", "seed": str(SEED)})
(folder / "metrics.json").write_text(json.dumps(expected) + "\n")
