#!/usr/bin/env python3
"""Times other libraries' SAEs on this GPU and prints JSON lines like gpu_bench's; one process for all of them.

    gpu_peers.py [--shapes A,B] [--precisions P,Q] [--peers NAME,...] [--results FILE] [--again] [--rows B] [--openai FILE]

Peers: torch (eager), graph (the same step as one CUDA graph, which leaves out what Python and the launches cost), torch.compile,
sparsify (EleutherAI's, with its Triton kernels; where it is installed), and openai: the study's step with the decoder of OpenAI's
kernels.py (github.com/openai/sparse_autoencoder), whose FILE is given.
Rows: topk (torch.topk, float32), encode, decode, step (the study's, without the auxiliary loss) and step_aux (with it: the
512 largest among dead latents; eager PyTorch leaves it out while nobody is dead, as trainers do, but asks; a graph cannot).
sparsify: its own step, without it. Precisions: fp32 ("highest": no TF32), tf32, bf16 (autocast, whose cache of weights ends with
each step, as in training).
Times: median_us between CUDA events, after 256 MiB have been written so that L2 holds nothing of the last run; at least 5 runs, at
most 50 or 2 seconds of them; api_us of a step: the pace of a loop. Inputs are random, batches rotate.
An id is SHAPE/PRECISION/PEER/ROW; ids that FILE has are not measured again, unless --again. What cannot be imported, does not compile
or does not fit in memory is one line that says so.

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
    "8b": (4096, 16384, 80),
    "1b": (2048, 14336, 48),
    "wide": (4096, 131072, 64),
    "3b": (3072, 18432, 64),
    "tiny": (24, 96, 4),
}
BATCHES = 4
LEAST_RUNS, MOST_RUNS, SECONDS = 5, 50, 2.0
PRECISIONS = ("bf16", "tf32", "fp32")
PEERS = ("torch", "graph", "torch.compile", "sparsify", "openai")
AUX_K, AUX_COEFFICIENT, DEAD_AFTER = 512, 1 / 32, 5


class Timer:
    def __init__(self, device: str):
        self.cuda = device == "cuda"
        self.flush = torch.empty((256 << 20) if self.cuda else 1, dtype=torch.uint8, device=device)

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def microseconds(self, call, prepare) -> list[float]:
        """Sorted; after three calls for allocations, compilation and clocks. `prepare` is not timed."""
        for _ in range(3):
            prepare()
            call()
        self.synchronize()
        times = []
        begin = time.perf_counter()
        while len(times) < MOST_RUNS and (len(times) < LEAST_RUNS or time.perf_counter() - begin < SECONDS):
            prepare()
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

    def pace(self, call, count: int) -> float:
        self.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            call()
        self.synchronize()
        return 1e6 * (time.perf_counter() - begin) / count


class Study:
    """The study's trainer in plain PyTorch: latents scattered into a dense matrix, autograd, fused Adam."""

    def __init__(self, d_in: int, d_sae: int, k: int, device: str):
        bound = (6 / d_sae) ** 0.5
        self.k = k
        self.w_enc = torch.nn.Parameter((2 * torch.rand(d_in, d_sae, device=device) - 1) * bound)
        self.w_dec = torch.nn.Parameter(torch.nn.functional.normalize(self.w_enc.detach().T, dim=-1).contiguous())
        self.b_dec = torch.nn.Parameter(torch.zeros(d_in, device=device))
        self.idle = torch.zeros(d_sae, device=device)  # batches since a latent last fired
        self.skips_aux = True  # while nobody is dead; the question waits for the device
        self.parameters = [self.w_enc, self.w_dec, self.b_dec]
        self.adam = torch.optim.Adam(self.parameters, lr=1e-7, betas=(0.9, 0.99), fused=True, capturable=device == "cuda")

    def encode(self, x):
        return torch.topk(torch.relu((x - self.b_dec) @ self.w_enc), self.k, dim=-1)

    def decode(self, dense, top):
        return torch.zeros_like(dense).scatter(-1, top.indices, top.values) @ self.w_dec

    def loss(self, x):
        return self.losses(x)[0]

    def losses(self, x):
        dense = torch.relu((x - self.b_dec) @ self.w_enc)
        top = torch.topk(dense, self.k, dim=-1)
        error = self.decode(dense, top) + self.b_dec - x
        return error.float().pow(2).mean(), dense, top, error

    def loss_with_aux(self, x):
        loss, dense, top, error = self.losses(x)
        with torch.no_grad():
            fired = torch.zeros_like(self.idle)
            fired.scatter_reduce_(0, top.indices.flatten(), (top.values > 0).flatten().to(fired.dtype), "amax")
            self.idle.add_(1).mul_(1 - fired)
            dead = self.idle >= DEAD_AFTER
        if self.skips_aux and not dead.any():
            return loss
        of_dead = torch.topk(dense * dead, min(AUX_K, dense.shape[-1]), dim=-1)
        return loss + AUX_COEFFICIENT * (self.decode(dense, of_dead) + error).float().pow(2).mean()

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
    adam = torch.optim.Adam(sae.parameters(), lr=1e-7, fused=True)

    def step():
        sae.set_decoder_norm_to_unit_norm()
        sae(x).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()

    return step


