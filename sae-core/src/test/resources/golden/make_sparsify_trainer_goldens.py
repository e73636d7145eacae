"""Writes sparsify_trainers.json: losses of the first 100 steps of sparsify's own Trainer.

A model of one module stands in for a language model: its tokens are row numbers, its module reads and writes given rows.
Rows and weights are those of make_peer_trainer_goldens.py, with a decoder of zeros for transcoders, as sparsify starts
them; a transcoder's target is target(rows). Each run is repeated in float64: where that disagrees, the data are too close
to a tie to be a fair test, and the script stops. Needs torch, eai-sparsify 1.3.3 and what that imports.
"""

import contextlib
import io
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
sys.modules["bitsandbytes"] = None  # 8-bit Adam rounds its state

from make_peer_trainer_goldens import BATCH, D_IN, D_SAE, K, STEPS, compact, make_rows, make_weights  # noqa: E402

import torch  # noqa: E402

torch.Tensor.bfloat16 = lambda tensor: tensor  # see the runs of Muon


def target(x):
    """What a transcoder should write; exact in float32 but for the rounding of one difference."""
    return x.flip(-1).abs() - 0.25 * x


class Model(torch.nn.Module):
    """Reads and writes rows of a table at its one module."""

    def __init__(self, rows, outputs):
        super().__init__()
        self.rows, self.outputs, self.device = rows, outputs, torch.device("cpu")
        self.config = SimpleNamespace(num_hidden_layers=1)
        self.place = Place(self)
        self.dummy_inputs = {"input_ids": torch.zeros(1, 2, dtype=torch.long)}

    @property
    def base_model(self):
        return self

    def forward(self, input_ids):
        return self.place(self.rows[input_ids], input_ids)


class Place(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.of = [model]  # not a submodule

    def forward(self, x, input_ids):
        return self.of[0].outputs[input_ids]


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, i):
        if i >= STEPS:
            raise IndexError(i)
        return {"input_ids": torch.arange(i * BATCH, (i + 1) * BATCH)}


def run(coder, training, dtype):
    from sparsify import SparseCoderConfig, TrainConfig, Trainer

    rows = make_rows().reshape(-1, D_IN)
    outputs = target(rows) if coder.get("transcode") else rows
    training = dict(training)
    # Its own, 10 d_in, is above the latents with a value > 0, and which of those at 0 it chooses, and trains, is not defined.
    initial_k = training.pop("initial_k", None)
    config = TrainConfig(
        SparseCoderConfig(num_latents=D_SAE, **{"k": K, **coder}), batch_size=1, hookpoints=["place"], save_every=10**9,
        log_to_wandb=False, finetune="the weights below", **training)
    model = Model(rows.to(dtype), outputs.to(dtype))
    trainer = Trainer(config, Numbers(), model)
    trainer.initial_k = initial_k or trainer.initial_k
    (sae,) = trainer.saes.values()
    for parameter in sae.parameters():  # the optimizer holds them
        parameter.data = parameter.data.to(dtype)
    with torch.no_grad():
        sae.encoder.weight.copy_(make_weights())
        if not coder.get("transcode"):
            sae.W_dec.copy_(make_weights())
    log = {"loss": [], "lr": [], "k": []}
    plain = sae.forward

    def forward(*args, **more):
        out = plain(*args, **more)
        log["loss"].append((out.fvu + config.auxk_alpha * out.auxk_loss + out.multi_topk_fvu / 8).item())
        log["lr"].append(trainer.optimizers[0].param_groups[0]["lr"])
        log["k"].append(sae.cfg.k)
        return out

    sae.forward = forward
    trainer.save = lambda: None
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer.fit()
    return log


ADAM = dict(optimizer="adam", lr=2e-3, lr_warmup_steps=20)
RUNS = {
    "topk": (dict(), ADAM),
    "transcoder": (dict(transcode=True), ADAM),
    "skip_transcoder": (dict(transcode=True, skip_connection=True), ADAM),
    "groupmax": (dict(activation="groupmax", k=3), ADAM),
    "k_annealing": (dict(), ADAM | dict(k_decay_steps=60, initial_k=12)),
    "multi_topk": (dict(multi_topk=True), ADAM),
    "signum": (dict(), dict(optimizer="signum", lr=5e-3)),
    "signum_skip_transcoder": (dict(transcode=True, skip_connection=True), dict(optimizer="signum", lr=5e-3)),
    # Muon iterates in float32 here: in bfloat16 two runs of its own, in float32 and float64, are 6e-3 apart.
    "muon": (dict(), dict(optimizer="muon", lr=5e-3, lr_warmup_steps=0)),
    "muon_skip_transcoder": (
        dict(transcode=True, skip_connection=True), dict(optimizer="muon", lr=5e-3, lr_warmup_steps=0)),
    "skip_transcoder_multi_topk": (dict(transcode=True, skip_connection=True, multi_topk=True), ADAM),
}


def main():
    torch.set_num_threads(1)
    golden = {
        "script": Path(__file__).name,
        "versions": {name: version(name) for name in ("torch", "eai-sparsify", "schedulefree")},
        "runs": {},
    }
    for name, settings in RUNS.items():
        log = {key: compact(values) for key, values in run(*settings, torch.float32).items()}
        exact = run(*settings, torch.float64)["loss"]
        error = max(abs(a / b - 1) for a, b in zip(log["loss"], exact))
        for key in ("lr", "k"):
            log[key] = log[key] if len(set(log[key])) > 1 else log[key][:1]
        golden["runs"][name] = log
        print(f"{name}: loss {log['loss'][0]:.4f} -> {log['loss'][-1]:.4f}, float32 against float64 {error:.1e}")
        assert error < 3e-5, "too close to a tie; take another k or learning rate"
    target_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    text = json.dumps(golden, separators=(",", ":")).replace('"runs"', '\n"runs"').replace('},"', '},\n"')
    (target_folder / "sparsify_trainers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
