"""Writes peer_*/: small TopK SAEs as the peers' own code saves them, with inputs and what that code computes.

sparsify (eai-sparsify) and dictionary-learning (installed with --no-deps) come from PyPI. OpenAI's sparse_autoencoder and
BatchTopK are not there: SAE_OPENAI_MODEL and SAE_BATCHTOPK name their model.py and sae.py. Versions are in the metadata of
each expected.safetensors. Run with SPARSIFY_DISABLE_TRITON=1.
"""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
D_IN, D_SAE, K, ROWS = 6, 24, 3, 9


def fresh(name):
    folder = HERE / f"peer_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def expect(folder, version, x, features, reconstruction):
    save_file(
        {k: v.detach().float().contiguous() for k, v in
         {"x": x, "features": features, "reconstruction": reconstruction}.items()},
        folder / "expected.safetensors",
        metadata={"script": Path(__file__).name, "peer": version, "torch": torch.__version__},
    )


def rows():
    return torch.randn(ROWS, D_IN) * 2 + 0.5


def randomize(module):
    """Weights whose decoder is not the encoder's transpose, and biases that are not zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.2 if parameter.dim() == 1 else 1))


def import_file(variable):
    spec = importlib.util.spec_from_file_location(variable.lower(), os.environ[variable])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sparsify(name, seed, dtype=torch.float32, **options):
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    sae = SparseCoder(D_IN, SparseCoderConfig(k=K, **options), dtype=dtype)
    randomize(sae)
    folder = fresh(name)
    sae.save_to_disk(folder / "layers.3")
    sae = SparseCoder.load_from_disk(folder / "layers.3").float()
    x = rows()
    top = sae.encode(x)
    features = torch.zeros(ROWS, sae.num_latents).scatter(1, top.top_indices, top.top_acts)
    version = "eai-sparsify " + importlib.metadata.version("eai-sparsify")
    expect(folder / "layers.3", version, x, features, sae.decode(top.top_acts, top.top_indices))


def dictionary_learning(seed):
    """Trains for a few steps with the peer's own loop, which saves a checkpoint and the SAE."""
    for module in ("nnsight", "wandb", "zstandard"):  # imported, but not used without a language model
        sys.modules.setdefault(module, mock.MagicMock())
    from dictionary_learning.trainers.top_k import AutoEncoderTopK, TopKTrainer
    from dictionary_learning.training import trainSAE

    torch.manual_seed(seed)
    folder = fresh("dictionary_learning")
    settings = dict(
        steps=40, activation_dim=D_IN, dict_size=D_SAE, k=K, layer=3, lm_name="tiny", lr=1e-2, warmup_steps=2,
        threshold_start_step=5, device="cpu", submodule_name="resid_post_layer_3", seed=seed)
    data = [torch.randn(64, D_IN) * 2 + 0.5 for _ in range(120)]
    with contextlib.redirect_stdout(sys.stderr):
        trainSAE(
            data, [dict(settings, trainer=TopKTrainer)], steps=40, save_steps=[10], save_dir=str(folder),
            normalize_activations=True, device="cpu", autocast_dtype=torch.float32)
    version = "dictionary-learning " + importlib.metadata.version("dictionary-learning")
    run = folder / "trainer_0"

    def check(weights, into, sae):
        x = rows()
        features = sae.encode(x)
        expect(into, version, x, features, sae.decode(features))

    for weights, into in ((run / "ae.pt", run), (run / "checkpoints" / "ae_10.pt", run / "checkpoints")):
        sae = AutoEncoderTopK.from_pretrained(str(weights))
        assert sae.threshold > 0, "the threshold is to be ignored, so it must be set"
        check(weights, into, sae)

    # what a run with backup_steps leaves when it is interrupted (dictionary_learning 60ec6bf, training.py)
    folder = fresh("dictionary_learning_interrupted")
    trainer = TopKTrainer(**settings)
    for step in range(8):
        trainer.update(step, data[step])
    state = {"step": 8, "ae": trainer.ae.state_dict(), "optimizer": trainer.optimizer.state_dict(),
             "config": trainer.config, "norm_factor": 2.5}
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": trainer.config}, indent=4))
    trainer.ae.scale_biases(2.5)
    check(folder / "ae.pt", folder, trainer.ae)


def openai(name, seed, tied=False):
    model = import_file("SAE_OPENAI_MODEL")
    torch.manual_seed(seed)
    sae = model.Autoencoder(D_SAE, D_IN, activation=model.TopK(K), tied=tied, normalize=True)
    randomize(sae)
    if not tied:  # its training code stores the decoder column-major
        sae.decoder.weight.data = sae.decoder.weight.data.T.contiguous().T
    folder = fresh(name)
    torch.save(sae.state_dict(), folder / "6.pt")
    x = rows()
    features, info = sae.encode(x)
    expect(folder, "sparse_autoencoder 4965b94", x, features, sae.decode(features, info))


def batchtopk(name, seed, unit_norm):
    module = import_file("SAE_BATCHTOPK")
    torch.manual_seed(seed)
    cfg = {"seed": seed, "act_size": D_IN, "dict_size": D_SAE, "top_k": K, "top_k_aux": 4, "aux_penalty": 1 / 32,
           "n_batches_to_dead": 5, "l1_coeff": 0, "input_unit_norm": unit_norm, "dtype": torch.float32, "device": "cpu",
           "model_name": "tiny", "hook_point": "blocks.3.hook_resid_pre", "sae_type": "topk"}
    sae = module.TopKSAE(cfg)
    with torch.no_grad():
        sae.W_dec.copy_(torch.randn(D_SAE, D_IN))
        sae.b_dec.copy_(torch.randn(D_IN))
    folder = fresh(name)
    torch.save(sae.state_dict(), folder / "sae.pt")  # as save_checkpoint in logs.py, which also needs wandb
    (folder / "config.json").write_text(json.dumps({k: v if isinstance(v, (int, float, str)) else str(v)
                                                    for k, v in cfg.items()}, indent=4))
    x = rows()
    out = sae(x)
    expect(folder, "BatchTopK b9aab1c", x, out["feature_acts"], out["sae_out"])


def types():
    """Every element type, and views with strides and offsets, in one file."""
    torch.manual_seed(9)
    base = torch.randn(7, 5)
    tensors = {str(dtype).removeprefix("torch."): (base * 10).to(dtype) for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)}
    tensors["uint8"] = (base.abs() * 10).to(torch.uint8)
    tensors["bool"] = base > 0
    tensors["subnormal"] = torch.tensor([[2.0 ** -24, -(2.0 ** -20)], [65504.0, -0.0]], dtype=torch.float16)
    tensors["transposed"] = base.T
    tensors["rows_2_to_5"] = base[2:5]
    tensors["every_second"] = base[1::2, ::2]
    tensors["every_second_transposed"] = base[1::2, ::2].T
    folder = fresh("types")
    torch.save(tensors, folder / "types.pt")
    torch.save(tensors, folder / "types_protocol_4.pt", pickle_protocol=4)
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, folder / "expected.safetensors")


with torch.no_grad():
    sparsify("sparsify", 1, expansion_factor=4)
    sparsify("sparsify_bf16", 2, torch.bfloat16, num_latents=D_SAE, normalize_decoder=False, multi_topk=True)
    openai("openai", 4)
    openai("openai_tied", 5, tied=True)
    batchtopk("batchtopk", 6, unit_norm=True)
    batchtopk("batchtopk_plain", 7, unit_norm=False)
    types()
dictionary_learning(3)
