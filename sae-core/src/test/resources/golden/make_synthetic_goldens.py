"""Writes synthetic.safetensors (inputs) and synthetic.json: what SAELens' sae_lens.synthetic makes of known features.

Firing probabilities and magnitudes of each feature, hierarchies, how even its orthogonalised directions are, what it says of
an SAE on rows whose features are known; and, from SciPy, how often two features fire together under its low-rank
correlations. The real SAELens computes all of it; nothing is re-stated here.

Python 3.11: sae_lens, torch, scipy, numpy and safetensors; versions are in synthetic.json.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import scipy
import torch
from sae_lens import synthetic
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sae_lens.synthetic.feature_dictionary import orthogonalize_embeddings
from sae_lens.synthetic.firing_magnitudes import ExponentialMagnitudeConfig, LinearMagnitudeConfig
from sae_lens.synthetic.firing_probabilities import linear_firing_probabilities, zipfian_firing_probabilities
from safetensors.torch import save_file
from scipy.stats import multivariate_normal, norm

SEED = 7
generator = torch.Generator().manual_seed(SEED)
tensors, expected = {}, {}


def normal(*shape):
    return torch.randn(*shape, generator=generator)


def uniform(*shape):
    return torch.rand(*shape, generator=generator)


# A number for each feature.
expected["zipf"] = zipfian_firing_probabilities(20, 1.3, 0.4, 0.01).tolist()
expected["linear"] = linear_firing_probabilities(20, 0.3, 0.02).tolist()
expected["linearMagnitude"] = LinearMagnitudeConfig(0.5, 2.0).generate(20).tolist()
expected["exponential"] = ExponentialMagnitudeConfig(0.25, 4.0).generate(20).tolist()

# A forest of 4 + 12 + 36 features, all but its last cut off at 50. Children that exclude each other are drawn by lot, so
# that for them only the probabilities are compared.
FEATURES = 50
raw = (uniform(60, FEATURES) < 0.5).float() * (0.5 + uniform(60, FEATURES))
means = 0.5 + uniform(FEATURES)
wanted = 0.02 + 0.2 * uniform(FEATURES)
tensors["raw"], tensors["means"], tensors["wanted"] = raw, means, wanted
actor = synthetic.ActivationGenerator(FEATURES, wanted, mean_firing_magnitudes=means)


def forest(exclusive=0.0, scaled=False):
    config = synthetic.HierarchyConfig(
        total_root_nodes=4,
        branching_factor=3,
        max_depth=2,
        mutually_exclusive_portion=exclusive,
        scale_children_by_parent=scaled,
    )
    return synthetic.generate_hierarchy(FEATURES, config, seed=1)


parents = [-1] * FEATURES


def note(node):
    for child in node.children:
        parents[child.feature_index] = node.feature_index
        note(child)


for root in forest().roots:
    note(root)
expected["parents"] = parents
tensors["gated"] = forest().modifier(raw)
tensors["scaled"] = forest(scaled=True).modifier(raw, actor)
for name, exclusive in (("compensated", 0.0), ("compensatedExclusive", 1.0)):
    factors = forest(exclusive).compute_probability_correction_factors(wanted)
    tensors[name] = (wanted * factors).clamp(max=1.0)

# How even directions become: the sum of squared cosines of different vectors.
expected["evenness"] = []
for count, d in ((12, 16), (16, 16), (40, 16), (200, 24)):
    vectors = orthogonalize_embeddings(normal(count, d)).double()
    cosines = vectors @ vectors.T
    expected["evenness"].append(
        {"features": count, "dIn": d, "offDiagonal": (cosines.pow(2).sum() - cosines.diagonal().pow(2).sum()).item()}
    )

# Features that share causes: P(both fire) under the correlation that the factor implies.
correlation = synthetic.generate_random_low_rank_correlation_matrix(6, 3, correlation_scale=0.5, seed=SEED)
factor = correlation.correlation_factor
probabilities = [0.5, 0.3, 0.05, 0.2, 0.9, 0.01]
tensors["factor"] = factor
implied = (factor @ factor.T).double().numpy()
together = []
for i in range(6):
    for j in range(i):
        both = multivariate_normal.cdf(
            [norm.ppf(probabilities[i]), norm.ppf(probabilities[j])],
            mean=[0, 0],
            cov=[[1, implied[i, j]], [implied[i, j], 1]],
            abseps=1e-9,
            releps=1e-9,
        )
        together.append([i, j, float(both)])
expected["together"] = together
expected["probabilities"] = probabilities

# An SAE on rows whose features are known: some latents are features, some negated, two alike, some noise, one is dead.
D_IN, TRUE, D_SAE, K, ROWS = 8, 14, 18, 3, 400
truth = torch.nn.functional.normalize(normal(TRUE, D_IN), dim=1)
w_dec = torch.nn.functional.normalize(normal(D_SAE, D_IN), dim=1)
w_dec[:9] = torch.nn.functional.normalize(truth[:9] + 0.15 * normal(9, D_IN), dim=1)
w_dec[9] = w_dec[3]
w_dec[10] = -truth[10]
w_enc = (w_dec * 0.9 + 0.05 * normal(D_SAE, D_IN)).T.contiguous()
b_enc = torch.full((D_SAE,), -0.05)
b_enc[17] = -50.0
coefficients = (uniform(ROWS, TRUE) < 0.15).float() * (0.3 + uniform(ROWS, TRUE))
sae = TopKSAE(TopKSAEConfig(d_in=D_IN, d_sae=D_SAE, k=K, apply_b_dec_to_input=True))
sae.load_state_dict({"W_enc": w_enc, "b_enc": b_enc, "W_dec": w_dec, "b_dec": torch.zeros(D_IN)})
dictionary = synthetic.FeatureDictionary(TRUE, D_IN, initializer=None)
dictionary.feature_vectors.data = truth


class Given:
    """Hands out the same coefficients that the other side reads."""

    def sample(self, count):
        assert count == ROWS
        return coefficients


seen = synthetic.eval_sae_on_synthetic_data(sae, dictionary, Given(), num_samples=ROWS).to_dict()
expected["evaluation"] = seen
tensors |= {
    "truth": truth,
    "coefficients": coefficients,
    "x": dictionary(coefficients).detach(),
    "W_enc": w_enc.T.contiguous(),  # a row for each latent
    "b_enc": b_enc,
    "W_dec": w_dec,
}
assert 0 < seen["dead_latents"] < D_SAE and seen["uniqueness"] < 1 and 0.2 < seen["mcc"] < 0.99, seen

expected["about"] = {
    "script": "make_synthetic_goldens.py",
    "seed": SEED,
    "sae_lens": version("sae_lens"),
    "torch": torch.__version__,
    "scipy": scipy.__version__,
}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
save_file(tensors, folder / "synthetic.safetensors", metadata={"script": "make_synthetic_goldens.py", "seed": str(SEED)})
(folder / "synthetic.json").write_text(json.dumps(expected) + "\n")
