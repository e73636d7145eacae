"""Writes what transformers computes on padded batches with the models of make_model_goldens.py. Usage: python make_padding_goldens.py

padded.safetensors in each folder: tokens, flat, of sequences of the lengths in `lengths`; residual streams and logits at the
tokens, flat likewise, of one batch that was padded on the right and masked. float32 throughout. Folders that have one already are
left as they are.
"""

import pathlib
import platform

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
LENGTHS = (5, 13, 1, 8)

for folder in sorted(path.parent for path in HERE.glob("*/config.json")):
    number = len(list(HERE.glob("*/padded.safetensors")))
    if (folder / "padded.safetensors").exists() or (folder / "model.onnx").exists():
        continue
    torch.manual_seed(100 + number)
    # Not sdpa, which leaves out Gemma 2's bound of the scores.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    mask = torch.arange(max(LENGTHS))[None, :] < torch.tensor(LENGTHS)[:, None]
    tokens = torch.randint(0, model.config.get_text_config().vocab_size, mask.shape)
    with torch.no_grad():
        out = model(tokens, attention_mask=mask.long(), output_hidden_states=True)
    expected = {
        "lengths": torch.tensor([LENGTHS], dtype=torch.int32),
        "tokens": tokens[mask].int()[None],
        "logits": out.logits[mask],
    }
    for layer, residual in enumerate(out.hidden_states[:-1]):
        expected[f"residual.{layer}"] = residual[mask]
    versions = {
        "script": pathlib.Path(__file__).name, "seed": str(100 + number), "torch": torch.__version__,
        "transformers": transformers.__version__, "python": platform.python_version(),
    }
    save_file(expected, folder / "padded.safetensors", metadata=versions)
