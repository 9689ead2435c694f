"""What decoding costs: one module for each question, `python -m benchmarks.run` for all of them."""
