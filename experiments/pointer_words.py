"""The words of the default model: what a sentence means of people who were found, above all where they stand.

Command:
    anypose train experiments/pointer_words.py --out runs/words_told --set data_dir=DATA --set weights=FILE

FILE is a model.safetensors of experiments/pointer.py. Every view is encoded once (3000 of them: half an hour of one
core), then a step takes 0.2 to 0.3 s. `experiments/pointer.py` with the result as `weights` and
`--set "learn=('first.',)"` then fits the rest of the first look to it.
"""

recipe = "telling"

data_dir = "data"
weights = "runs/pointer/model.safetensors"
words = "runs/words"

people = ("{data_dir}/coco_people/train.json", "{data_dir}/coco_people/images")

views = 3000
workers = 1
lr = 1.5e-3
lr_words = 3e-3
seed = 0

steps = 2000
warmup = 50
ema = 0.99
save_every = 500
log_every = 50
threads = 1
device = "auto"
