"""What a real catalogue holds besides photographs of animals: x-rays, pages, diagrams, maps, food, people, sketches ….

Each kind of ``NOT_ANIMALS`` shows no live animal. It is a function of a size and a random generator that gives an RGB picture.
``UNTRAINED`` kinds are drawn only for the demo: our models have never seen one, or a word for it.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from pipeline.demo.canvas import Rng
from pipeline.demo.faults import pages, photographs, xrays
from pipeline.demo.faults.paper import Size

NOT_ANIMALS: dict[str, Callable[[Size, Rng], Image.Image]] = {
    "building": photographs.building,
    "diagram": pages.diagram,
    "document": pages.document,
    "food": photographs.food,
    "landscape": photographs.landscape,
    "map": pages.map_,
    "person": photographs.person,
    "sign": photographs.sign,
    "thing": photographs.thing,
    "vehicle": photographs.vehicle,
    "xray": xrays.xray,
}
UNTRAINED = ("building", "map", "vehicle")
TRAINED = tuple(kind for kind in NOT_ANIMALS if kind not in UNTRAINED)
SKETCH = "sketch"
