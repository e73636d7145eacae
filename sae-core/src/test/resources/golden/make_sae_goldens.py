"""Writes saelens_*/: small TopK SAEs as the real SAELens package saves them, with inputs and what SAELens computes.

Run with --check-ours to load faithfulsae_*/ (written by SaeFolderTest) with SAELens and compare what it computes with
what this library computed. Needs sae_lens; used with the version that the metadata of expected.safetensors names.
"""

import json
import sys
from pathlib import Path

import sae_lens
import torch
from safetensors.torch import load_file, save_file
from sae_lens import SAE
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

HERE = Path(__file__).parent
D_IN, D_SAE, K, ROWS = 6, 20, 3, 9
METADATA = {
    "model_name": "tiny",
    "hook_name": "blocks.1.hook_resid_pre",
    "context_size": 16,
    "prepend_bos": True,
    "dataset_path": "none",
}


def make(name, seed, rescale=False, normalize="none", subtract=True, dtype="float32", b_enc=0.1):
    torch.manual_seed(seed)
    config = TopKSAEConfig(
        d_in=D_IN,
        d_sae=D_SAE,
        k=K,
        dtype=dtype,
        apply_b_dec_to_input=subtract,
        normalize_activations=normalize,
        rescale_acts_by_decoder_norm=rescale,
    )
    for key, value in METADATA.items():
        config.metadata[key] = value
    sae = TopKSAE(config)
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(D_IN, D_SAE))
        sae.W_dec.copy_(torch.randn(D_SAE, D_IN) * (1 + torch.rand(D_SAE, 1)))
        sae.b_enc.copy_(b_enc * torch.randn(D_SAE))
        sae.b_dec.copy_(torch.randn(D_IN))
    folder = HERE / f"saelens_{name}"
    sae.save_model(folder)
    reloaded = SAE.load_from_disk(folder, dtype="float32")
    expect(folder, reloaded, seed)
    return folder, reloaded


def expect(folder, sae, seed):
    x = torch.randn(ROWS, D_IN) * 2 + 0.5
    with torch.no_grad():
        features = sae.encode(x)
        reconstruction = sae.decode(features)
    save_file(
        {"x": x, "features": features, "reconstruction": reconstruction},
        folder / "expected.safetensors",
        metadata={"script": Path(__file__).name, "sae_lens": sae_lens.__version__, "seed": str(seed)},
    )


def make_flat(name, seed):
    """The flat cfg.json of SAELens before version 6, which names the architecture by its activation function."""
    folder, sae = make(name, seed)
    flat = {
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "device": "cpu",
        "model_name": "tiny",
        "hook_name": "blocks.1.hook_resid_pre",
        "hook_layer": 1,
        "hook_head_index": None,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": "3.21.1",
        "prepend_bos": True,
        "dataset_path": "none",
        "context_size": 16,
        "normalize_activations": "none",
    }
    (folder / "cfg.json").write_text(json.dumps(flat))
    expect(folder, SAE.load_from_disk(folder), seed)


def check_ours():
    folders = sorted(HERE.glob("faithfulsae_*"))
    assert folders, "no folder of ours; run SaeFolderTest"
    for folder in folders:
        sae = SAE.load_from_disk(folder)
        ours = load_file(folder / "expected.safetensors")
        with torch.no_grad():
            features = sae.encode(ours["x"])
            reconstruction = sae.decode(features)
        torch.testing.assert_close(features, ours["features"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(reconstruction, ours["reconstruction"], rtol=1e-5, atol=1e-5)
        assert sae.cfg.metadata.hook_name == METADATA["hook_name"], sae.cfg.metadata
        assert sae.cfg.metadata.context_size == 16 and sae.cfg.metadata.prepend_bos is True, sae.cfg.metadata
        print(f"{folder.name}: SAELens {sae_lens.__version__} computes the same", type(sae).__name__)


if "--check-ours" in sys.argv:
    check_ours()
else:
    make("v6", 1)
    make("v6_rescaled", 2, rescale=True, normalize="constant_norm_rescale")
    make("v6_layer_norm_bf16", 3, normalize="layer_norm", dtype="bfloat16")
    make("v6_no_subtract", 4, subtract=False)
    make_flat("v3_flat", 5)
