"""UniPHD learns eight pictures by heart: a check that its training path works from end to end.

Command:
    anypose train experiments/uniphd_overfit.py --out runs/overfit --set data_dir=DATA
    python experiments/uniphd_overfit_report.py runs/overfit DATA

DATA holds coco_people/. One person of each of the first eight pictures with such people, meant by a scribble, and a
small UniPHD from random weights. The report says the pose AP on the same eight and draws the curve. Aim: above 90.
Result: 100, after 12 minutes of one core.
"""

recipe = "referring"

data_dir = "data"
people = ("{data_dir}/coco_people/train.json", "{data_dir}/coco_people/images")
first = 8

variant = "tiny"
model = {"dropout": 0.0, "drop_path": 0.0, "encoder_layers": 2, "groups": 10, "feedforward": 256}
pretrained = False
kinds = {"scribble": 1.0}
side = 192
batch = 8

lr = 1e-3
lr_backbone = 1e-3
seed = 0

steps = 500
warmup = 30
clip = 5.0
weight_decay = 0.0
ema = 0.99
log_every = 10
save_every = 100
threads = 1
device = "cpu"
