"""SAELens' and dictionary_learning's own trainers, driven on given rows without a language model.

What the two packages import for language models and logging is replaced by stubs where it is not installed, as for the
goldens of the same trainers.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "sae-core/src/test/resources/golden"))

import make_peer_trainer_goldens  # noqa: E402, F401  the stubs
import torch  # noqa: E402

SAELENS = {"topk": "TopK", "batchtopk": "BatchTopK", "matryoshka": "MatryoshkaBatchTopK", "jumprelu": "JumpReLU",
           "relu": "Standard", "gated": "Gated"}


def saelens(family, d_in, d_sae, rows, batch, dead_after_batches, settings, data=()):
    """Its SAETrainer over an iterable of batches: .fit() trains, .step(x) makes one step, .sae is the SAE."""
    import sae_lens
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    settings = dict(settings)
    lr, warmup = settings.pop("lr"), settings.pop("warmup_steps")
    name = SAELENS[family]
    config = getattr(sae_lens, name + "TrainingSAEConfig")(d_in=d_in, d_sae=d_sae, device="cpu", dtype="float32", **settings)
    sae = getattr(sae_lens, name + "TrainingSAE")(config)
    trainer = SAETrainerConfig(
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=rows, device="cpu",
        autocast=False, lr=lr, lr_end=lr / 10, lr_scheduler_name="constant", lr_warm_up_steps=warmup, lr_decay_steps=0,
        adam_beta1=0.9, adam_beta2=0.999, train_batch_size_samples=batch, dead_feature_window=dead_after_batches,
        feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
    )
    return SAETrainer(trainer, sae, iter(data))


def dictionary_learning_trainer(family):
    from dictionary_learning.trainers import gdm, jumprelu, standard
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    return {"topk": TopKTrainer, "batchtopk": BatchTopKTrainer, "matryoshka": MatryoshkaBatchTopKTrainer,
            "jumprelu": jumprelu.JumpReluTrainer, "relu": standard.StandardTrainer, "gated": gdm.GatedSAETrainer}[family]


def dictionary_learning(family, d_in, d_sae, steps, dead_after_rows, settings):
    """Its trainer: .update(step, x) makes one step, .ae is the SAE."""
    trainer = dictionary_learning_trainer(family)(
        steps=steps, activation_dim=d_in, dict_size=d_sae, layer=0, lm_name="none", device="cpu", **settings)
    if hasattr(trainer, "dead_feature_threshold"):
        trainer.dead_feature_threshold = dead_after_rows
    return trainer


def saelens_inference(family, d_in, d_sae, k):
    """The class that its SAEs of a family are loaded as; BatchTopK and Matryoshka become JumpReLU."""
    import sae_lens

    name = {"topk": "TopK", "relu": "Standard", "gated": "Gated"}.get(family, "JumpReLU")
    settings = {"k": k} if name == "TopK" else {}
    config = getattr(sae_lens, name + "SAEConfig")(d_in=d_in, d_sae=d_sae, device="cpu", dtype="float32", **settings)
    return getattr(sae_lens, name + "SAE")(config)
