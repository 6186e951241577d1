"""Stage definitions: what a stage and a step are, loaded and validated from any folder, and put in order."""

from homewright.catalogue.loading import Catalogue, load, shipped
from homewright.catalogue.models import Stage, Step

__all__ = ["Catalogue", "Stage", "Step", "load", "shipped"]
