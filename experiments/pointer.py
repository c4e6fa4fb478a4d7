"""The default model, `promptable/pointer`.

Command:
    python experiments/words.py MODEL_DIR runs/words
    anypose train experiments/pointer.py --out runs/pointer --set data_dir=DATA --set weights_dir=WEIGHTS

DATA holds coco_people/ and lspet/, WEIGHTS the two published ONNX files; runs/pointer/model.safetensors is the result,
`anypose export` makes of it what is shipped. Two cores, 2 to 3 s a step.

The weights in the package came about in several runs while this recipe grew; their card lists them with their figures.
A phase that trains a part is this file with `--set weights=FILE --set "learn=('first.words', ...)"`.
"""

recipe = "pointing"

data_dir = "data"
weights_dir = "weights"
words = "runs/words"

people = ("{data_dir}/coco_people/train.json", "{data_dir}/coco_people/images")
synthetic = None  # or ("DIR/people.json", "DIR/images") of anypose data synthesize
athletes = ("{data_dir}/lspet/train.json", "{data_dir}/lspet/images")
yolox = "{weights_dir}/yolox_nano_416.onnx"
tinypose = "{weights_dir}/tinypose_256x192.onnx"
detector = "{weights_dir}/yolox_nano_416.onnx"
weights = None
judged = None
learn = ()

lr = 8e-4
lr_words = 5e-3
lr_things = 3e-3
lr_first = 1e-4
lr_second = 4e-5
seed = 0
workers = 1
data = {"pictures": 8, "prompts_each": 20, "crops_each": 2, "crops": 14}

steps = 1260
warmup = 60
ema = 0.998
save_every = 50
threads = 2
device = "auto"
