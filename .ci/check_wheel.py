"""Build the wheel, look into it, install it in a new environment and use it from there.

What a user gets is not the checkout: the demo and every import run from a temporary folder, with
an interpreter that has never seen this repository.
"""

import argparse
import email
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "langchain_persona_judge",
    "llama_index_persona_judge",
    "persona_judge_llm",
    "persona_judge_profiles",
)
BUNDLED = "persona_judge_llm/bundled/"
MAX_WHEEL_MIB = 24
DEMO_SECTIONS = ("The engine", "LangChain", "LlamaIndex")
DEMO_USERS = ("ana", "ben", "kim")

IMPORT_EVERYTHING = """
import importlib, importlib.util, pkgutil, sys
count = 0
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    assert sys.argv[1] not in package.__file__, f"{name} is the checkout's: {package.__file__}"
    names = [m.name for m in pkgutil.walk_packages(package.__path__, name + ".")]
    for module in names:
        # __main__ runs the command; Alembic alone can run its env.py and its revisions.
        if not module.endswith("__main__") and ".migrations." not in module:
            importlib.import_module(module)
            count += 1
for generic in ("integrations", "profiles", "tests", "training", "benchmarks"):
    assert importlib.util.find_spec(generic) is None, f"the wheel makes {generic!r} importable"
print(f"imported {count + len(sys.argv[2:])} modules")
"""


class WheelError(Exception):
    """The wheel is not what it should be."""


def require(condition: object, message: str) -> None:
    """Raise `WheelError` unless `condition` holds."""
    if not condition:
        raise WheelError(message)


def run(*command: str | Path, cwd: Path, timeout: int = 1800) -> str:
    """Run a command away from this checkout's environment and return what it printed."""
    print("+", shlex.join(map(str, command)), flush=True)
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise WheelError(f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """Build sdist and, from the sdist, the wheel; so a file missing from the sdist shows."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    print(f"built {sdist.name} and {wheel.name} ({wheel.stat().st_size / 2**20:.1f} MiB)")
    return wheel


def check_listing(wheel: Path) -> None:
    """Hold the wheel's file list and metadata against what users rely on."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata_name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(metadata_name))
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        scripts = archive.read(entry_points).decode()
    require(len(names) == len(set(names)), "a file is in the wheel twice")
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    require(top == set(PACKAGES), f"top-level names are {sorted(top)}, not {sorted(PACKAGES)}")
    for package in PACKAGES:
        for file in ("__init__.py", "py.typed"):
            require(f"{package}/{file}" in names, f"{package}/{file} is missing")
    bundled = {name.removeprefix(BUNDLED) for name in names if name.startswith(BUNDLED)}
    require(
        any(name.endswith(".safetensors") for name in bundled),
        f"the bundled model has no weights: {sorted(bundled)}",
    )
    require(any(name.endswith("config.json") for name in bundled), "config.json is missing")
    require(any(name.endswith("tokenizer.json") for name in bundled), "tokenizer.json is missing")
    litter = [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".db"))]
    require(not litter, f"litter in the wheel: {litter}")
    require(any(name.endswith("licenses/LICENSE") for name in names), "the licence is missing")
    require("persona-judge = persona_judge_llm.cli:main" in scripts, "no persona-judge command")
    require(metadata["License-Expression"] == "Apache-2.0", "the licence is not declared")
    require(wheel.stat().st_size < MAX_WHEEL_MIB * 2**20, f"over {MAX_WHEEL_MIB} MiB")
    migrations = [name for name in names if name.startswith("persona_judge_profiles/migrations/")]
    require(migrations, "the migrations are missing")
    print(f"listing is right: {len(names)} files, {len(bundled)} of them the bundled model's")


def install(wheel: Path, folder: Path) -> Path:
    """Make a new environment with the wheel and all its extras; return its `bin`."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    binaries = folder / "venv" / "bin"
    constraints = ROOT / "constraints.txt"
    torch = next(
        line for line in constraints.read_text("utf-8").splitlines() if line.startswith("torch==")
    )
    extra = shlex.split(os.environ.get("PIP_ARGS", ""))
    pip = (binaries / "python", "-m", "pip", "install", "--quiet", *extra)
    run(*pip, torch, cwd=folder)
    run(*pip, "-c", constraints, f"persona-judge-llm[all] @ {wheel.as_uri()}", cwd=folder)
    run(binaries / "python", "-m", "pip", "check", cwd=folder)
    return binaries


def use(binaries: Path, folder: Path) -> None:
    """Import everything and run the demo, as a user would, outside the checkout."""
    python = binaries / "python"
    script = folder / "import_everything.py"
    script.write_text(IMPORT_EVERYTHING, encoding="utf-8")
    print(run(python, script, ROOT, *PACKAGES, cwd=folder).strip())
    run(binaries / "persona-judge", "--help", cwd=folder)
    output = run(binaries / "persona-judge", "demo", cwd=folder)
    print(output)
    headings = r"^\d  (.+?) [─-]+$"
    parts = re.split(headings, output, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    require(tuple(sections) == DEMO_SECTIONS, f"the demo has the sections {list(sections)}")
    for section, text in sections.items():
        users = {name for name in DEMO_USERS if re.search(rf"\b{name}\b", text)}
        require(users == set(DEMO_USERS), f"{section}: the demo mentions only {sorted(users)}")


def main() -> int:
    """Return 0 if the wheel is right; print what is wrong and return 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listing-only", action="store_true", help="build and look, no install")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="persona-judge-wheel-"))
    try:
        wheel = build(folder)
        check_listing(wheel)
        if not arguments.listing_only:
            use(install(wheel, folder), folder)
    except WheelError as error:
        print(f"wheel check failed: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("wheel check passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
