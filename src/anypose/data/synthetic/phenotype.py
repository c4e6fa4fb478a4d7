"""Who somebody is: age, gender, height, weight, muscle and proportions, and the shape that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anypose.data.synthetic.body import Body, BodyError

AXES = ("gender", "age", "muscle", "weight", "height", "proportions")
_START = np.array([0.0, -1 / 3, 0.0, 0.0, 0.0, 0.0])
_STEP = np.array([1.0, 1 / 3, 0.5, 0.5, 1.0, 1.0])
# Anny's age and the years of life that its bodies at that age look like.
_YEARS = ((-1 / 3, 0.0), (0.0, 1.5), (1 / 3, 10.0), (2 / 3, 25.0), (1.0, 85.0))


@dataclass(frozen=True)
class Phenotype:
    """One person's build.

    Attributes:
        years: of age, 0 to 85.
        gender: 0 masculine to 1 feminine.
        muscle, weight, height, proportions: 0 to 1 within what is usual at that age; 0.5 is the middle.
    """

    years: float
    gender: float
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.7

    @property
    def child(self) -> bool:
        return self.years < 13

    @property
    def feminine(self) -> bool:
        return self.gender > 0.5

    def coordinates(self) -> np.ndarray:
        """(6,) on the axes of the shape grid."""
        places, years = zip(*_YEARS)
        age = np.interp(self.years, years, places)
        return np.array([self.gender, age, self.muscle, self.weight, self.height, self.proportions])

    @classmethod
    def random(cls, rng: np.random.Generator, youngest: float = 4.0) -> Phenotype:
        """Somebody as one meets them: mostly grown up, women and men, small and tall, few very fat or very thin."""
        dice = rng.random()
        years = (
            rng.uniform(17, 60) if dice < 0.76 else rng.uniform(60, 82) if dice < 0.84 else rng.uniform(youngest, 17)
        )
        gender = rng.beta(0.6, 0.6)
        gender = 0.5 + (gender - 0.5) * 0.9
        middle = rng.beta(2.5, 2.5, 4)
        muscle, weight, height, proportions = (float(v) for v in middle)
        return cls(float(years), float(gender), muscle, weight, height, 0.4 + 0.6 * proportions)


def shape_of(body: Body, coordinates: np.ndarray) -> np.ndarray:
    """Shape coefficients (B, K) of coordinates (B, 6) on the axes gender, age, muscle, weight, height, proportions.

    Multilinear in the table that was baked with the body, as Anny's blend is between its knots.
    Raises BodyError where the body comes without a table.
    """
    if body.shape_grid is None:
        raise BodyError("this body has no table of ages and builds; draw its shape coefficients instead")
    grid = body.shape_grid
    last = np.array(grid.shape[:-1]) - 1
    at = np.clip((np.atleast_2d(coordinates) - _START) / _STEP, 0, last)
    out = []
    for place in at:
        table = grid
        for value in place:
            low = min(int(value), len(table) - 2)
            table = table[low] + (value - low) * (table[low + 1] - table[low])
        out.append(table)
    return np.array(out)


def random_shape(body: Body, person: Phenotype, rng: np.random.Generator) -> np.ndarray:
    """(K,) shape coefficients: from the table where the body has one, else as SMPL's are spread."""
    if body.shape_grid is not None:
        return shape_of(body, person.coordinates()[None])[0]
    shape = np.zeros(body.shapes)
    shape[:10] = rng.normal(0, 1, min(10, body.shapes))
    return shape
