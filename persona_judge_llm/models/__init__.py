"""The port to a language model, and its adapter for Hugging Face causal models."""
