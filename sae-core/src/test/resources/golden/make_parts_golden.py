"""Writes training_parts.safetensors: the run of training_parity.safetensors with each batch in two unequal parts, whose
gradients PyTorch accumulates before the one update of its Adam.

Batches and start are those of training_parity.safetensors, which is there already. The run is repeated in float64: where
that disagrees, the data are too close to a tie to be a fair test, and the script stops.
"""

from pathlib import Path

import torch
from make_training_goldens import train
from safetensors.torch import load_file, save_file

CUTS = (0, 20, 32)
HERE = Path(__file__).parent


def main():
    whole = load_file(HERE / "training_parity.safetensors")
    start = whole["batches"], whole["W_enc.start"].T.contiguous(), whole["W_dec.start"]
    log, enc, dec, b_dec = train(*start, torch.float32, CUTS)
    exact, enc64, dec64, b_dec64 = train(*start, torch.float64, CUTS)
    loss = torch.tensor(log["loss"], dtype=torch.float64)
    loss_error = (loss / torch.tensor(exact["loss"], dtype=torch.float64) - 1).abs().max().item()
    weight_error = max(
        ((a.double() - b).norm() / b.norm()).item() for a, b in [(enc, enc64), (dec, dec64), (b_dec, b_dec64)]
    )
    unlike = ((enc.T - whole["W_enc"]).norm() / whole["W_enc"].norm()).item()
    print(f"float32 against float64: loss {loss_error:.1e}, weights {weight_error:.1e}; against whole batches {unlike:.1e}")
    assert loss_error < 1e-5 and weight_error < 1e-4, "too close to a tie; take other cuts"
    assert unlike > 1e-2, "parts do not show"
    save_file(
        {
            "loss": loss,
            "aux": torch.tensor(log["aux"], dtype=torch.float64),
            "dead": torch.tensor(log["dead"], dtype=torch.int32),
            "W_enc": enc.T.contiguous(),
            "W_dec": dec,
            "b_dec": b_dec,
        },
        HERE / "training_parts.safetensors",
        metadata={"script": Path(__file__).name, "torch": torch.__version__},
    )


main()
