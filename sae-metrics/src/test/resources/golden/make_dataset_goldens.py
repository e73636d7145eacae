"""Writes dataset.json: random sequences and what NumPy and SciPy make of them. Usage: python make_dataset_goldens.py"""

import json
import platform
from pathlib import Path

import numpy as np
import scipy
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy

EPSILON = 1e-10
VOCABULARY = 40
rng = np.random.default_rng(7)


def sequences(count, alpha):
    """BOS 0, then tokens of a Zipf-like distribution; some sequences twice."""
    weights = 1 / np.arange(1, VOCABULARY + 1) ** alpha
    made = [[0, *map(int, rng.choice(VOCABULARY, rng.integers(1, 12), p=weights / weights.sum()))] for _ in range(count)]
    return made + made[:3]


def grams(data, n):
    return [tuple(s[i : i + n]) for s in data for i in range(len(s) - n + 1)]


data, other = sequences(60, 1.3), sequences(30, 0.4)
tokens = np.concatenate([np.array(s) for s in data])
lengths = np.array([len(s) for s in data])
logits = rng.normal(size=VOCABULARY).astype(np.float32) * 2
p = np.bincount([s[1] for s in data], minlength=VOCABULARY) / len(data)
q = softmax(logits.astype(np.float64))
golden = {
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "python": platform.python_version()},
    "data": data,
    "other": other,
    "logits": logits.astype(float).tolist(),
    "statistics": {
        "sequences": len(data),
        "tokens": int(tokens.size),
        "distinctTokens": len(set(tokens.tolist())),
        "distinctFirstTokens": len({s[1] for s in data}),
        "distinctSequences": len({tuple(s) for s in data}),
        "meanLength": lengths.mean(),
        "lengthDeviation": lengths.std(),
        "minLength": int(lengths.min()),
        "maxLength": int(lengths.max()),
        "tokenEntropy": entropy(np.bincount(tokens)),
        "distinctNGrams": [len(set(grams(data, n))) / len(grams(data, n)) for n in (1, 2, 3, 4)],
        "types_of_first_64": len(set(tokens[:64].tolist())),
    },
    "coverage": [len(set(grams(other, n)) & set(grams(data, n))) / len(set(grams(other, n))) for n in (1, 2, 3)],
    "firstTokens": {
        "klDataFromModel": float((p * np.log((p + EPSILON) / (q + EPSILON))).sum()),
        "klModelFromData": float((q * np.log((q + EPSILON) / (p + EPSILON))).sum()),
        "jensenShannon": float(jensenshannon(p, q) ** 2),
        "crossEntropy": float(-(p * np.log(q + EPSILON)).sum()),
        "topOfModel": np.argsort(-q, kind="stable")[:10].tolist(),
        "topOfData": np.argsort(-p, kind="stable")[:10].tolist(),
    },
}
Path(__file__).with_name("dataset.json").write_text(json.dumps(golden) + "\n")
