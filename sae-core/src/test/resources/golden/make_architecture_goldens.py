"""Writes arch/*/: one small SAE of each architecture and option that SAELens, sparsify, dictionary_learning and BatchTopK
can write, saved by their own code, with inputs and what that code computes after loading the folder again.

sae-lens, eai-sparsify and dictionary-learning come from PyPI (dictionary-learning with --no-deps); SAE_BATCHTOPK names
BatchTopK's sae.py. Gemma Scope's and Llama Scope's authors do not publish the code that wrote their files: those folders
are laid out as SAELens' loaders for them read them, and what is expected is computed by SAELens. Run with
SPARSIFY_DISABLE_TRITON=1. arch/index.json lists the folders and their files.
"""

import contextlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from unittest import mock

warnings.filterwarnings("ignore")
for module in ("nnsight", "wandb", "zstandard"):  # imported, but not used without a language model
    if importlib.util.find_spec(module) is None:
        sys.modules[module] = mock.MagicMock(__spec__=importlib.machinery.ModuleSpec(module, None))

import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent / "arch"
D_IN, D_OUT, D_SAE, K, ROWS = 6, 5, 12, 3, 7
INDEX = {}


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def rows():
    return torch.randn(ROWS, D_IN) * 2 + 0.5


def randomize(module):
    """Weights whose decoder is not the encoder's transpose, biases that are not zero, thresholds that matter."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = torch.randn(parameter.shape) * (0.3 if parameter.dim() == 1 else 0.7)
            parameter.copy_(values.abs() + 0.5 if "threshold" in name and "log" not in name else values)


def expect(name, folder, peer, x, features, output, kind, path="."):
    """What its writer computes; path is what Sae.load is given, inside the folder."""
    save_file(
        {k: v.detach().float().contiguous() for k, v in {"x": x, "features": features, "output": output}.items()},
        folder / "expected.safetensors",
        metadata={"script": Path(__file__).name, "peer": peer, "torch": torch.__version__},
    )
    assert name in INDEX or features.count_nonzero() > 0, name
    INDEX[name] = {"activation": kind, "load": path, "files": sorted(
        str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())}


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# SAELens

METADATA = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_pre", "context_size": 16, "prepend_bos": True}


def lens(name, kind, sae, save=None, load=None, hook=None):
    """Saves with SAELens, loads with SAELens in float32 and computes."""
    from sae_lens import SAE

    for key, value in METADATA.items():
        sae.cfg.metadata[key] = value
    if hook:
        sae.cfg.metadata.hook_name = hook
    folder = fresh("saelens_" + name)
    (save or sae.save_model)(folder)
    again = (load or (lambda f: SAE.load_from_disk(f, dtype="float32")))(folder)
    lens_expect("saelens_" + name, folder, again, kind)
    return folder


def lens_expect(name, folder, sae, kind):
    x = rows()
    with torch.no_grad():
        given = x.reshape(ROWS, 2, 3) if sae.cfg.reshape_activations == "hook_z" else x
        features = sae.encode(given)
        output = sae(given)
    expect(name, folder, version("sae-lens"), x, features, output.reshape(ROWS, -1), kind)


def make_lens():
    import sae_lens
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    def sae(architecture, seed, randomly=True, **options):
        torch.manual_seed(seed)
        sizes = dict(d_in=D_IN, d_sae=D_SAE) | options
        config = getattr(sae_lens, architecture + "Config")(**sizes)
        made = getattr(sae_lens, architecture)(config)
        if randomly:
            randomize(made)
        return made

    out = dict(apply_b_dec_to_input=False, d_out=D_OUT)
    lens("standard", "Relu", sae("StandardSAE", 1))
    lens("standard_not_subtracted", "Relu", sae("StandardSAE", 2, apply_b_dec_to_input=False))
    lens("standard_float16", "Relu", sae("StandardSAE", 3, dtype="float16"))
    lens("standard_layer_norm", "Relu", sae("StandardSAE", 4, normalize_activations="layer_norm"))
    lens("topk", "TopK", sae("TopKSAE", 5, k=K))
    lens("topk_rescaled", "TopK", sae("TopKSAE", 6, k=K, rescale_acts_by_decoder_norm=True))
    lens("topk_constant_norm", "TopK", sae("TopKSAE", 7, k=K, normalize_activations="constant_norm_rescale"))
    lens("abstopk", "AbsTopK", sae("AbsTopKSAE", 8, k=K))
    lens("abstopk_rescaled", "AbsTopK", sae("AbsTopKSAE", 9, k=K, rescale_acts_by_decoder_norm=True))
    lens("jumprelu", "JumpRelu", sae("JumpReLUSAE", 10))
    lens("jumprelu_bfloat16", "JumpRelu", sae("JumpReLUSAE", 11, dtype="bfloat16"))
    lens("gated", "Gated", sae("GatedSAE", 12))
    lens("gated_not_subtracted", "Gated", sae("GatedSAE", 13, apply_b_dec_to_input=False))
    lens("transcoder", "Relu", sae("Transcoder", 14, **out))
    lens("skip_transcoder", "Relu", sae("SkipTranscoder", 15, **out))
    lens("jumprelu_transcoder", "JumpRelu", sae("JumpReLUTranscoder", 16, **out))
    lens("jumprelu_skip_transcoder", "JumpRelu", sae("JumpReLUSkipTranscoder", 17, **out))
    lens("hook_z", "JumpRelu", sae("JumpReLUSAE", 18, reshape_activations="hook_z"), hook="blocks.1.attn.hook_z")

    # training: saved for inference, and as a checkpoint
    for number, (architecture, k) in enumerate((("BatchTopK", 2.5), ("MatryoshkaBatchTopK", K))):
        options = {"matryoshka_widths": [4, D_SAE]} if "Matryoshka" in architecture else {}
        training = sae(architecture + "TrainingSAE", 20 + number, k=k, **options)
        training.topk_threshold.fill_(1.1)
        name = architecture.lower().replace("matryoshka", "matryoshka_")
        lens(name + "_inference", "JumpRelu", training, save=training.save_inference_model)

        def inference(folder, training=training):
            """What the checkpoint becomes when it is saved for inference."""
            training.save_inference_model(folder / "inference")
            made = sae_lens.SAE.load_from_disk(folder / "inference")
            shutil.rmtree(folder / "inference")
            return made

        lens(name + "_checkpoint", "BatchTopK", training, load=inference)
    young = sae("BatchTopKTrainingSAE", 23, k=K)  # without a threshold it works by batch
    lens("batchtopk_untrained", "BatchTopK", young, load=lambda folder: young)
    for seed, architecture in ((24, "Standard"), (25, "JumpReLU"), (26, "Gated"), (27, "TopK")):
        training = sae(architecture + "TrainingSAE", seed, **({"k": K} if architecture == "TopK" else {}))
        kind = {"Standard": "Relu", "JumpReLU": "JumpRelu"}.get(architecture, architecture)
        lens(architecture.lower() + "_checkpoint", kind, training, load=lambda folder: inference(folder, training))

    # a checkpoint with the factor of its activations beside it; rescaled latents, so the threshold is scaled too
    training = sae("BatchTopKTrainingSAE", 28, k=K, normalize_activations="expected_average_only_in")
    training.topk_threshold.fill_(0.7)

    def folded(folder):
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.8}))
        training.fold_activation_norm_scaling_factor(0.8)
        return inference(folder, training)

    lens("checkpoint_with_scale", "BatchTopK", training, load=folded)

    # before version 6: one flat object
    for name, seed, made, more in (
        ("flat_standard", 30, "StandardSAE", {"activation_fn_str": "relu"}),
        ("flat_jumprelu", 31, "JumpReLUSAE", {"architecture": "jumprelu", "activation_fn_str": "relu"}),
        ("flat_gated", 32, "GatedSAE", {"architecture": "gated", "activation_fn_str": "relu"}),
        ("flat_oldest", 33, "StandardSAE", {"scaling_factor": True}),
    ):
        model = sae(made, seed)
        folder = lens(name, {"StandardSAE": "Relu", "GatedSAE": "Gated"}.get(made, "JumpRelu"), model)
        flat = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "torch.float32", "device": "cpu", "model_name": "tiny",
                "hook_layer": 1, "hook_head_index": None, "finetuning_scaling_factor": False, "context_size": 16,
                "prepend_bos": True, "dataset_path": "none", "normalize_activations": "none"} | more
        flat["hook_point" if "oldest" in name else "hook_name"] = METADATA["hook_name"]
        if flat.pop("scaling_factor", False):
            del flat["normalize_activations"], flat["finetuning_scaling_factor"]
            weights = load_file(folder / "sae_weights.safetensors")
            save_file(weights | {"scaling_factor": torch.ones(D_SAE)}, folder / "sae_weights.safetensors")
        (folder / "cfg.json").write_text(json.dumps(flat))
        lens_expect("saelens_" + name, folder, sae_lens.SAE.load_from_disk(folder, dtype="float32"),
                    INDEX["saelens_" + name]["activation"])

    # what SAELens' loaders for them make of Gemma Scope's and Llama Scope's files
    torch.manual_seed(40)
    model = JumpReLUSAE(JumpReLUSAEConfig(d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=False))
    randomize(model)
    arrays = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    folder = fresh("gemma_scope/models--google--gemma-scope-2b-pt-res/snapshots/abc123/layer_3/width_16k/average_l0_7")
    np.savez(folder / "params.npz", **arrays)
    x = rows()
    features = model.encode(x)
    path = str(folder.relative_to(HERE / "gemma_scope"))
    expect("gemma_scope", HERE / "gemma_scope", version("sae-lens"), x, features, model.decode(features), "JumpRelu", path)
    model = sae("JumpReLUSkipTranscoder", 41, **out)
    weights = {k.lower(): v for k, v in model.state_dict().items()}
    weights["affine_skip_connection"] = weights.pop("w_skip").T.contiguous()
    folder = fresh("gemma_scope_2_transcoder")
    save_file(weights, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu", "affine_connection": True,
                                                    "model_name": "google/gemma-3-1b-pt"}))
    x = rows()
    expect(folder.name, folder, version("sae-lens"), x, model.encode(x), model(x), "JumpRelu")
    folder = fresh("llama_scope")
    norm, threshold = 3.1, 0.35
    model = sae("JumpReLUSAE", 42, apply_b_dec_to_input=False)
    scale = D_IN ** 0.5 / norm
    model.threshold.data.fill_(threshold * scale)
    (folder / "checkpoints").mkdir()
    save_file({"encoder.weight": model.W_enc.T.contiguous(), "encoder.bias": model.b_enc,
               "decoder.weight": model.W_dec.T.contiguous(), "decoder.bias": model.b_dec},
              folder / "checkpoints" / "final.safetensors")
    (folder / "hyperparams.json").write_text(json.dumps({
        "act_fn": "jumprelu", "d_model": D_IN, "d_sae": D_SAE, "jump_relu_threshold": threshold, "use_decoder_bias": True,
        "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": norm, "out": norm},
        "hook_point_in": METADATA["hook_name"], "hook_point_out": METADATA["hook_name"], "top_k": 50}))
    model.fold_activation_norm_scaling_factor(scale)
    x = rows()
    expect("llama_scope", folder, version("sae-lens"), x, model.encode(x), model(x), "JumpRelu")


# sparsify


def sparsify(name, seed, kind, extra=None, dtype=torch.float32, **options):
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    sae = SparseCoder(D_IN, SparseCoderConfig(**({"k": K} | options)), dtype=dtype)
    randomize(sae)
    folder = fresh("sparsify_" + name) / "layers.3"
    sae.save_to_disk(folder)
    if extra:
        file = folder / "cfg.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | extra))
    sae = SparseCoder.load_from_disk(folder).float()
    x = rows()
    top = sae.encode(x)
    features = torch.zeros(ROWS, sae.num_latents).scatter(1, top.top_indices, top.top_acts)
    expect("sparsify_" + name, folder.parent, version("eai-sparsify"), x, features, sae(x).sae_out, kind, "layers.3")


def make_sparsify():
    sparsify("topk", 1, "TopK", expansion_factor=2)
    sparsify("groupmax", 2, "GroupMax", activation="groupmax", num_latents=D_SAE)
    sparsify("transcode", 3, "TopK", transcode=True, num_latents=D_SAE)
    sparsify("skip_transcode", 4, "TopK", transcode=True, skip_connection=True, num_latents=D_SAE)
    sparsify("skip", 5, "TopK", skip_connection=True, num_latents=D_SAE)
    sparsify("older", 7, "TopK", extra={"signed": False, "num_latents": 0}, expansion_factor=2, dtype=torch.float16)
    # its forward would return what the first 4 k decode to
    from sparsify import SparseCoder

    sparsify("multi_topk", 6, "TopK", multi_topk=True, num_latents=D_SAE)
    folder = HERE / "sparsify_multi_topk"
    sae, x = SparseCoder.load_from_disk(folder / "layers.3"), rows()
    top = sae.encode(x)
    features = torch.zeros(ROWS, sae.num_latents).scatter(1, top.top_indices, top.top_acts)
    output = sae.decode(top.top_acts, top.top_indices)
    expect(folder.name, folder, version("eai-sparsify"), x, features, output, "TopK", "layers.3")


# dictionary_learning


def dictionary(name, kind, dict_class, made, k=None, **trainer):
    from dictionary_learning.utils import load_dictionary

    folder = fresh("dictionary_learning_" + name)
    torch.save(made.state_dict(), folder / "ae.pt")
    config = dict(dict_class=dict_class, activation_dim=D_IN, dict_size=D_SAE, layer=3, lm_name="tiny",
                  submodule_name="resid_post_layer_3", **trainer) | ({"k": k} if k else {})
    (folder / "config.json").write_text(json.dumps({"trainer": config}, indent=4))
    with contextlib.redirect_stdout(sys.stderr):
        sae, _ = load_dictionary(str(folder), "cpu")
    x = rows()
    features = sae.encode(x)
    expect(folder.name, folder, version("dictionary-learning"), x, features, sae.decode(features), kind)


def make_dictionary_learning():
    import dictionary_learning.dictionary as d
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    def random(seed, cls, *sizes, threshold=None):
        torch.manual_seed(seed)
        made = cls(D_IN, D_SAE, *sizes)
        randomize(made)
        if threshold is not None:
            made.threshold.fill_(threshold)
        return made

    dictionary("standard", "Relu", "AutoEncoder", random(1, d.AutoEncoder))
    dictionary("new", "Relu", "AutoEncoderNew", random(2, d.AutoEncoderNew))
    dictionary("gated", "Gated", "GatedAutoEncoder", random(3, d.GatedAutoEncoder))
    dictionary("jumprelu", "JumpRelu", "JumpReluAutoEncoder", random(4, d.JumpReluAutoEncoder))
    dictionary("topk", "TopK", "AutoEncoderTopK", random(5, AutoEncoderTopK, K, threshold=0.4), K)
    dictionary("batchtopk", "BatchTopK", "BatchTopKSAE", random(6, BatchTopKSAE, K, threshold=1.2), K)
    dictionary("batchtopk_unset", "BatchTopK", "BatchTopKSAE", random(7, BatchTopKSAE, K), K)
    matryoshka = random(8, MatryoshkaBatchTopKSAE, K, [4, D_SAE - 4], threshold=0.9)
    dictionary("matryoshka", "BatchTopK", "MatryoshkaBatchTopKSAE", matryoshka, K)
    matryoshka = random(9, MatryoshkaBatchTopKSAE, K, [4, D_SAE - 4])
    dictionary("matryoshka_unset", "BatchTopK", "MatryoshkaBatchTopKSAE", matryoshka, K)

    # an interrupted run: the state, with biases not yet scaled (dictionary_learning 60ec6bf, training.py)
    for name, kind, dict_class, made in (
        ("batchtopk_interrupted", "BatchTopK", "BatchTopKSAE", random(10, BatchTopKSAE, K, threshold=0.5)),
        ("jumprelu_interrupted", "JumpRelu", "JumpReluAutoEncoder", random(11, d.JumpReluAutoEncoder)),
        ("gated_interrupted", "Gated", "GatedAutoEncoder", random(12, d.GatedAutoEncoder)),
    ):
        unscaled = {key: value.clone() for key, value in made.state_dict().items()}
        made.scale_biases(2.5)
        dictionary(name, kind, dict_class, made, *([K] if dict_class == "BatchTopKSAE" else []))
        folder = HERE / ("dictionary_learning_" + name)
        torch.save({"step": 8, "ae": unscaled, "config": {}, "norm_factor": 2.5}, folder / "ae.pt")


def trained():
    """A few steps of each trainer of the peer, with its own loop."""
    from dictionary_learning.trainers import gdm, jumprelu, matryoshka_batch_top_k, p_anneal, standard
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.training import trainSAE
    from dictionary_learning.utils import load_dictionary

    common = dict(steps=30, activation_dim=D_IN, dict_size=D_SAE, layer=3, lm_name="tiny", device="cpu", seed=1,
                  submodule_name="resid_post_layer_3", warmup_steps=2, lr=1e-2)
    topk = common | dict(k=K, threshold_start_step=5)
    sparse = common | dict(sparsity_warmup_steps=2)
    for name, kind, settings in (
        ("standard", "Relu", sparse | dict(trainer=standard.StandardTrainer, l1_penalty=0.1)),
        ("april", "Relu", sparse | dict(trainer=standard.StandardTrainerAprilUpdate, l1_penalty=0.1)),
        ("p_anneal", "Relu", sparse | dict(trainer=p_anneal.PAnnealTrainer, initial_sparsity_penalty=0.1, anneal_start=5,
                                            p_end=0.5, n_sparsity_updates=3)),
        ("gated", "Gated", sparse | dict(trainer=gdm.GatedSAETrainer, l1_penalty=0.1)),
        ("jumprelu", "JumpRelu", sparse | dict(trainer=jumprelu.JumpReluTrainer, target_l0=3.0)),
        ("batchtopk", "BatchTopK", topk | dict(trainer=BatchTopKTrainer)),
        ("matryoshka", "BatchTopK", topk | dict(trainer=matryoshka_batch_top_k.MatryoshkaBatchTopKTrainer,
                                                group_fractions=[0.25, 0.75])),
    ):
        torch.manual_seed(5)
        folder = fresh("dictionary_learning_trained_" + name)
        data = [torch.randn(64, D_IN) * 2 + 0.5 for _ in range(140)]
        with contextlib.redirect_stdout(sys.stderr):
            trainSAE(data, [settings], steps=30, save_dir=str(folder), normalize_activations=True, device="cpu",
                     autocast_dtype=torch.float32)
            sae, _ = load_dictionary(str(folder / "trainer_0"), "cpu")
        x = rows()
        features = sae.encode(x)
        expect(folder.name, folder, version("dictionary-learning"), x, features, sae.decode(features), kind, "trainer_0")


# BatchTopK


def make_batchtopk():
    spec = importlib.util.spec_from_file_location("batchtopk", os.environ["SAE_BATCHTOPK"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for seed, (sae_type, kind, cls, unit_norm) in enumerate((
        ("batchtopk", "BatchTopK", module.BatchTopKSAE, False),
        ("batchtopk", "BatchTopK", module.BatchTopKSAE, True),
        ("vanilla", "Relu", module.VanillaSAE, False),
        ("jumprelu", "JumpRelu", module.JumpReLUSAE, False),
        ("jumprelu", "JumpRelu", module.JumpReLUSAE, True),
    )):
        cfg = {"seed": seed, "act_size": D_IN, "dict_size": D_SAE, "top_k": K, "top_k_aux": 4, "aux_penalty": 1 / 32,
               "n_batches_to_dead": 5, "l1_coeff": 0, "input_unit_norm": unit_norm, "dtype": torch.float32, "device": "cpu",
               "bandwidth": 0.001, "model_name": "tiny", "hook_point": "blocks.3.hook_resid_pre", "sae_type": sae_type}
        sae = cls(cfg)
        keep = sae.b_enc.detach().clone() if sae_type == "batchtopk" else None
        randomize(sae)
        if keep is not None:
            sae.b_enc.data.copy_(keep)  # it has no part in the latents, so training leaves it at zero
        folder = fresh(f"batchtopk_{sae_type}{'_unit_norm' if unit_norm else ''}")
        torch.save(sae.state_dict(), folder / "sae.pt")
        (folder / "config.json").write_text(json.dumps(
            {k: v if isinstance(v, (int, float, str)) else str(v) for k, v in cfg.items()}, indent=4))
        x = rows()
        out = sae(x)
        expect(folder.name, folder, "BatchTopK b9aab1c", x, out["feature_acts"], out["sae_out"], kind)


if __name__ == "__main__":
    shutil.rmtree(HERE, ignore_errors=True)
    make_lens()
    with torch.no_grad():
        make_sparsify()
        make_dictionary_learning()
        make_batchtopk()
    trained()
    (HERE / "index.json").write_text(json.dumps(INDEX, indent=1, sort_keys=True) + "\n")
    print(f"{len(INDEX)} folders, {sum(f.stat().st_size for f in HERE.rglob('*') if f.is_file())} bytes")
