"""The TokenCLIPose that comes along: COCO's keypoints, small backbone, names by word vectors.

Command:
    anypose train experiments/tokenclipose.py --out runs/tokenclipose --set data_dir=DATA --set weights_dir=WEIGHTS
    anypose export runs/tokenclipose/model.safetensors --model promptable/tokenclipose/lite --out exported

DATA holds coco_people/, WEIGHTS the file of PP-TinyPose, whose trunk stays as it is (`kept`): its maps of one view of
each person, of which two in five are shrunk boxes, are computed once, 1 GB of memory. Figures stand in the model card.
With `--set kept=0` every view is new and the trunk learns too, which takes many times as long.
"""

recipe = "reaching"

data_dir = "data"
weights_dir = "weights"
people = ("{data_dir}/coco_people/train.json", "{data_dir}/coco_people/images")
judged = None
trunk = "{weights_dir}/tinypose_256x192.onnx"
weights = None

skeleton = "coco17"
variant = "lite"
model = {}
least = 11
views = {}
kept = 1
cut_targets = False
batch = 32
lr = 2e-3
lr_backbone = 5e-5
seed = 0

steps = 800
warmup = 40
ema = 0.99
save_every = 100
log_every = 50
threads = 1
device = "cpu"
