"""What the corpus talks about: question families with their answers' building blocks."""

from __future__ import annotations

from training.content.facts import FACT_FAMILIES
from training.content.family import Family, Intent
from training.content.garden import GARDEN_FAMILIES
from training.content.home import HOME_FAMILIES
from training.content.household import HOUSEHOLD_FAMILIES
from training.content.mind import MIND_FAMILIES
from training.content.office import OFFICE_FAMILIES
from training.content.outdoors import OUTDOOR_FAMILIES
from training.content.world import WORLD_FAMILIES

FAMILIES: tuple[Family, ...] = (
    *HOME_FAMILIES,
    *HOUSEHOLD_FAMILIES,
    *OUTDOOR_FAMILIES,
    *GARDEN_FAMILIES,
    *WORLD_FAMILIES,
    *OFFICE_FAMILIES,
    *MIND_FAMILIES,
    *FACT_FAMILIES,
)

__all__ = ["FAMILIES", "Family", "Intent"]
