"""Writes curves.json: what PyTorch, NumPy and SciPy make of the SAE and the model of metrics.safetensors.

k at evaluation, latents silenced, what each latent is worth, correlations and cosines across SAEs, neurons.
The definitions are re-stated here in double precision; nothing is taken from this project. Python 3.11: torch,
scipy, numpy and safetensors; versions are in curves.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
import torch
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, mse_loss

here = Path(__file__).parent
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here
given = {name: t.double() for name, t in load_file(here / "metrics.safetensors").items()}
text = json.loads((here / "metrics.json").read_text())["crossEntropy"]["text"]
w_enc, b_enc, w_dec, b_dec = (given[n] for n in ("W_enc", "b_enc", "W_dec", "b_dec"))
x = given["x"]
n, d = w_dec.shape
expected = {"own_k": 4}


def encode(x, k, w=w_enc, b=b_enc):
    pre = torch.relu((x - b_dec) @ w.T + b)
    top = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values)


def decode(z):
    return z @ w_dec + b_dec


def run(h, first):
    for block in [given["block0"], given["block1"]][first:]:
        past = h.cumsum(0) / torch.arange(1, len(h) + 1).unsqueeze(1)
        h = h + torch.relu(past @ block)
    return h @ given["unembedding"]


def measure(keep, k):
    """The SAE with k, and with all latents silent whose place in keep is 0."""
    z = encode(x, k) * keep
    y = decode(z)
    fvu = ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    totals, predicted = torch.zeros(4, dtype=torch.float64), 0
    for tokens in text:
        if len(tokens) < 2:
            continue
        ids = torch.tensor(tokens)
        h = given["embedding"][ids]
        h = h + torch.relu(h.cumsum(0) / torch.arange(1, len(h) + 1).unsqueeze(1) @ given["block0"])
        chosen = (torch.arange(len(ids)) >= 1).unsqueeze(1)  # the first position is left as it is
        clean = run(h, 1)
        other = run(torch.where(chosen, decode(encode(h, k) * keep), h), 1)
        zeros = run(torch.where(chosen, torch.zeros_like(h), h), 1)
        ce = lambda logits: cross_entropy(logits[:-1], ids[1:], reduction="sum")
        kl = kl_div(other[:-1].log_softmax(-1), clean[:-1].log_softmax(-1), reduction="sum", log_target=True)
        totals += torch.stack([ce(clean), ce(other), ce(zeros), kl])
        predicted += len(tokens) - 1
    clean, other, zeros, kl = (totals / predicted).tolist()
    return {
        "l2": mse_loss(y, x).item(),
        "l2Ratio": (y.norm(dim=1) / x.norm(dim=1)).mean().item(),
        "cosine": cosine_similarity(x, y).mean().item(),
        "scalarExplainedVariance": (1 - (x - y).var() / x.var()).item(),
        "fvu": fvu.item(),
        "l0": (z > 0).double().sum(1).mean().item(),
        "difference": other - clean,
        "lossRecovered": (zeros - other) / (zeros - clean),
        "klDivergence": kl,
    }


everything = torch.ones(n, dtype=torch.float64)
expected["k"] = {k: measure(everything, k) for k in (1, 2, 3, 4, 8, 16)}

# What each latent is worth: the loss is computed again without it.
z = encode(x, 4)
base = ((x - decode(z)) ** 2).sum()
worth = []
for j in range(n):
    without = z.clone()
    without[:, j] = 0
    worth.append(((((x - decode(without)) ** 2).sum() - base) / len(x)).item())
fires = (z > 0).double()
expected["latents"] = {
    "frequency": fires.mean(0).tolist(),
    "meanActivation": (z.sum(0) / fires.sum(0).clamp(min=1)).tolist(),
    "attribution": worth,
}
ranking = [j for j in sorted(range(n), key=lambda j: -worth[j]) if fires[:, j].any()]
expected["ranking"] = ranking
expected["subsets"] = {}
for size in (0, 3, 10, n):
    for name, kept in (("best", ranking[:size]), ("worst", ranking[max(0, len(ranking) - size):])):
        keep = torch.zeros(n, dtype=torch.float64)
        keep[kept] = 1
        expected["subsets"][f"{name} {size}"] = measure(keep, 4)

# Another SAE: half of its latents are the first one's in another order, the others are new.
rng = np.random.default_rng(5)
order = rng.permutation(n)
new = rng.normal(size=(n, d))
new /= np.linalg.norm(new, axis=1, keepdims=True)
noise = 0.1 * rng.normal(size=(n, d))
rows = np.where((np.arange(n) % 2 == 0)[:, None], w_dec.numpy()[order] + noise, new)
other_dec = torch.tensor(rows, dtype=torch.float32)
other_enc = (other_dec.double() + 0.05 * torch.tensor(rng.normal(size=(n, d)))).float()
expected["other"] = {"W_enc": other_enc.flatten().tolist(), "W_dec": other_dec.flatten().tolist(), "k": 3}
other_enc, other_dec = other_enc.double(), other_dec.double()
z_other = encode(x, 3, other_enc, torch.zeros(n, dtype=torch.float64))

with np.errstate(invalid="ignore"):  # latents that never fire
    both = np.corrcoef(torch.cat([z, z_other], 1).numpy(), rowvar=False)[:n, n:]
together = ((z > 0).double().T @ (z_other > 0).double()).numpy()
either = (z > 0).double().sum(0).numpy()[:, None] + (z_other > 0).double().sum(0).numpy()[None] - together
correlation = np.where(together > 0, both, np.nan)  # those that never fire together are not partners
cosines = lambda a, b: ((a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T).numpy()
decoder, encoder = cosines(w_dec, other_dec), cosines(w_enc, other_enc)
best = lambda m: np.array([-2 if np.isnan(row).all() else np.nanmax(row) for row in m])
shown = [1, 2, 3, 6]
expected["correlation"] = {
    "latents": shown,
    "matrix": [[None if np.isnan(v) else float(v) for v in row] for row in correlation[shown]],
    "jaccard": np.divide(together, either, out=np.zeros_like(either), where=either > 0)[shown].tolist(),
    "cosine": decoder[shown].tolist(),
    "liveA": int((z > 0).any(0).sum()),
    "liveB": int((z_other > 0).any(0).sum()),
    "bestOfA": best(correlation).tolist(),
    "bestOfB": best(correlation.T).tolist(),
}

# Encoder and decoder matched one by one; neurons, each with its four best.
partner = {name: linear_sum_assignment(m, maximize=True)[1] for name, m in (("decoder", decoder), ("encoder", encoder))}
same = partner["decoder"] == partner["encoder"]
i = np.arange(n)
above = (decoder[i, partner["decoder"]] > 0.7) & (encoder[i, partner["encoder"]] > 0.7)
expected["agreement"] = {"agreeing": same.mean(), "sharedByBoth": (same & above).mean()}
expected["neurons"] = {}
for name, a, b in (("DECODER", w_dec.T, other_dec.T), ("ENCODER", w_enc.T, other_enc.T)):
    s = torch.tensor(cosines(a, b))
    expected["neurons"][name] = {
        "ranksA": s.topk(4, dim=1).values.mean(0).tolist(),
        "ranksB": s.topk(4, dim=0).values.mean(1).tolist(),
    }

expected["about"] = {
    "script": "make_curve_goldens.py",
    "torch": torch.__version__,
    "scipy": scipy.__version__,
    "numpy": np.__version__,
}
(folder / "curves.json").write_text(json.dumps(expected) + "\n")
