"""Writes bfloat16.safetensors: float32 values and what PyTorch rounds them to. Usage: python make_bfloat16_golden.py"""

import pathlib

import torch
from safetensors.torch import save_file

edges = torch.tensor(
    [0x00000000, 0x00000001, 0x00007FFF, 0x00008000, 0x00008001, 0x00018000, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F807FFF,
     0x3F808000, 0x3F808001, 0x3F817FFF, 0x3F818000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000],
    dtype=torch.int64,
)
torch.manual_seed(0)
bits = torch.cat([edges, edges | 0x80000000, torch.randint(0, 2**32, (2000,))])
bits = torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32)
values = bits.view(torch.float32)
values = values[~values.isnan()]
save_file(
    {"values": values, "rounded": values.to(torch.bfloat16)},
    pathlib.Path(__file__).parent / "bfloat16.safetensors",
    metadata={"script": pathlib.Path(__file__).name, "torch": torch.__version__, "seed": "0"},
)
