"""Writes peer_trainers.json: losses of the first 100 steps of the trainers of SAELens and dictionary_learning.

Each run is repeated in float64: where that disagrees, the data are too close to a tie to be a fair test, and the script
stops. Both sides start from the same weights and see the same batches, which a generator of integers gives (rows() and
weights(); PeerTrainersTest has the same one). Needs torch, sae-lens 6.54 and dictionary-learning 0.1.0; what those import
and training does not use is replaced by stubs where it is not installed. What is set here and not left at its default is
in the golden, with the learning rate of each step.
"""

import importlib.abc
import importlib.machinery
import json
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

STEPS, BATCH, D_IN, D_SAE, K, DIRECTIONS = 100, 32, 12, 48, 4, 20


class Stub(MagicMock):
    __path__: list = []
    __all__: list = []


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder: any module that the two packages name and that is missing."""

    NAMES = {"nnsight", "wandb", "transformer_lens", "automated_interpretability", "babe", "matplotlib", "plotly", "nltk",
             "plotly_express", "circuitsvis", "umap", "sklearn", "dotenv", "simple_parsing", "better_abc", "fancy_einsum",
             "jaxtyping", "beartype", "tenacity", "zstandard", "tabulate", "torchvision", "sentencepiece", "requests"}

    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in self.NAMES else None

    def create_module(self, spec):
        return Stub(name=spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Stubs())

import torch  # noqa: E402


class HookPoint(torch.nn.Identity):
    """Of transformer_lens, without hooks."""


class HookedRootModule(torch.nn.Module):
    def setup(self):
        pass


import transformer_lens.hook_points  # noqa: E402, F401
import transformer_lens.HookedTransformer  # noqa: E402, F401

for module in ("transformer_lens", "transformer_lens.hook_points", "transformer_lens.HookedTransformer"):
    sys.modules[module].HookPoint = HookPoint
    sys.modules[module].HookedRootModule = HookedRootModule


class Integers:
    """A linear congruential generator; its upper 16 bits, as a number in [-0.5, 0.5)."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.state >> 16) / 65536 - 0.5

    def take(self, *shape):
        n = 1
        for extent in shape:
            n *= extent
        return torch.tensor([self.next() for _ in range(n)], dtype=torch.float64).reshape(shape)


def make_rows():
    """Sums of a few of 20 directions, in double, rounded to float32."""
    g = Integers(7)
    directions = g.take(DIRECTIONS, D_IN)
    rows = torch.zeros(STEPS * BATCH, D_IN, dtype=torch.float64)
    for row in range(STEPS * BATCH):
        for direction in range(DIRECTIONS):
            u = g.next()
            if u > 0.3:
                rows[row] += (0.5 + 4 * (u - 0.3)) * directions[direction]
        for i in range(D_IN):
            rows[row, i] += 0.05 * g.next()
    return rows.float().reshape(STEPS, BATCH, D_IN)


def make_weights(short=False):
    """W_dec [d_sae, d_in] with unit rows, or with rows of norm 0.05, 0.1, 0.15, 0.05, ...; W_enc is its transpose."""
    W_dec = Integers(11).take(D_SAE, D_IN)
    W_dec = (W_dec / (W_dec**2).sum(-1, keepdim=True).sqrt()).float()
    if short:
        W_dec *= torch.tensor([(1 + latent % 3) * 0.05 for latent in range(D_SAE)])[:, None]
    return W_dec


