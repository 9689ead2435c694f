"""What the corpus talks about: question families with their answers' building blocks."""

from __future__ import annotations

from training.content.family import Family, Intent
from training.content.home import HOME_FAMILIES
from training.content.mind import MIND_FAMILIES
from training.content.outdoors import OUTDOOR_FAMILIES
from training.content.world import WORLD_FAMILIES

FAMILIES: tuple[Family, ...] = HOME_FAMILIES + OUTDOOR_FAMILIES + WORLD_FAMILIES + MIND_FAMILIES

__all__ = ["FAMILIES", "Family", "Intent"]
