"""The default model's learning curve and a contact sheet of its answers, without a photograph's pixels.

Command:
    python experiments/pointer_report.py curve docs/pointer_curve.png NAME=metrics.jsonl [NAME=metrics.jsonl ...]
    python experiments/pointer_report.py sheet docs/pointer_sheet.png DATA.json IMAGES

The sheet shows people of DATA, each asked for by the evaluation's click: truth to the left, answer to the right,
drawn on black; the best, middling and worst by keypoint similarity.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anypose import load
from anypose.data import coco
from anypose.draw import draw
from anypose.evaluation.prompts import point_prompt
from anypose.evaluation.similarity import object_keypoint_similarity
from anypose.people import People
from anypose.pictures import crop

COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167))
TERMS = ("choice", "coarse_mask", "heatmaps", "mask")
CELL = (200, 160)  # height, width of one drawing on the sheet


def curve(out: Path, runs: dict[str, Path]) -> None:
    """Four terms of the loss over the steps, one line a run, each mean of five records."""
    width, height, margin = 460, 250, 45
    image = Image.new("RGB", (2 * width, 2 * height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    records = {name: [json.loads(line) for line in path.read_text().splitlines()] for name, path in runs.items()}
    last = max(rows[-1]["step"] for rows in records.values())
    for place, term in enumerate(TERMS):
        x0, y0 = place % 2 * width + margin, place // 2 * height + 25
        x1, y1 = x0 + width - margin - 15, y0 + height - 60
        smooth = {name: _smooth([row[term] for row in rows]) for name, rows in records.items()}
        top = max(max(values[1:] or values) for values in smooth.values()) * 1.05
        pen.rectangle((x0, y0, x1, y1), outline="grey")
        pen.text((x0, y0 - 20), f"{term} (loss)", "black", font)
        for part in (0.0, 0.5, 1.0):
            pen.text((x0 - 40, y1 - part * (y1 - y0) - 8), f"{part * top:.2g}", "black", font)
            pen.text((x0 + part * (x1 - x0) - 12, y1 + 4), f"{part * last:.0f}", "black", font)
        for number, (name, values) in enumerate(smooth.items()):
            steps = [row["step"] for row in records[name]]
            line = [(x0 + s / last * (x1 - x0), y1 - min(v / top, 1) * (y1 - y0)) for s, v in zip(steps, values)]
            pen.line(line, COLOURS[number], 2)
            pen.text((x1 - 200, y0 + 6 + 16 * number), name, COLOURS[number], font)
    image.save(out)


def _smooth(values: list[float], span: int = 5) -> list[float]:
    return [float(np.mean(values[max(0, i - span + 1) : i + 1])) for i in range(len(values))]


def sheet(out: Path, data: Path, images: Path) -> None:
    """Answers to clicks beside the truth."""
    predictor = load()
    found: list[tuple[float, People, People]] = []
    for sample in coco.read(data, images):
        asked = [i for i in range(len(sample.people)) if (sample.people.confidence[i] > 0).sum() >= 8]
        if not asked:
            continue
        people = [sample.people[i] for i in asked]
        answers = predictor.encode(sample.image()).find([point_prompt(person) for person in people])
        for truth, answer in zip(people, answers):
            if len(answer):
                found.append((float(object_keypoint_similarity(truth, answer)[0, 0]), truth, answer))
    found.sort(key=lambda row: -row[0])
    middle = len(found) // 2
    rows = [("best", found[:5]), ("middling", found[middle - 2 : middle + 3]), ("worst", found[-5:])]
    canvas = Image.new("RGB", (5 * (2 * CELL[1] + 10), 3 * (CELL[0] + 20)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for y, (name, chosen) in enumerate(rows):
        for x, (similarity, truth, answer) in enumerate(chosen):
            left, top = x * (2 * CELL[1] + 10), y * (CELL[0] + 20)
            pen.text((left + 2, top + 2), f"{name}: truth and answer, OKS {similarity:.2f}", "black", font)
            for column, person in enumerate((truth, answer)):
                canvas.paste(_drawn(person, truth.boxes[0]), (left + column * CELL[1], top + 18))
    canvas.save(out)
    print(f"{len(found)} clicks answered; median OKS {np.median([row[0] for row in found]):.2f}")


def _drawn(person: People, box: np.ndarray) -> Image.Image:
    """A person on black, as much of it as lies around a box."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    height = max(size[1], size[0] * CELL[0] / CELL[1]) * 1.3
    half = np.array([height * CELL[1] / CELL[0], height]) / 2
    region = np.concatenate((centre - half, centre + half))
    # Drawn at twice the cell's size, so that small people's lines stay as thin as large people's.
    size_drawn = (2 * CELL[0], 2 * CELL[1])
    black = np.zeros((*person.size, 3), np.uint8)
    _, affine = crop(black, region, size_drawn)
    moved = person.warp(affine, size_drawn)
    return Image.fromarray(draw(np.zeros((*size_drawn, 3), np.uint8), moved, labels=False)).resize(CELL[::-1])


if __name__ == "__main__":
    what, target, *rest = sys.argv[1:]
    if what == "curve":
        curve(Path(target), {name: Path(path) for name, path in (part.split("=", 1) for part in rest)})
    else:
        sheet(Path(target), Path(rest[0]), Path(rest[1]))
