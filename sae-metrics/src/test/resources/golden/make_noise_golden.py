"""Writes noise.json: what SciPy makes of two samples with ties, of several p-values, and of BCa.

Python 3.11: scipy and numpy; versions are in the file.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import bootstrap, false_discovery_control, mannwhitneyu

SEED = 20261130
rng = np.random.default_rng(SEED)

# Samples at levels 0 to 7; most at 0, as sparse latents have it.
samples = {
    "spread": (rng.integers(0, 8, 40), rng.integers(0, 6, 25)),
    "sparse": (rng.binomial(7, 0.05, 300), rng.binomial(7, 0.01, 90)),
    "rare": (np.array([3] + [0] * 199), np.zeros(60, int)),
    "same": (rng.integers(0, 8, 30), rng.integers(0, 8, 30)),
    "apart": (rng.integers(5, 8, 50), rng.integers(0, 3, 50)),
    "equal_halves": (np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3])),
}
tests = {}
for name, (first, second) in samples.items():
    found = mannwhitneyu(first, second, alternative="two-sided", method="asymptotic")
    tests[name] = {
        "first": np.bincount(first, minlength=8).tolist(),
        "second": np.bincount(second, minlength=8).tolist(),
        "auc": float(found.statistic) / (len(first) * len(second)),
        "p": float(found.pvalue),
    }

p = np.concatenate([rng.random(12), 10.0 ** -rng.uniform(1, 12, 8), [1.0, 1.0, 0.03, 0.03]])
# Rows' z of one latent, for the area under the curve: zeros and ties on both sides.
noise = np.round(np.maximum(0, rng.normal(0.2, 1, 60)), 1)
text = np.round(np.maximum(0, rng.normal(0.0, 1, 40)), 1)

first = rng.gamma(1.0, size=60)
second = rng.gamma(2.0, 0.7, size=45)
share = (rng.random(120) < 0.06).astype(float)


def bca(data, statistic):
    found = bootstrap(data, statistic, n_resamples=200_000, method="BCa", rng=rng)
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


def ratio(a, b, resamples=200_000):
    """Bootstrap-t of sum(a) / sum(b) over pairs; SciPy has none, so by its textbook formula."""
    own = np.random.default_rng(SEED + 1)

    def estimate_and_error(a, b):
        n = a.shape[-1]
        value = a.sum(-1) / b.sum(-1)
        residual = (a - value[..., None] * b) / b.mean(-1, keepdims=True)
        return value, np.sqrt((residual**2).sum(-1) / (n - 1) / n)

    value, error = estimate_and_error(a, b)
    deviations = []
    for _ in range(resamples // 10_000):
        drawn = own.integers(0, len(a), (10_000, len(a)))
        values, errors = estimate_and_error(a[drawn], b[drawn])
        deviations.append((values - value) / errors)
    low, high = np.quantile(np.concatenate(deviations), [0.025, 0.975])
    return [float(value - high * error), float(value - low * error)]


expected = {
    "mannWhitney": tests,
    "p": p.tolist(),
    "adjusted": false_discovery_control(p, method="bh").tolist(),
    "noise": noise.tolist(),
    "text": text.tolist(),
    "auc": float(mannwhitneyu(noise, text).statistic) / (len(noise) * len(text)),
    "bca": {
        "first": first.tolist(),
        "second": second.tolist(),
        "share": share.tolist(),
        "mean": bca((first,), np.mean),
        "meanOfShare": bca((share,), np.mean),
        "difference": bca(
            (first, second), lambda a, b, axis=-1: np.mean(a, axis=axis) - np.mean(b, axis=axis)
        ),
        "ratio": ratio(first[:45], second),
    },
    "about": {"script": "make_noise_golden.py", "seed": SEED, "scipy": scipy.__version__, "numpy": np.__version__},
}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
(folder / "noise.json").write_text(json.dumps(expected) + "\n")
