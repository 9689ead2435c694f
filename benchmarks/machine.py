"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16")


def facts(device: str) -> dict[str, str]:
    """Return what a reader must know of the machine and of the versions."""
    described = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "instructions": ", ".join(_flags()) or "unknown",
        "threads of torch": str(torch.get_num_threads()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(
            f"{name} {version(name)}" for name in ("torch", "transformers", "persona-judge-llm")
        ),
    }
    if device.startswith("cuda"):
        described["accelerator"] = torch.cuda.get_device_name(device)
    return described


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _processor() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _flags() -> list[str]:
    info = _cpuinfo()
    known = set((info.get("flags") or info.get("features") or "").split())
    return [flag for flag in FLAGS if flag in known]


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
