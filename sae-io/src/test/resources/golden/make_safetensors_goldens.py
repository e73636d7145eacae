"""Writes every_dtype.safetensors with the reference implementation; SafetensorsTest reads and rewrites it."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(7)
values = torch.tensor([0.0, -0.0, 1.0, -2.5, 65504.0, 6e-8, 3.140625, float("inf")])
tensors = {
    "f64": values.double(),
    "f32": values.reshape(2, 4),
    "f16": values.half(),
    "bf16": values.bfloat16(),
    "i64": torch.tensor([1, -2, 2**31 - 1]),
    "i32": torch.tensor([[3], [-4]], dtype=torch.int32),
    "u8": torch.tensor([1, 2, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "another_f32": torch.randn(5),
    "scalar": torch.tensor(0.5),
    "empty": torch.zeros(0, 3),
}
folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
save_file(tensors, folder / "every_dtype.safetensors", metadata={"format": "pt"})
