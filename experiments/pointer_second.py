"""The second look of the default model, taught by its own answers to crops and their mirror images.

Command:
    anypose train experiments/pointer_second.py --out runs/second --set data_dir=DATA --set weights=FILE

FILE is a model.safetensors of experiments/pointer.py; what it lacks (weights before the outline's layers) begins anew.
"""

recipe = "refining"

data_dir = "data"
weights = "runs/pointer/model.safetensors"
teacher = None
words = "runs/words"

people = ("{data_dir}/coco_people/train.json", "{data_dir}/coco_people/images")
synthetic = None  # or ("DIR/people.json", "DIR/images") of anypose data synthesize
athletes = ("{data_dir}/lspet/train.json", "{data_dir}/lspet/images")

lr = 1e-3
lr_trunk = 2e-4
seed = 0
workers = 1
data = {"pictures": 5, "crops_each": 2, "crops": 13}

steps = 1000
warmup = 30
ema = 0.99
save_every = 50
log_every = 10
threads = 1
device = "auto"