def saelens(kind, settings, dtype, short=False, window=1000):
    import sae_lens
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    name = {"topk": "TopK", "abstopk": "AbsTopK", "batchtopk": "BatchTopK", "jumprelu": "JumpReLU", "standard": "Standard", "gated": "Gated",
            "matryoshka": "MatryoshkaBatchTopK"}[kind]
    config = getattr(sae_lens, name + "TrainingSAEConfig")(d_in=D_IN, d_sae=D_SAE, device="cpu", dtype=str(dtype)[6:], **settings)
    sae = getattr(sae_lens, name + "TrainingSAE")(config)
    with torch.no_grad():
        W_dec = make_weights(short)
        sae.W_dec.copy_(W_dec)
        sae.W_enc.copy_(W_dec.T)
    trainer = SAETrainer(
        SAETrainerConfig(
            n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=STEPS * BATCH,
            device="cpu", autocast=False, lr=LR, lr_end=LR / 10, lr_scheduler_name="constant", lr_warm_up_steps=0,
            lr_decay_steps=0, n_restart_cycles=1, adam_beta1=0.9, adam_beta2=0.999, train_batch_size_samples=BATCH,
            dead_feature_window=window, feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
        ),
        sae,
        iter([]),
    )
    log = {"loss": [], "l0": [], "lr": []}
    for batch in make_rows().to(dtype):
        log["lr"].append(trainer.optimizer.param_groups[0]["lr"])
        dead = trainer.dead_neurons
        output = trainer.step(batch)
        trainer.n_training_steps += 1
        if window < STEPS:
            log.setdefault("dead", []).append(int(dead.sum()))
            assert not (dead & (output.feature_acts != 0).any(0)).any(), "a dead latent fires; take another window"
        log["loss"].append(output.loss.item())
        log["l0"].append((output.feature_acts != 0).sum(-1).double().mean().item())
    if kind in ("batchtopk", "matryoshka"):
        log["threshold"] = sae.topk_threshold.item()
    if kind == "jumprelu":
        log["threshold"] = sae.threshold.clamp(min=0).double().mean().item()
    return log


def saelens_default(kind, settings, dtype):
    """As it trains by default: latents ranked by activation times decoder norm, rows that are not unit vectors."""
    return saelens(kind, settings, dtype, short=True)


def saelens_dead(kind, settings, dtype):
    """The same with latents that die within the run."""
    return saelens(kind, settings, dtype, short=True, window=WINDOW)


def dictionary_learning(kind, settings, dead, dtype):
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.gdm import GatedSAETrainer
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate

    trainers = {"batchtopk": BatchTopKTrainer, "jumprelu": JumpReluTrainer, "standard": StandardTrainer, "gated": GatedSAETrainer,
                "april": StandardTrainerAprilUpdate, "matryoshka": MatryoshkaBatchTopKTrainer}
    trainer = trainers[kind](
        steps=1000, activation_dim=D_IN, dict_size=D_SAE, layer=0, lm_name="none", device="cpu", lr=LR, **settings
    )
    if dead is not None:
        trainer.dead_feature_threshold = dead
    if hasattr(trainer, "geometric_median"):
        trainer.geometric_median = lambda x: torch.zeros(D_IN, dtype=dtype)  # the same weights on both sides
    ae, W_dec = trainer.ae, make_weights()
    for parameter in ae.parameters():  # the optimizer holds them
        parameter.data = parameter.data.to(dtype)
    with torch.no_grad():
        if hasattr(ae, "W_enc"):
            ae.W_enc.copy_(W_dec.T)
            ae.W_dec.copy_(W_dec)
        else:
            ae.encoder.weight.copy_(W_dec)
            ae.decoder.weight.copy_(W_dec.T)
        for parameter in ae.parameters():
            if parameter.dim() == 1 and parameter is not getattr(ae, "threshold", None):
                parameter.zero_()
    log = {"loss": [], "lr": []}
    for step, batch in enumerate(make_rows().to(dtype)):
        log["lr"].append(trainer.optimizer.param_groups[0]["lr"])
        logged = []
        plain = trainer.loss
        trainer.loss = lambda *args, **more: logged.append(plain(*args, **more)) or logged[-1]
        trainer.update(step, batch)
        trainer.loss = plain
        log["loss"].append(logged[0].item())
    if kind in ("batchtopk", "matryoshka"):
        log["threshold"] = float(ae.threshold)
    if kind == "jumprelu":
        log["threshold"] = ae.threshold.clamp(min=0).double().mean().item()
    return log


