"""Times a training step and encoding of each family in SAELens and dictionary_learning, on what FamilyData wrote.

    families.py check DIR                       stops unless the losses of the first steps match ours
    families.py time DIR OUT.json SHAPE...      milliseconds per call, median of the samples
    families.py report DIR ROUNDS RESULTS.md RESULTS.json

A step is the trainer's own, with its optimizer and bookkeeping, at a learning rate at which no weight changes, as ours;
the SAEs have our weights and thresholds. Threads come from OMP_NUM_THREADS. Every tensor is float32.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

from results_file import commit, machine, write_section

STANDING_STILL = 0.0
LOSS_TOLERANCE = 1e-3
RECIPES = {"saelens": "SAELENS", "dictionary_learning": "DICTIONARY_LEARNING"}
PEERS = {"saelens": "SAELens", "dictionary_learning": "dictionary_learning"}
FAMILIES = {"topk": "TopK", "batchtopk": "BatchTopK", "matryoshka": "Matryoshka", "jumprelu": "JumpReLU",
            "relu": "ReLU, half of the latents fire", "relu-sparse": "ReLU, k latents fire", "gated": "gated"}
ENCODED = {"topk": "TopK", "jumprelu": "JumpReLU (and trained BatchTopK, Matryoshka)", "relu-sparse": "ReLU, k latents fire",
           "gated": "gated"}


class Workload:
    def __init__(self, directory, shape):
        from safetensors.torch import load_file

        self.rows, self.d_in, self.d_sae, self.k = map(int, shape.split("x"))
        tensors = load_file(directory / f"{shape}.safetensors")
        self.x, self.encoder, self.decoder = tensors["activations"], tensors["encoder"], tensors["decoder"]
        self.threshold = json.loads((directory / "families.json").read_text())["shapes"][shape]["threshold"]


def plain(family):
    return "relu" if family == "relu-sparse" else family


def load(sae, work, family):
    """Puts the workload's weights into a peer's SAE, and the thresholds that leave k latents a row."""
    import torch

    bias = {"relu-sparse": -work.threshold, "gated": -work.threshold}.get(family)
    with torch.no_grad():
        if hasattr(sae, "W_enc"):
            sae.W_enc.copy_(work.encoder.T)
            sae.W_dec.copy_(work.decoder)
        else:  # torch's linear layers
            sae.encoder.weight.copy_(work.encoder)
            sae.decoder.weight.copy_(work.decoder.T)
        if family == "jumprelu":
            sae.threshold.fill_(work.threshold)
        if family == "gated":
            (sae.b_gate if hasattr(sae, "b_gate") else sae.gate_bias).fill_(bias)
        if family == "relu-sparse":
            (sae.b_enc if hasattr(sae, "b_enc") else sae.encoder.bias).fill_(bias)
            if hasattr(sae, "decoder"):  # its default is a random bias
                return sae
        if hasattr(sae, "encoder") and sae.encoder.bias is not None:
            sae.encoder.bias.zero_()
    return sae


def settings(peer, family, work, lr):
    chosen = {"lr": lr, "warmup_steps": 0}
    if family in ("topk", "batchtopk", "matryoshka"):
        chosen["k"] = work.k
        if peer == "saelens" and family != "topk":
            chosen["rescale_acts_by_decoder_norm"] = False  # ranking as ours does, and a little less work
    if family == "matryoshka" and peer == "saelens":
        chosen["matryoshka_widths"] = [work.d_sae // 4, work.d_sae // 2, work.d_sae]
    if family == "matryoshka" and peer == "dictionary_learning":
        chosen["group_fractions"] = [0.25, 0.25, 0.5]
    return chosen


def stepper(peer, family, work, lr):
    """A function that makes one step and returns its loss."""
    import saes

    chosen = settings(peer, family, work, lr)
    if peer == "saelens":
        trainer = saes.saelens(plain(family), work.d_in, work.d_sae, 10**6 * work.rows, work.rows, 1000, chosen)
        load(trainer.sae, work, family)

        def step():
            loss = trainer.step(work.x).loss.item()
            trainer.n_training_steps += 1
            return loss

        return step
    trainer = saes.dictionary_learning(plain(family), work.d_in, work.d_sae, 10**6, 10**7, chosen)
    load(trainer.ae, work, family)
    # Its first step sets b_dec of these to the median of the rows; ours starts at zero.
    steps = iter(range(1 if "k" in chosen else 0, 10**9))
    kept = []
    inner = trainer.loss
    trainer.loss = lambda *args, **more: kept.append(inner(*args, **more)) or kept[-1]

    def step():
        kept.clear()
        trainer.update(next(steps), work.x)
        return kept[0].item()

    return step


def encoder(peer, family, work):
    import saes

    if peer == "saelens":
        return load(saes.saelens_inference(plain(family), work.d_in, work.d_sae, work.k), work, family).encode
    chosen = settings(peer, family, work, STANDING_STILL)
    trainer = saes.dictionary_learning(plain(family), work.d_in, work.d_sae, 10**6, 10**7, chosen)
    return load(trainer.ae, work, family).encode


def check(directory):
    ours = json.loads((directory / "families.json").read_text())
    for shape, written in ours["shapes"].items():
        work = Workload(directory, shape)
        worst = 0.0
        for peer, recipe in RECIPES.items():
            for family, losses in written["losses"][recipe].items():
                step = stepper(peer, family, work, ours["learning_rate"])
                for number, expected in enumerate(losses):
                    error = abs(step() / expected - 1)
                    worst = max(worst, error)
                    if error > LOSS_TOLERANCE:
                        sys.exit(f"{shape} {peer} {family} step {number}: our loss {expected}, theirs off by {error:.1e}")
        print(f"{shape}: the first losses of every trainer agree to {worst:.1e}")


def milliseconds(call, seconds):
    call()
    samples = []
    begin = time.perf_counter()
    while not samples or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return 1000 * statistics.median(samples)


def timings(directory, out, shapes):
    import torch

    seconds = float(os.environ.get("PEERS_SECONDS", "1"))
    measured = {}
    for shape in shapes:
        work = Workload(directory, shape)
        times = measured[shape] = {"step": {}, "encode": {}}
        for peer in PEERS:
            for family in FAMILIES:
                times["step"][f"{peer} {family}"] = milliseconds(stepper(peer, family, work, STANDING_STILL), seconds)
            for family in ENCODED:
                with torch.no_grad():
                    encode = encoder(peer, family, work)
                    times["encode"][f"{peer} {family}"] = milliseconds(lambda: encode(work.x), seconds)
    out.write_text(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "milliseconds": measured}, indent=1))


def read_ours(path):
    times = {}
    for entry in json.loads(path.read_text()):
        assert entry["primaryMetric"]["scoreUnit"] == "ms/op"
        parameters = entry["params"]
        what = entry["benchmark"].split(".")[-1]
        times[what, parameters["shape"], parameters.get("recipe"), parameters["activation"]] = entry["primaryMetric"]["score"]
    return times


def comparisons(rounds, ours, peers):
    """One entry per line of the table: ours and theirs in ms, and the ratio of each round."""
    for shape in peers[0]["milliseconds"]:
        for what, families in (("step", FAMILIES), ("encode", ENCODED)):
            for family in families:
                for peer, recipe in RECIPES.items():
                    mine = [r[what, shape, recipe if what == "step" else None, family] for r in ours]
                    theirs = [r["milliseconds"][shape][what][f"{peer} {family}"] for r in peers]
                    ratios = [t / m for t, m in zip(theirs, mine)]
                    yield {"shape": shape, "operation": what, "family": family, "peer": peer, "ms": statistics.median(mine),
                           "their_ms": statistics.median(theirs), "ratio": statistics.median(ratios), "ratios": ratios}


def report(directory, rounds, results_md, results_json):
    from importlib.metadata import version

    ours = [read_ours(directory / f"steps-{r}.json") | read_ours(directory / f"encode-{r}.json") for r in range(1, rounds + 1)]
    peers = [json.loads((directory / f"peers-{r}.json").read_text()) for r in range(1, rounds + 1)]
    results = list(comparisons(rounds, ours, peers))
    facts = {"commit": commit(), "machine": machine(), "threads": peers[0]["threads"], "rounds": rounds,
             "sae_lens": version("sae-lens"), "dictionary_learning": version("dictionary-learning"), "torch": peers[0]["torch"],
             "our_backend": json.loads((directory / "families.json").read_text())["device"]}
    lines = [
        "# Measured on each family", "",
        "Written by `benchmarks/run-families.sh`; [README.md](README.md) says what each line computes. Ratios are theirs over ours, from one",
        "round each (above 1: ours is faster): median and range over the rounds.", "",
        f"- Recorded at commit {facts['commit']}.",
        f"- Machine: {facts['machine']}; {facts['threads']} threads on each side, {rounds} rounds in turn.",
        f"- Ours: `{facts['our_backend']}`",
        f"- Theirs: SAELens {facts['sae_lens']}, dictionary_learning {facts['dictionary_learning']}, PyTorch {facts['torch']}.",
        f"- Smallest ratio of a step: {min(r['ratio'] for r in results if r['operation'] == 'step'):.2f}; of encoding: "
        f"{min(r['ratio'] for r in results if r['operation'] == 'encode'):.2f}.", "",
        "| rows x d_in x d_sae x k | operation | family | against | ours, ms | theirs, ms | theirs / ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        names = ENCODED if r["operation"] == "encode" else FAMILIES
        lines.append(f"| {r['shape']} | {r['operation']} | {names[r['family']]} | {PEERS[r['peer']]} | {r['ms']:.2f} | {r['their_ms']:.2f} "
                     f"| {r['ratio']:.2f} ({min(r['ratios']):.2f} to {max(r['ratios']):.2f}) |")
    write_section(results_md, lines)
    results_json.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
    print("\n".join(lines))


def main():
    if sys.argv[1] != "report":
        import saes  # noqa: F401  before torch: the stubs
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    match sys.argv[1:]:
        case ["check", directory]:
            check(Path(directory))
        case ["time", directory, out, *shapes]:
            timings(Path(directory), Path(out), shapes)
        case ["report", directory, rounds, results_md, results_json]:
            report(Path(directory), int(rounds), Path(results_md), Path(results_json))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
