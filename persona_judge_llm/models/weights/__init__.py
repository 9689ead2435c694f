"""Weights of a model's linear layers in the form that few rows at a time are fastest with."""

from persona_judge_llm.models.weights.preparing import WeightFormat, prepare_weights

__all__ = ["WeightFormat", "prepare_weights"]
