"""The page on real models says what its arithmetic gives, and the arithmetic fits what it must."""

from pathlib import Path

import pytest

from benchmarks.real_models import (
    LLAMA,
    MACHINES,
    MEASURED_STEP,
    PROMPT_TOKENS,
    QWEN,
    ROWS,
    hours,
    lines,
    processor,
)

PAGE = Path(__file__).parents[3] / "benchmarks" / "real_models.md"


def test_the_page_holds_the_tables():
    assert "\n".join(lines()) in PAGE.read_text(encoding="utf-8")


def test_sizes_are_those_of_the_published_checkpoints():
    assert (QWEN.parameters, LLAMA.parameters) == (494_032_768, 8_030_261_248)
    assert (QWEN.kv_bytes, LLAMA.kv_bytes) == (12_288, 131_072)


def test_the_processor_gives_back_the_step_it_was_calibrated_on():
    assert processor().step(QWEN, 2) == pytest.approx(MEASURED_STEP, rel=0.01)
    assert 128 * MEASURED_STEP < processor().answer(QWEN, 2, 1) < 160 * MEASURED_STEP


@pytest.mark.parametrize("machine", MACHINES)
def test_more_rows_never_cost_less_and_a_batch_never_more(machine):
    for model in (QWEN, LLAMA):
        seconds = [machine.answer(model, rows, 1) for rows in sorted(ROWS.values())]
        assert seconds == sorted(seconds)
        assert hours(machine, model, 8) < hours(machine, model, 1)
    assert PROMPT_TOKENS > 0
