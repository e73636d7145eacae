#!/usr/bin/env python3
"""Times other libraries' SAEs on this GPU and prints JSON lines like gpu_bench's.

    gpu_peers.py [--shape gpt2|1b|3b|8b|wide] [--rows B] [--peers NAME,...] [--openai FILE] [--device cuda]

Peers: torch (eager), torch.compile, sparsify (EleutherAI's, with its Triton kernels; where it is installed), and openai: the study's step
with the decoder of OpenAI's kernels.py (github.com/openai/sparse_autoencoder), whose FILE is given.
Rows: torch.topk on float32; encode + top-k and decode; a training step as the study does it; sparsify's own step.
Each in float32 ("highest": no TF32), TF32, and with bfloat16 operands (autocast). Medians
over runs between CUDA events, after 256 MiB have been written so that L2 holds nothing of the last run. Inputs are random.
What cannot be imported, does not compile or does not fit in memory is one line that says so.

--device cpu checks the script where there is no GPU, at the size of --rows; its times mean nothing.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time

import torch

SHAPES = {
    "gpt2": (768, 12288, 16),
    "1b": (2048, 14336, 48),
    "3b": (3072, 18432, 64),
    "8b": (4096, 16384, 80),
    "wide": (4096, 131072, 64),
    "tiny": (24, 96, 4),
}
RUNS = 20
SECONDS = 6.0  # for one row, the runs are fewer if need be
PRECISIONS = ("fp32", "tf32", "bf16")
PEERS = ("torch", "torch.compile", "sparsify", "openai")


class Timer:
    def __init__(self, device: str):
        self.cuda = device == "cuda"
        self.flush = torch.empty((256 << 20) if self.cuda else 1, dtype=torch.uint8, device=device)

    def microseconds(self, call) -> list[float]:
        for _ in range(3):  # allocations, compilation, clocks
            call()
        times = []
        begin = time.perf_counter()
        while len(times) < RUNS and (len(times) < 3 or time.perf_counter() - begin < SECONDS):
            self.flush.fill_(len(times))
            if self.cuda:
                before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                before.record()
                call()
                after.record()
                after.synchronize()
                times.append(1e3 * before.elapsed_time(after))
            else:
                start = time.perf_counter()
                call()
                times.append(1e6 * (time.perf_counter() - start))
        return sorted(times)


class Study:
    """The study's trainer in plain PyTorch: latents scattered into a dense matrix, autograd, fused Adam."""

    def __init__(self, d_in: int, d_sae: int, k: int, device: str):
        bound = (6 / d_sae) ** 0.5
        self.k = k
        self.w_enc = torch.nn.Parameter((2 * torch.rand(d_in, d_sae, device=device) - 1) * bound)
        self.w_dec = torch.nn.Parameter(torch.nn.functional.normalize(self.w_enc.detach().T, dim=-1).contiguous())
        self.b_dec = torch.nn.Parameter(torch.zeros(d_in, device=device))
        self.parameters = [self.w_enc, self.w_dec, self.b_dec]
        self.adam = torch.optim.Adam(self.parameters, lr=3e-4, betas=(0.9, 0.99), fused=True)

    def encode(self, x):
        return torch.topk(torch.relu((x - self.b_dec) @ self.w_enc), self.k, dim=-1)

    def decode(self, dense, top):
        return torch.zeros_like(dense).scatter(-1, top.indices, top.values) @ self.w_dec

    def loss(self, x):
        dense = torch.relu((x - self.b_dec) @ self.w_enc)
        top = torch.topk(dense, self.k, dim=-1)
        return (self.decode(dense, top) + self.b_dec - x).float().pow(2).mean()

    @torch.no_grad()
    def project(self):
        unit = self.w_dec / self.w_dec.norm(dim=-1, keepdim=True)
        self.w_dec.grad -= (self.w_dec.grad * unit).sum(-1, keepdim=True) * unit
        self.w_dec.copy_(unit)

    def step(self, x, loss, project):
        loss(x).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1e5)
        project()
        self.adam.step()
        self.adam.zero_grad()


