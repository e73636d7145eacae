"""Writes training_parity.safetensors: the authors' TopK trainer, re-stated in PyTorch, on 200 small batches.

Re-stated from the description of BatchTopK's training.py in its TopK mode (input_unit_norm off): loss over the mean of
all elements, dead latents after 5 batches, auxiliary loss through the residual, decoder normalised and its gradient
projected before Adam's step. The run is repeated in float64: where that disagrees, the data are too close to a tie to
be a fair test, and the script stops.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

SEED, STEPS, BATCH, D_IN, D_SAE, K = 11, 200, 32, 16, 64, 4
LR, BETAS, EPS, CLIP = 2e-3, (0.9, 0.99), 1e-8, 100_000
TOP_K_AUX, AUX_PENALTY, BATCHES_TO_DEAD = 12, 1 / 32, 5


def make_batches():
    """Sparse sums of 24 directions off the origin, rounded to bfloat16 so that the file is half as large."""
    directions = torch.nn.functional.normalize(torch.randn(24, D_IN), dim=1)
    on = torch.rand(STEPS, BATCH, 24) < 0.15
    coefficients = on * (0.5 + torch.rand(STEPS, BATCH, 24))
    rows = coefficients @ directions + 0.3 * torch.randn(D_IN) + 0.02 * torch.randn(STEPS, BATCH, D_IN)
    return rows.bfloat16()


def init():
    bound = (6 / D_SAE) ** 0.5
    W_enc = (torch.rand(D_IN, D_SAE) * 2 - 1) * bound
    W_dec = W_enc.T / W_enc.T.norm(dim=-1, keepdim=True)
    return W_enc, W_dec.contiguous()


def train(batches, W_enc, W_dec, dtype, cuts=(0, BATCH)):
    """Trains on every batch in parts, cut at these rows: gradients accumulate before the one update, each part's loss
    weighted by its share of the rows. A latent is dead in a part when it has not fired up to there."""
    W_enc = torch.nn.Parameter(W_enc.to(dtype).clone())
    W_dec = torch.nn.Parameter(W_dec.to(dtype).clone())
    b_dec = torch.nn.Parameter(torch.zeros(D_IN, dtype=dtype))
    adam = torch.optim.Adam([W_enc, W_dec, b_dec], lr=LR, betas=BETAS, eps=EPS)
    inactive = torch.zeros(D_SAE)
    log = {"loss": [], "aux": [], "dead": [], "l0": []}
    for batch in batches.to(dtype):
        adam.zero_grad()
        fired = torch.zeros(D_SAE, dtype=torch.bool)
        batch_loss, batch_aux, batch_l0 = 0.0, 0.0, 0.0
        for first, last in zip(cuts, cuts[1:]):
            x = batch[first:last]
            share = (last - first) / len(batch)
            acts = torch.relu((x - b_dec) @ W_enc)
            top = acts.topk(K, dim=-1)
            sparse = torch.zeros_like(acts).scatter(-1, top.indices, top.values)
            x_hat = sparse @ W_dec + b_dec
            fired = fired | (sparse.sum(0) > 0)
            now_inactive = torch.where(fired, torch.zeros_like(inactive), inactive + 1)
            l2 = (x_hat - x).pow(2).mean()
            dead = now_inactive >= BATCHES_TO_DEAD
            aux = torch.zeros((), dtype=dtype)
            if dead.any():
                residual = x - x_hat
                dead_acts = acts[:, dead]
                top_aux = dead_acts.topk(min(TOP_K_AUX, int(dead.sum())), dim=-1)
                aux_acts = torch.zeros_like(dead_acts).scatter(-1, top_aux.indices, top_aux.values)
                aux = AUX_PENALTY * (aux_acts @ W_dec[dead] - residual).pow(2).mean()
            loss = (l2 + aux) * share
            loss.backward()
            batch_loss += loss.item()
            batch_aux += aux.item() * share
            batch_l0 += (sparse > 0).double().sum(-1).mean().item() * share
        inactive = now_inactive
        torch.nn.utils.clip_grad_norm_([W_enc, W_dec, b_dec], CLIP)
        with torch.no_grad():
            unit = W_dec / W_dec.norm(dim=-1, keepdim=True)
            W_dec.grad -= (W_dec.grad * unit).sum(-1, keepdim=True) * unit
            W_dec.copy_(unit)
        adam.step()
        log["loss"].append(batch_loss)
        log["aux"].append(batch_aux)
        log["dead"].append(int(dead.sum()))
        log["l0"].append(batch_l0)
    return log, W_enc.detach(), W_dec.detach(), b_dec.detach()


def main():
    torch.manual_seed(SEED)
    batches = make_batches()
    W_enc, W_dec = init()
    log, enc, dec, b_dec = train(batches, W_enc, W_dec, torch.float32)
    exact, enc64, dec64, b_dec64 = train(batches, W_enc, W_dec, torch.float64)
    loss = torch.tensor(log["loss"], dtype=torch.float64)
    loss_error = (loss / torch.tensor(exact["loss"], dtype=torch.float64) - 1).abs().max().item()
    weight_error = max(
        ((a.double() - b).norm() / b.norm()).item() for a, b in [(enc, enc64), (dec, dec64), (b_dec, b_dec64)]
    )
    aux = torch.tensor(log["aux"], dtype=torch.float64)
    dead = torch.tensor(log["dead"])
    print(f"float32 against float64: loss {loss_error:.1e}, weights {weight_error:.1e}")
    print(f"loss {loss[0]:.4f} -> {loss[-1]:.4f}; dead at most {dead.max()}, at the end {dead[-1]}; steps with aux {(aux > 0).sum()}")
    assert loss_error < 1e-5 and weight_error < 1e-4, "too close to a tie; take another seed"
    assert dead.max() > TOP_K_AUX and (dead[5:] < dead[5:].max()).any()
    save_file(
        {
            "batches": batches,
            "W_enc.start": W_enc.T.contiguous(),
            "W_dec.start": W_dec,
            "loss": loss,
            "aux": aux,
            "dead": dead.to(torch.int32),
            "l0": torch.tensor(log["l0"], dtype=torch.float64),
            "W_enc": enc.T.contiguous(),
            "W_dec": dec,
            "b_dec": b_dec,
        },
        Path(__file__).parent / "training_parity.safetensors",
        metadata={"script": Path(__file__).name, "torch": torch.__version__, "seed": str(SEED)},
    )


if __name__ == "__main__":
    main()
