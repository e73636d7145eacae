#!/usr/bin/env python3
"""Times EleutherAI's sparsify and plain PyTorch on what io.faithfulsae.benchmarks.PeerData wrote.

    peers.py check DIR                      stops unless the losses of both recipes' first steps match ours
    peers.py time DIR OUT.json SHAPE...     milliseconds per call, median of the samples

Threads come from OMP_NUM_THREADS. Every tensor is float32.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its Triton kernels need a GPU; eager is its CPU path

import numpy as np
import torch
from safetensors.torch import load_file
from sparsify import SparseCoder, SparseCoderConfig

WARMUP_SECONDS = 2.0
SECONDS = 5.0
LOSS_TOLERANCE = 1e-3


class Workload:
    def __init__(self, directory: Path, shape: str):
        self.rows, self.d_in, self.d_sae, self.k = map(int, shape.split("x"))
        tensors = load_file(directory / f"{shape}.safetensors")
        self.x = tensors["activations"]
        self.encoder = tensors["encoder"]
        self.decoder = tensors["decoder"]


class Sparsify:
    """sparsify's SparseCoder, stepped as its trainer does with optimizer="adam"."""

    def __init__(self, work: Workload, fused_adam: bool = False):
        self.work = work
        config = SparseCoderConfig(num_latents=work.d_sae, k=work.k)
        self.sae = SparseCoder(work.d_in, config, dtype=torch.float32)
        with torch.no_grad():
            self.sae.encoder.weight.copy_(work.encoder)
            self.sae.W_dec.copy_(work.decoder)
        lr = 2e-4 / (work.d_sae / 2**14) ** 0.5
        self.adam = torch.optim.Adam(self.sae.parameters(), lr=lr, fused=fused_adam)
        self.idle = torch.zeros(work.d_sae, dtype=torch.long)

    def step(self) -> float:
        self.sae.set_decoder_norm_to_unit_norm()
        out = self.sae(self.work.x)
        out.fvu.backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        self.adam.step()
        self.adam.zero_grad()
        fired = torch.zeros(self.work.d_sae, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        self.idle += self.work.rows
        self.idle[fired] = 0
        return out.fvu.item()

    @torch.no_grad()
    def encode(self):
        return self.sae.encode(self.work.x)

    @torch.no_grad()
    def decode(self, latents):
        return self.sae.decode(latents.top_acts, latents.top_indices)


class Dense:
    """The study's trainer in plain PyTorch: latents scattered into a dense matrix, autograd, dense Adam."""

    def __init__(self, work: Workload, fused_adam: bool = False):
        self.work = work
        self.w_enc = torch.nn.Parameter(work.encoder.T.contiguous())
        self.w_dec = torch.nn.Parameter(work.decoder.clone())
        self.b_dec = torch.nn.Parameter(torch.zeros(work.d_in))
        self.parameters = [self.w_enc, self.w_dec, self.b_dec]
        self.adam = torch.optim.Adam(self.parameters, lr=3e-4, betas=(0.9, 0.99), fused=fused_adam)
        self.idle = torch.zeros(work.d_sae, dtype=torch.long)

    def step(self) -> float:
        x, k = self.work.x, self.work.k
        dense = torch.relu((x - self.b_dec) @ self.w_enc)
        top = torch.topk(dense, k, dim=-1)
        z = torch.zeros_like(dense).scatter(-1, top.indices, top.values)
        error = z @ self.w_dec + self.b_dec - x
        loss = error.pow(2).mean()
        self.idle += 1
        self.idle[(z > 0).any(0)] = 0
        dead = self.idle >= 5
        if dead.any():
            dead_acts = dense[:, dead]
            top = torch.topk(dead_acts, min(512, dead_acts.shape[1]), dim=-1)
            z_aux = torch.zeros_like(dead_acts).scatter(-1, top.indices, top.values)
            loss = loss + (z_aux @ self.w_dec[dead] + error).pow(2).mean() / 32
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1e5)
        with torch.no_grad():
            unit = self.w_dec / self.w_dec.norm(dim=-1, keepdim=True)
            self.w_dec.grad -= (self.w_dec.grad * unit).sum(-1, keepdim=True) * unit
            self.w_dec.copy_(unit)
        self.adam.step()
        self.adam.zero_grad()
        return loss.item()


def check(directory: Path) -> None:
    ours = json.loads((directory / "ours.json").read_text())["losses"]
    for shape, recipes in ours.items():
        work = Workload(directory, shape)
        for recipe, peer in (("SPARSIFY", Sparsify(work)), ("STUDY", Dense(work))):
            for step, expected in enumerate(recipes[recipe]):
                loss = peer.step()
                if abs(loss - expected) > LOSS_TOLERANCE * abs(expected):
                    sys.exit(f"{shape} {recipe} step {step}: our loss {expected}, theirs {loss}")
            print(f"{shape} {recipe}: the first {len(recipes[recipe])} losses agree, the last is {loss:.6f}")


def milliseconds(call) -> float:
    begin = time.perf_counter()
    while time.perf_counter() - begin < WARMUP_SECONDS:
        call()
    samples = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < SECONDS or len(samples) < 5:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return 1000 * statistics.median(samples)


def timings(work: Workload) -> dict[str, float]:
    sparsify, sparsify_fused = Sparsify(work), Sparsify(work, fused_adam=True)
    dense, dense_fused = Dense(work), Dense(work, fused_adam=True)
    result = {
        "sparsify step": milliseconds(sparsify.step),
        "sparsify step, fused Adam": milliseconds(sparsify_fused.step),
        "dense torch step": milliseconds(dense.step),
        "dense torch step, fused Adam": milliseconds(dense_fused.step),
        "sparsify encode": milliseconds(sparsify.encode),
    }
    latents = sparsify.encode()
    result["sparsify decode"] = milliseconds(lambda: sparsify.decode(latents))
    weights = work.encoder.T
    out = torch.empty(work.rows, work.d_sae)
    result["torch sgemm"] = milliseconds(lambda: torch.mm(work.x, weights, out=out))
    x_numpy, w_numpy, out_numpy = work.x.numpy(), weights.numpy(), out.numpy()
    result["numpy (OpenBLAS) sgemm"] = milliseconds(lambda: np.matmul(x_numpy, w_numpy, out=out_numpy))
    return result


def main() -> None:
    global WARMUP_SECONDS, SECONDS
    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    directory = Path(sys.argv[2])
    if sys.argv[1] == "check":
        check(directory)
        return
    if "PEERS_SECONDS" in os.environ:
        SECONDS = float(os.environ["PEERS_SECONDS"])
        WARMUP_SECONDS = SECONDS / 2
    shapes = {shape: timings(Workload(directory, shape)) for shape in sys.argv[4:]}
    report = {"torch": torch.__version__, "numpy": np.__version__, "threads": threads, "milliseconds": shapes}
    Path(sys.argv[3]).write_text(json.dumps(report, indent=2))


main()