LR = 2e-3
WINDOW = 71
RUNS = {
    "saelens_batchtopk": (saelens, "batchtopk", dict(k=3, rescale_acts_by_decoder_norm=False)),
    "dictionary_learning_batchtopk": (
        dictionary_learning, "batchtopk", dict(k=K, warmup_steps=20, threshold_start_step=30), 10 * BATCH),
    "saelens_jumprelu_step": (
        saelens, "jumprelu",
        dict(jumprelu_init_threshold=0.05, jumprelu_bandwidth=0.05, l0_coefficient=0.02, l0_warm_up_steps=10)),
    "saelens_jumprelu_tanh": (
        saelens, "jumprelu",
        dict(jumprelu_init_threshold=0.05, jumprelu_bandwidth=0.1, jumprelu_sparsity_loss_mode="tanh", l0_coefficient=0.02,
             jumprelu_ste_to_input=True)),
    "saelens_jumprelu_quadratic": (
        saelens, "jumprelu",
        dict(jumprelu_init_threshold=0.05, jumprelu_bandwidth=0.05, jumprelu_sparsity_loss_mode="quadratic",
             l0_coefficient=0.002, target_l0=6.0)),
    "dictionary_learning_jumprelu": (
        dictionary_learning, "jumprelu",
        dict(bandwidth=0.01, sparsity_penalty=0.5, warmup_steps=20, sparsity_warmup_steps=30, target_l0=6.0), None),
    "saelens_standard": (saelens, "standard", dict(l1_coefficient=0.1, l1_warm_up_steps=20)),
    "dictionary_learning_standard": (
        dictionary_learning, "standard", dict(l1_penalty=0.1, warmup_steps=20, sparsity_warmup_steps=30), None),
    "dictionary_learning_april": (
        dictionary_learning, "april", dict(l1_penalty=0.1, warmup_steps=20, sparsity_warmup_steps=30), None),
    "saelens_gated": (saelens, "gated", dict(l1_coefficient=0.1, l1_warm_up_steps=20)),
    "dictionary_learning_gated": (
        dictionary_learning, "gated", dict(l1_penalty=0.1, warmup_steps=20, sparsity_warmup_steps=30), None),
    "saelens_matryoshka": (
        saelens, "matryoshka", dict(k=K, rescale_acts_by_decoder_norm=False, matryoshka_widths=[12, 24, 48])),
    "saelens_topk_default": (saelens_default, "topk", dict(k=3)),
    "saelens_abstopk_default": (saelens_default, "abstopk", dict(k=3)),
    "saelens_batchtopk_default": (saelens_default, "batchtopk", dict(k=3)),
    "saelens_matryoshka_default": (saelens_default, "matryoshka", dict(k=3, matryoshka_widths=[12, 24, 48])),
    "saelens_topk_dead": (saelens_dead, "topk", dict(k=3)),
    "saelens_abstopk_dead": (saelens_dead, "abstopk", dict(k=3)),
    "saelens_matryoshka_dead": (
        saelens_dead, "matryoshka", dict(k=3, matryoshka_widths=[12, 24, 48], use_matryoshka_aux_loss=True)),
    "dictionary_learning_matryoshka": (
        dictionary_learning, "matryoshka",
        dict(k=K, warmup_steps=20, threshold_start_step=30, group_fractions=[0.25, 0.25, 0.5]), 10 * BATCH),
}


def compact(values):
    return [float(f"{value:.8g}") for value in values] if isinstance(values, list) else values


def main():
    torch.set_num_threads(1)
    golden = {
        "script": Path(__file__).name,
        "versions": {name: version(name) for name in ("torch", "sae-lens", "dictionary-learning")},
        "runs": {},
    }
    for name, (peer, *arguments) in RUNS.items():
        torch.manual_seed(0)
        log = {key: compact(values) for key, values in peer(*arguments, torch.float32).items()}
        exact = peer(*arguments, torch.float64)["loss"]
        error = max(abs(a / b - 1) for a, b in zip(log["loss"], exact))
        log["lr"] = sorted(set(log["lr"])) if len(set(log["lr"])) == 1 else log["lr"]
        golden["runs"][name] = log
        print(f"{name}: loss {log['loss'][0]:.4f} -> {log['loss'][-1]:.4f}, threshold {log.get('threshold')}, float32 against float64 {error:.1e}")
        assert error < 3e-5, "too close to a tie; take another k or learning rate"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    (target / "peer_trainers.json").write_text(json.dumps(golden, separators=(",", ":")).replace('"runs"', '\n"runs"') + "\n")


if __name__ == "__main__":
    main()
