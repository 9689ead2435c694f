"""Personalised text generation from a local language model, by Persona-judge decoding."""

__version__ = "0.1.0"
