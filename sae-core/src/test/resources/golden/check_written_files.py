"""Opens what this library wrote with the packages whose formats it wrote, and compares what they compute.

ArchitectureFilesTest leaves the folders in sae-core/target/written/FORMAT/NAME, each with the inputs and outputs of the
SAE that it saved. It is not part of the test suite, since it needs Python: run it when a writer changes, with the packages
of make_architecture_goldens.py and SPARSIFY_DISABLE_TRITON=1.

    mvn test -pl sae-io,sae-core -Dtest=ArchitectureFilesTest -Dsurefire.failIfNoSpecifiedTests=false
    python check_written_files.py sae-core/target/written
"""

import contextlib
import importlib.machinery
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from unittest import mock

warnings.filterwarnings("ignore")
for module in ("nnsight", "wandb", "zstandard"):  # imported, but not used without a language model
    if importlib.util.find_spec(module) is None:
        sys.modules[module] = mock.MagicMock(__spec__=importlib.machinery.ModuleSpec(module, None))

import torch
from safetensors.torch import load_file


def saelens(folder, x):
    from sae_lens import SAE

    cfg = json.loads((folder / "cfg.json").read_text())
    if cfg["architecture"] == "batchtopk":
        from sae_lens import TrainingSAE

        sae = TrainingSAE.load_from_disk(folder)
    else:
        sae = SAE.load_from_disk(folder)
    given = x.reshape(len(x), 2, -1) if cfg["reshape_activations"] == "hook_z" else x
    if cfg["architecture"] == "batchtopk":
        features = sae.encode(given)
        return features, sae.decode(features), type(sae).__name__
    return sae.encode(given), sae(given).reshape(len(x), -1), type(sae).__name__


def sparsify(folder, x):
    from sparsify import SparseCoder

    sae = SparseCoder.load_from_disk(folder)
    top = sae.encode(x)
    features = torch.zeros(len(x), sae.num_latents).scatter(1, top.top_indices, top.top_acts)
    return features, sae(x).sae_out, f"SparseCoder({sae.cfg.activation})"


def dictionary_learning(folder, x):
    from dictionary_learning.utils import load_dictionary

    with contextlib.redirect_stdout(sys.stderr):
        sae, _ = load_dictionary(str(folder), "cpu")
    unset = hasattr(sae, "threshold") and sae.threshold.dim() == 0 and sae.threshold < 0
    by_batch = unset and type(sae).__name__ == "BatchTopKSAE"
    features = sae.encode(x, use_threshold=False) if by_batch else sae.encode(x)
    return features, sae.decode(features), type(sae).__name__


OPEN = {"saelens": saelens, "sparsify": sparsify, "dictionary_learning": dictionary_learning}
checked = 0
for name, compute in OPEN.items():
    for folder in sorted((Path(sys.argv[1]) / name).iterdir()):
        if not (folder / "expected.safetensors").exists():
            continue  # refused: the format cannot express it
        expected = load_file(folder / "expected.safetensors")
        with torch.no_grad():
            features, output, kind = compute(folder, expected["x"])
        torch.testing.assert_close(features, expected["features"], rtol=1e-5, atol=1e-5, msg=lambda m: f"{folder}: {m}")
        torch.testing.assert_close(output, expected["output"], rtol=1e-5, atol=1e-5, msg=lambda m: f"{folder}: {m}")
        checked += 1
        print(f"{folder.relative_to(sys.argv[1])}: {kind} computes the same")
assert checked > 0, "no folders; run ArchitectureFilesTest"
print(f"{checked} folders")