class WithKernels(Study):
    """The same, decoded by OpenAI's kernels: forward, both gradients."""

    def __init__(self, kernels, *shape_and_device):
        super().__init__(*shape_and_device)
        self.decoder = kernels.TritonDecoderAutograd

    def decode(self, dense, top):
        return self.decoder.apply(top.indices, top.values.float(), self.w_dec.T)


def openai_kernels(file: str | None):
    if file is None:
        raise ImportError("no kernels.py of OpenAI's was given; --openai FILE")
    spec = importlib.util.spec_from_file_location("openai_kernels", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sparsify_step(d_in: int, d_sae: int, k: int, device: str, x):
    from sparsify import SparseCoder, SparseCoderConfig

    sae = SparseCoder(d_in, SparseCoderConfig(num_latents=d_sae, k=k), device=device, dtype=torch.float32)
    adam = torch.optim.Adam(sae.parameters(), lr=1e-4, fused=True)

    def step():
        sae.set_decoder_norm_to_unit_norm()
        sae(x).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()

    return step


def measure(name: str, shape: str, rows: int, device: str, timer: Timer, openai: str | None) -> None:
    d_in, d_sae, k = SHAPES[shape]

    def report(row: str, precision: str, make) -> None:
        """make() prepares and returns what is timed."""
        line = {"peer": name, "row": row, "precision": precision, "shape": shape, "rows": rows}
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        try:
            call = make()
            with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16"):
                times = timer.microseconds(call)
            line |= {"runs": len(times), "median_us": round(statistics.median(times), 2),
                     "p10_us": round(times[len(times) // 10], 2), "p90_us": round(times[len(times) * 9 // 10], 2)}
        except Exception as e:  # a peer that fails must not end the comparison
            line["failed"] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:300]
        print(json.dumps(line), flush=True)
        if device == "cuda":
            torch.cuda.empty_cache()

    x = torch.randn(rows, d_in, device=device)
    if name == "sparsify":
        for precision in ("fp32", "bf16"):
            report("train_step", precision, lambda: sparsify_step(d_in, d_sae, k, device, x))
        return

    if name == "openai":
        def openai_step():
            study = WithKernels(openai_kernels(openai), d_in, d_sae, k, device)
            return lambda: study.step(x, study.loss, study.project)

        for precision in PRECISIONS:
            report("train_step", precision, openai_step)
        return

    wrap = torch.compile if name == "torch.compile" else lambda f: f

    def of_study(what):
        def make():
            return what(Study(d_in, d_sae, k, device))

        return make

    def encode(study):
        run = torch.no_grad()(wrap(study.encode))
        return lambda: run(x)

    def decode(study):
        with torch.no_grad():
            top = study.encode(x)
        bag = torch.no_grad()(
            wrap(lambda: torch.nn.functional.embedding_bag(
                top.indices, study.w_dec, per_sample_weights=top.values, mode="sum") + study.b_dec))
        return bag

    def step(study):
        loss, project = wrap(study.loss), wrap(study.project)
        return lambda: study.step(x, loss, project)

    if name == "torch":
        def topk():
            scores = torch.randn(rows, d_sae, device=device)
            return lambda: torch.topk(scores, k, dim=-1)

        report("topk", "fp32", topk)
    report("decode", "fp32", of_study(decode))
    for precision in PRECISIONS:
        report("encode_topk", precision, of_study(encode))
        report("train_step", precision, of_study(step))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--openai", metavar="FILE", help="kernels.py of OpenAI's sparse_autoencoder")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    peers = options.peers.split(",")
    if not set(peers) <= set(PEERS):
        sys.exit(f"gpu_peers: expected --peers among {', '.join(PEERS)}, got {options.peers}")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_peers: expected a GPU that PyTorch can use, got none; --device cpu checks the script alone")
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    print(json.dumps({"device": device, "torch": torch.__version__}), flush=True)
    timer = Timer(options.device)
    for shape in [options.shape] if options.shape else [s for s in SHAPES if s != "tiny"]:
        for name in peers:
            measure(name, shape, options.rows, options.device, timer, options.openai)


if __name__ == "__main__":
    main()