def graphed(call):
    """`call` captured as one CUDA graph, by the recipe of PyTorch's documentation; returns its replay."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()

    def replay(kept=call):  # kept: it owns the tensors that the graph works on
        graph.replay()

    return replay


class Peer:
    """The rows of one peer at one shape and precision."""

    def __init__(self, name: str, shape: str, precision: str, options, timer: Timer, done: set[str]):
        self.name, self.shape, self.precision = name, shape, precision
        self.options, self.timer, self.done = options, timer, done
        self.size = SHAPES[shape]
        self.device = options.device
        self.batches = torch.randn(BATCHES, options.rows, self.size[0], device=self.device)
        self.x = self.batches[0].clone()
        self.batch = 0

    def next_batch(self) -> None:
        self.batch += 1
        self.x.copy_(self.batches[self.batch % BATCHES])

    def autocast(self):
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16",
                              cache_enabled=self.name != "graph")

    def report(self, row: str, make, paced: bool = False) -> None:
        """make() prepares and returns what is timed."""
        line = {"id": f"{self.shape}/{self.precision}/{self.name}/{row}", "shape": self.shape, "rows": self.options.rows}
        if line["id"] in self.done:
            return
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        try:
            call = make()
            times = self.timer.microseconds(call, self.next_batch)
            line |= {"runs": len(times), "median_us": round(statistics.median(times), 2),
                     "p10_us": round(times[len(times) // 10], 2), "p90_us": round(times[len(times) * 9 // 10], 2)}
            if paced:
                count = int(min(max(1e6 / statistics.median(times), LEAST_RUNS), MOST_RUNS))
                line["api_us"] = round(self.timer.pace(call, count), 2)
        except Exception as e:  # a peer that fails must not end the comparison
            line["failed"] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:300]
        call = None
        print(json.dumps(line), flush=True)
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def within(self, call):
        """`call` under this precision, each time anew."""
        def run():
            with self.autocast():
                return call()

        return run

    def step(self, study, aux: bool, wrap=lambda f: f):
        loss, project = wrap(study.loss_with_aux if aux else study.loss), wrap(study.project)
        return self.within(lambda: study.step(self.x, loss, project))

    def measure(self) -> None:
        if self.name == "sparsify":
            self.report("step", lambda: self.within(sparsify_step(*self.size, self.device, self.x)), paced=True)
        elif self.name == "openai":
            self.report("step", lambda: self.step(
                WithKernels(openai_kernels(self.options.openai), *self.size, self.device), False), paced=True)
        elif self.name == "graph":
            for aux in (False, True):
                self.report("step_aux" if aux else "step", lambda: self.graphed_step(aux), paced=True)
        else:
            self.measure_torch(torch.compile if self.name == "torch.compile" else lambda f: f)

    def graphed_step(self, aux: bool):
        study = Study(*self.size, self.device)
        study.skips_aux = False
        step = self.step(study, aux)
        return graphed(step) if self.device == "cuda" else step

    def measure_torch(self, wrap) -> None:
        d_sae, k = self.size[1:]

        def topk():
            scores = torch.randn(self.options.rows, d_sae, device=self.device)
            return lambda: torch.topk(scores, k, dim=-1)

        def encode():
            study = Study(*self.size, self.device)
            run = torch.no_grad()(wrap(study.encode))
            return self.within(lambda: run(self.x))

        def decode():
            study = Study(*self.size, self.device)
            with torch.no_grad():
                top = study.encode(self.x)
            return self.within(torch.no_grad()(wrap(lambda: torch.nn.functional.embedding_bag(
                top.indices, study.w_dec, per_sample_weights=top.values, mode="sum") + study.b_dec)))

        if self.name == "torch" and self.precision == "bf16":  # the same in every precision: float32
            self.report("topk", topk)
        self.report("encode", encode)
        if self.precision != "tf32":
            self.report("decode", decode)
        for aux in (False, True):
            self.report("step_aux" if aux else "step",
                        lambda: self.step(Study(*self.size, self.device), aux, wrap), paced=True)


def ids_in(file: str | None) -> set[str]:
    ids = set()
    if file is not None:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                try:
                    ids.add(json.loads(line).get("id"))
                except json.JSONDecodeError:  # the line a killed run was writing
                    pass
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(s for s in SHAPES if s != "tiny"))
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--results", metavar="FILE", help="JSON lines; ids in it are not measured again")
    parser.add_argument("--again", action="store_true", help="measure them again")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--openai", metavar="FILE", help="kernels.py of OpenAI's sparse_autoencoder")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    for given, known, name in ((options.shapes, SHAPES, "--shapes"), (options.precisions, PRECISIONS, "--precisions"),
                               (options.peers, PEERS, "--peers")):
        if not set(given.split(",")) <= set(known):
            sys.exit(f"gpu_peers: expected {name} among {', '.join(known)}, got {given}")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_peers: expected a GPU that PyTorch can use, got none; --device cpu checks the script alone")
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    print(f"gpu_peers: {device}, torch {torch.__version__}", file=sys.stderr, flush=True)
    timer = Timer(options.device)
    done = set() if options.again else ids_in(options.results)
    for precision in options.precisions.split(","):
        for shape in options.shapes.split(","):
            for name in options.peers.split(","):
                Peer(name, shape, precision, options, timer, done).measure()


if __name__ == "__main__":
    main()
