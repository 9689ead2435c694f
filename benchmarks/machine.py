"""What the figures were measured on."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16")


def facts(device: str) -> dict[str, str]:
    """Return what a reader must know of the machine and of the versions."""
    import torch

    described = {
        "processor": processor(),
        "instructions": ", ".join(_flags()) or "unknown",
        "threads of torch": str(torch.get_num_threads()),
        "memory": memory(),
        "system": system(),
        "versions": versions("torch", "transformers", "persona-judge-llm"),
    }
    if device.startswith("cuda"):
        described["accelerator"] = torch.cuda.get_device_name(device)
    return described


def processor() -> str:
    """Return the processor's name and how many cores there are."""
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def memory() -> str:
    """Return how much memory there is."""
    if not hasattr(os, "sysconf"):
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def system() -> str:
    """Return the system and the version of Python."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def versions(*packages: str) -> str:
    """Return the versions of those packages that are installed."""
    found = []
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _flags() -> list[str]:
    info = _cpuinfo()
    known = set((info.get("flags") or info.get("features") or "").split())
    return [flag for flag in FLAGS if flag in known]
