"""How often the default model refuses words that fit nobody, and words that fit somebody.

Command:
    python experiments/pointer_refusals.py DATA.json IMAGES [--weights FILE.safetensors]

On pictures where everybody is labelled: two false descriptions made by rule; a caption of another picture that names
things which none of this picture's captions names; "a giraffe", where no caption speaks of one; and true descriptions.
Expected on dev.json: see docs/pointer.md.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from anypose import Prompt, load
from anypose.data.coco import read
from anypose.data.describe import describe_nobody, observe
from anypose.evaluation.sentences import Sentences
from anypose.recipes.pointing_data import things_in


def main() -> None:
    parser = argparse.ArgumentParser(description="Refusals of the default model.")
    parser.add_argument("data", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    predictor = load() if asked.weights is None else load(weights=asked.weights, engine="torch")
    samples = [s for s in read(asked.data, asked.images) if s.fully_labelled and len(s.people)]
    captions = [(c, things_in(c)) for s in samples if len(s.people) == 1 for c in s.captions]
    rng, sentences = np.random.default_rng(3), Sentences(0)
    refused: dict[str, list[bool]] = {}
    for sample in samples:
        image = sample.image()
        named = frozenset().union(*map(things_in, sample.captions))
        crowds = None if sample.crowds is None else sample.crowds.boxes()
        seen = observe(image, sample.people, crowds=crowds, captions=sample.captions)
        made = [describe_nobody(seen, rng) for _ in range(2)]
        others = [caption for caption, things in captions if things and not things & named]
        texts = [("a false description", one.text) for one in made if one is not None]
        texts += [("a caption of another picture", str(rng.choice(others)))]
        texts += [("a giraffe", "a giraffe")] if "giraffe" not in named else []
        prompts = [(kind, Prompt(text=text)) for kind, text in texts]
        prompts += [("a true description", prompt) for _, _, prompt in sentences.of(sample, image)]
        for (kind, _), people in zip(prompts, predictor.encode(image).find([p for _, p in prompts])):
            refused.setdefault(kind, []).append(len(people) == 0)
    for kind, answers in refused.items():
        print(f"{kind}: refused {100 * np.mean(answers):.0f} % of {len(answers)}")


if __name__ == "__main__":
    main()
