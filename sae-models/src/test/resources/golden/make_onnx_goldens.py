"""Writes tiny decoders as ONNX files, as other programs export them, and what transformers computes with them.

Usage: python make_onnx_goldens.py     (needs torch, transformers, onnx, onnxscript, onnxruntime)

onnx-plain: Llama with grouped keys by PyTorch's exporter, with empty past keys and values as inputs, weights as external data.
onnx-fused: GPT-2 after onnxruntime.transformers.optimizer, with operators of the domain com.microsoft.
Each folder has model.onnx, config.json, and expected.safetensors: tokens, residual streams, logits; its metadata names the
tensors that are the residual streams.
"""

import pathlib
import platform
import tempfile

import onnx
import onnxruntime
import torch
import transformers
from onnxruntime.transformers import optimizer
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
SHAPES = {"a": (2, 7), "b": (3, 13), "c": (1, 1)}
BATCH, LENGTH, PAST = "batch", "length", "past"


class Plain(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        ).logits


class WithPast(torch.nn.Module):
    """Keys and values that were kept come in, and those of all tokens go out, as Optimum exports decoders."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, past):
        cache = transformers.DynamicCache()
        for layer, (key, value) in enumerate(past):
            cache.update(key, value, layer)
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=cache,
            use_cache=True,
        )
        return out.logits, [(layer.keys, layer.values) for layer in out.past_key_values.layers]


def inputs(config, past=0):
    ids = torch.randint(0, config.vocab_size, (2, 5))
    return ids, torch.ones(2, 5 + past, dtype=torch.long), torch.arange(past, past + 5)[None].repeat(2, 1)


def export_plain(model, file):
    config = model.config
    axes = {0: BATCH, 1: LENGTH}
    names = ["input_ids", "attention_mask", "position_ids"]
    torch.onnx.export(
        Plain(model).eval(), inputs(config), str(file), dynamo=False, opset_version=17, input_names=names,
        output_names=["logits"], dynamic_axes={name: axes for name in names},
    )


def export_with_past(model, file):
    config = model.config
    layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
    kept = [(torch.randn(2, heads, 3, width), torch.randn(2, heads, 3, width)) for _ in range(layers)]
    flat = [f"past_key_values.{layer}.{what}" for layer in range(layers) for what in ("key", "value")]
    present = [name.replace("past_key_values", "present") for name in flat]
    axes = {0: BATCH, 1: LENGTH}
    program = torch.onnx.export(
        WithPast(model).eval(), (*inputs(config, 3), kept), dynamo=True, external_data=True,
        input_names=["input_ids", "attention_mask", "position_ids", *flat], output_names=["logits", *present],
        dynamic_shapes=(axes, {0: BATCH, 1: "all"}, axes, [({0: BATCH, 2: PAST},) * 2] * layers),
    )
    program.save(str(file), external_data=True)
    # Without the exporter's stack traces, which are most of the file, and the shapes of inner tensors.
    graph = onnx.load(str(file), load_external_data=False)
    del graph.graph.value_info[:]
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del part.metadata_props[:]
    onnx.save(graph, str(file))


def residuals(file, count):
    """The tensors that lie on the residual stream: embeddings, and the sums that both a norm and a later sum read."""
    graph = onnx.load(str(file), load_external_data=False).graph
    stream = []
    norms = ("SkipLayerNormalization", "LayerNormalization", "Pow", "SimplifiedLayerNormalization")
    for node in graph.node:
        for output in node.output:
            users = [user for user in graph.node if output in user.input]
            sums = [user for user in users if user.op_type in ("Add", "SkipLayerNormalization")]
            if output and sums and any(user.op_type in norms for user in users) and node.op_type in (
                "Add", "SkipLayerNormalization", "Gather"
            ):
                stream.append(output)
    # Two sums a block: the one in its middle is left out.
    return stream[::2][:count]


def write(name, config, seed, export):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    export(model, folder / "model.onnx")
    model.eval()  # the exporter puts what it wraps back into training
    model.config.save_pretrained(folder)
    layers = config.num_hidden_layers
    tensors = residuals(folder / "model.onnx", layers)
    assert len(tensors) == layers, tensors
    expected = {}
    with torch.no_grad():
        for key, shape in SHAPES.items():
            tokens = torch.randint(0, config.vocab_size, shape)
            out = model(tokens, output_hidden_states=True)
            expected[f"tokens.{key}"] = tokens.int()
            expected[f"logits.{key}"] = out.logits.contiguous()
            for layer in range(layers):
                expected[f"residual.{key}.{layer}"] = out.hidden_states[layer].contiguous().clone()
    metadata = {f"tensor.{layer}": tensor for layer, tensor in enumerate(tensors)}
    metadata |= {
        "script": pathlib.Path(__file__).name, "seed": str(seed), "torch": torch.__version__,
        "transformers": transformers.__version__, "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__, "python": platform.python_version(),
    }
    save_file(expected, folder / "expected.safetensors", metadata=metadata)


def export_fused(model, file):
    with tempfile.TemporaryDirectory() as work:
        export_plain(model, pathlib.Path(work) / "plain.onnx")
        fused = optimizer.optimize_model(
            f"{work}/plain.onnx", model_type="gpt2", num_heads=model.config.n_head, hidden_size=model.config.n_embd,
            opt_level=0,
        )
        domains = {node.domain for node in fused.model.graph.node}
        assert "com.microsoft" in domains, domains
        fused.save_model_to_file(str(file))


write(
    "onnx-plain",
    transformers.LlamaConfig(
        vocab_size=53, max_position_embeddings=32, hidden_size=24, intermediate_size=28, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, head_dim=4, bos_token_id=1, eos_token_id=2, initializer_range=0.25,
    ),
    100,
    export_with_past,
)
write(
    "onnx-fused",
    transformers.GPT2Config(
        vocab_size=61, n_positions=16, n_embd=16, n_layer=3, n_head=2, bos_token_id=3, eos_token_id=4,
        initializer_range=0.3,
    ),
    101,
    export_fused,
)
