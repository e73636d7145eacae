"""Writes what transformers computes with the models of make_model_goldens.py when hooks change their activations.
Usage: python make_intervention_goldens.py

interventions.safetensors in each folder, all float32: `tokens`; `site.HOOK`, the activations at hook_embed, attn.hook_z and
mlp.hook_post of each block; the weights of two SAEs, `relu.*` at blocks.1.hook_resid_pre and `topk.*` at blocks.1.attn.hook_z; and
`logits.CASE` of the cases below, each computed by forward hooks in PyTorch from the definitions alone. Folders that have one already
are left as they are.
"""

import pathlib
import platform

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SHAPE = (2, 7)
LATENTS = 16
K = 4


def parts(model):
    """Each block with the modules that read its attn.hook_z and its mlp.hook_post."""
    body = getattr(model.base_model, "language_model", model.base_model)
    for block in getattr(body, "layers", None) or body.h:
        attention = next(getattr(block, n) for n in ("self_attn", "attention", "attn") if hasattr(block, n))
        z = next(getattr(attention, n) for n in ("o_proj", "dense", "c_proj") if hasattr(attention, n))
        post = next(getattr(block.mlp, n) for n in ("down_proj", "dense_4h_to_h", "c_proj") if hasattr(block.mlp, n))
        yield block, z, post


def modules(model):
    """The module whose input is the activation, by hook point."""
    found = {}
    for layer, (block, z, post) in enumerate(parts(model)):
        found[f"blocks.{layer}.hook_resid_pre"] = block
        found[f"blocks.{layer}.attn.hook_z"] = z
        found[f"blocks.{layer}.mlp.hook_post"] = post
    return found


def run(model, tokens, changes):
    """Logits with the input of some modules replaced by a function of it."""
    at = modules(model)
    handles = []
    for hook, change in changes.items():
        def replace(_module, inputs, kwargs, change=change):
            if inputs:
                return (change(inputs[0]), *inputs[1:]), kwargs
            return inputs, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}
        handles.append(at[hook].register_forward_pre_hook(replace, with_kwargs=True))
    with torch.no_grad():
        logits = model(tokens, use_cache=False).logits
    for handle in handles:
        handle.remove()
    return logits


def record(model, tokens):
    """The activations at every module of `modules`, and the token embeddings."""
    seen = {}
    changes = {hook: (lambda x, hook=hook: seen.setdefault(hook, x.clone())) for hook in modules(model)}
    run(model, tokens, changes)
    if model.config.model_type == "gpt2":
        seen["hook_embed"] = model.transformer.wte(tokens).detach()
    else:  # all other models add nothing to the embedding before the first block
        seen["hook_embed"] = seen["blocks.0.hook_resid_pre"].clone()
    return {f"site.{hook}": x.contiguous() for hook, x in seen.items() if "resid" not in hook}


def make_sae(rows):
    """Random directions, scaled so that about half of the latents fire on the rows."""
    width = rows.shape[-1]
    directions = torch.randn(LATENTS, width)
    directions /= directions.norm(dim=-1, keepdim=True)
    return {
        "w_enc": directions + 0.1 * torch.randn(LATENTS, width), "w_dec": directions,
        "b_enc": 0.1 * torch.randn(LATENTS), "b_dec": rows.reshape(-1, width).mean(0),
    }


def encode(sae, x, k=None):
    z = torch.relu((x - sae["b_dec"]) @ sae["w_enc"].T + sae["b_enc"])
    if k is not None:
        kept = torch.zeros_like(z).scatter(-1, z.topk(k, dim=-1).indices, 1.0)
        z = z * kept
    return z


def clamp(sae, targets, k=None):
    """x - x_hat(z) + x_hat(z with targets): the SAE's error stays."""
    def change(x):
        z = encode(sae, x, k)
        clamped = z.clone()
        for latent, value in targets.items():
            clamped[..., latent] = value
        return x + (clamped - z) @ sae["w_dec"]
    return change


def strongest(sae, x, k=None):
    """The latent that fires most often, and by the largest mean."""
    z = encode(sae, x, k)
    return int(((z > 0).float().mean((0, 1)) + 1e-3 * z.mean((0, 1))).argmax())


for folder in sorted(path.parent for path in HERE.glob("*/config.json")):
    number = len(list(HERE.glob("*/interventions.safetensors")))
    if (folder / "interventions.safetensors").exists() or (folder / "model.onnx").exists():
        continue
    torch.manual_seed(200 + number)
    # Not sdpa, which leaves out Gemma 2's bound of the scores.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    text = model.config.get_text_config()
    tokens = torch.randint(0, text.vocab_size, SHAPE)
    expected = {"tokens": tokens.int(), **record(model, tokens)}
    seen = {}
    first, second = "blocks.1.hook_resid_pre", "blocks.1.attn.hook_z"
    run(model, tokens, {hook: (lambda x, hook=hook: seen.setdefault(hook, x.clone())) for hook in (first, second)})
    relu, topk = make_sae(seen[first]), make_sae(seen[second])
    a, b = strongest(relu, seen[first]), strongest(topk, seen[second], K)
    other = (a + 1) % LATENTS
    direction = torch.randn(seen[first].shape[-1])
    add = lambda x: x + 1.5 * direction
    expected["direction"] = direction
    expected["latents"] = torch.tensor([[a, other, b]], dtype=torch.int32)
    for name, sae in (("relu", relu), ("topk", topk)):
        expected.update({f"{name}.{key}": value for key, value in sae.items()})
    cases = {
        "add": {first: add},
        "clamp": {first: clamp(relu, {a: 3.0})},
        "ablate": {first: clamp(relu, {a: 0.0})},
        "clamp_two": {first: clamp(relu, {a: 3.0, other: 2.0})},
        "topk": {second: clamp(topk, {b: 5.0}, K)},
        "topk_ablate": {second: clamp(topk, {b: 0.0}, K)},
        # All see x as the model computed it: changes at one hook point add up.
        "several": {
            first: lambda x: clamp(relu, {a: 3.0, other: 0.0})(x) + 1.5 * direction,
            second: clamp(topk, {b: 5.0}, K),
        },
    }
    expected["logits.none"] = run(model, tokens, {})
    for name, changes in cases.items():
        expected[f"logits.{name}"] = run(model, tokens, changes)
    versions = {
        "script": pathlib.Path(__file__).name, "seed": str(200 + number), "torch": torch.__version__,
        "transformers": transformers.__version__, "python": platform.python_version(),
    }
    save_file({key: value.contiguous().clone() for key, value in expected.items()},
              folder / "interventions.safetensors", metadata=versions)
    changed = {name: f"{(expected[f'logits.{name}'] - expected['logits.none']).abs().max():.3g}" for name in cases}
    print(folder.name, changed)
