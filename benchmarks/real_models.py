"""What the paper's setting costs on real models: an estimate, by arithmetic on measured steps.

`python -m benchmarks.real_models` prints the tables of `benchmarks/real_models.md`; it loads no
model. A decoding step reads every weight and every key and value once, and multiplies each weight
once a row; the processor's two speeds are calibrated on `benchmarks/RESULTS.md`, those of
accelerators are shares of what their makers state.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BYTES = 2
"""A number in bfloat16."""
NEW_TOKENS, PROMPT_TOKENS = 128, 110
PROMPTS, PAIRINGS = 50, 4
ROWS = {"plain": 1, "direct": 1, "fixed": 2, "alternate": 2, "balance": 3}
PREFIX_CACHE = 256 * 2**20

MEASURED_STEP = 1 / 16.2
"""Seconds: Qwen2.5-0.5B's shape, two rows, packed, prompt of 32 (RESULTS.md, first section)."""
MEASURED_PREFILL = 5.69 / 2048
"""Seconds a token: the same shape, one row, prompt of 2048 (RESULTS.md, prefill)."""
ATTAINED_BANDWIDTH, ATTAINED_COMPUTE, LAUNCHING = 0.6, 0.4, 0.025
"""Assumed of accelerators: shares of the makers' figures, and seconds that no pass is below."""


@dataclass(frozen=True, slots=True)
class Model:
    """The sizes that decide what a decoder costs."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    kv_width: int
    """Of keys, and of values, in one layer."""
    vocab: int
    tied: bool
    biased: bool

    @property
    def parameters(self) -> int:
        """Return how many numbers the checkpoint holds."""
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv_width
        biases = self.hidden + 2 * self.kv_width if self.biased else 0
        layer = attention + biases + 3 * self.hidden * self.intermediate + 2 * self.hidden
        tables = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.layers * layer + tables + self.hidden

    @property
    def read(self) -> int:
        """Return how many of them a pass reads: all but a table that tokens are looked up in."""
        return self.parameters - (0 if self.tied else self.vocab * self.hidden)

    @property
    def kv_bytes(self) -> int:
        """Return the bytes of keys and values for one token of one row."""
        return 2 * self.layers * self.kv_width * BYTES


QWEN = Model("Qwen2.5-0.5B-Instruct", 896, 4864, 24, 128, 151936, tied=True, biased=True)
LLAMA = Model("Llama-3.1-8B", 4096, 14336, 32, 1024, 128256, tied=False, biased=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """How fast weights are read and multiplied."""

    name: str
    bandwidth: float
    """Bytes a second, attained."""
    compute: float
    """Operations a second, attained; a multiplication with its addition is two."""
    floor: float = 0.0
    """Seconds that a pass takes at least."""

    def step(self, model: Model, rows: int) -> float:
        """Return the seconds of a pass that adds a token to every row, at half of the answer."""
        cached = rows * (PROMPT_TOKENS + NEW_TOKENS / 2) * model.kv_bytes
        reading = (model.read * BYTES + cached) / self.bandwidth
        return max(self.floor, reading + rows * 2 * model.read / self.compute)

    def answer(self, model: Model, rows: int, batch: int) -> float:
        """Return the seconds of an answer, its prompts included, where `batch` share the passes."""
        prompts = rows * batch * PROMPT_TOKENS * 2 * model.read / self.compute
        together = max(self.floor, prompts) + NEW_TOKENS * self.step(model, rows * batch)
        return together / batch


def processor() -> Machine:
    """Return the machine of RESULTS.md, calibrated on a prefill and a step."""
    compute = 2 * QWEN.read / MEASURED_PREFILL
    reading = MEASURED_STEP - 2 * 2 * QWEN.read / compute
    return Machine("2 cores of RESULTS.md", QWEN.read * BYTES / reading, compute)


def accelerator(name: str, gigabytes: float, teraflops: float) -> Machine:
    """Return a machine with the makers' figures for bandwidth and dense bfloat16."""
    bandwidth, compute = gigabytes * 1e9, teraflops * 1e12
    return Machine(
        name, ATTAINED_BANDWIDTH * bandwidth, ATTAINED_COMPUTE * compute, floor=LAUNCHING
    )


MACHINES = (
    processor(),
    accelerator("NVIDIA A40, 48 GB (the paper's)", 696, 149.7),
    accelerator("NVIDIA RTX 4090, 24 GB", 1008, 165),
    accelerator("NVIDIA H100 SXM, 80 GB", 3350, 989),
)


def hours(machine: Machine, model: Model, batch: int, prompts: int = PROMPTS) -> float:
    """Return the hours of the whole command: every method, pairing and prompt."""
    answers = prompts * PAIRINGS
    return sum(answers * machine.answer(model, rows, batch) for rows in ROWS.values()) / 3600


def memory(model: Model, batch: int) -> float:
    """Return the bytes that the largest method, of three rows, needs."""
    rows = max(ROWS.values()) * batch
    cached = rows * (PROMPT_TOKENS + NEW_TOKENS) * model.kv_bytes
    logits = rows * model.vocab * 4 * 4  # float32, and three copies on the way to a token
    return model.parameters * BYTES + cached + logits + PREFIX_CACHE


def lines() -> Iterator[str]:
    """Yield the page's tables, line by line."""
    yield from _table(
        ("", *(model.name for model in (QWEN, LLAMA))),
        [
            ("parameters", *(f"{m.parameters:,}" for m in (QWEN, LLAMA))),
            ("weights, bfloat16", *(f"{m.parameters * BYTES / 1e9:.2f} GB" for m in (QWEN, LLAMA))),
            ("read in a pass", *(f"{m.read * BYTES / 1e9:.2f} GB" for m in (QWEN, LLAMA))),
            ("keys and values, a token and row", *(f"{m.kv_bytes:,} B" for m in (QWEN, LLAMA))),
            *(
                (f"memory, --batch {b}", *(f"{memory(m, b) / 1e9:.1f} GB" for m in (QWEN, LLAMA)))
                for b in (1, 8)
            ),
        ],
    )
    yield ""
    columns = [(model, batch) for model in (QWEN, LLAMA) for batch in (1, 8)]
    yield from _table(
        ("whole run, hours", *(f"{model.name}, --batch {batch}" for model, batch in columns)),
        [
            (machine.name, *(f"{hours(machine, model, batch):.2g}" for model, batch in columns))
            for machine in MACHINES
        ],
    )
    yield ""
    yield from _table(
        ("one answer alone, seconds", *(f"{name} ({rows})" for name, rows in ROWS.items())),
        [
            (f"{model.name}, {machine.name}", *_seconds(machine, model))
            for model in (QWEN, LLAMA)
            for machine in MACHINES
        ],
    )


def _seconds(machine: Machine, model: Model) -> Iterator[str]:
    return (f"{machine.answer(model, rows, 1):.1f}" for rows in ROWS.values())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join(['---'] * len(head))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    print("\n".join(lines()))
