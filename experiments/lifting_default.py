"""The default lifter, `lifting/lever`, over clips; its single frame is this file with other values.

Command:
    anypose train experiments/lifting_default.py --out runs/lever --set motion=cmu_60hz.npz
    anypose train experiments/lifting_default.py --out runs/single --set motion=cmu_60hz.npz \
        --set system=lifting/lever/single --set "data={'frames': 1, 'batch': 1024}"
    anypose export runs/lever/model.safetensors --model lifting/lever --out exported
    anypose export runs/single/model.safetensors --model lifting/lever/single --out exported/single

One thread, about 0.1 s of processor time a step for clips. Figures stand in the model card.
"""

recipe = "lifting"

system = "lifting/lever"
motion = "data/cmu_mocap/cmu_60hz.npz"
subject = None
data = {"frames": 28, "batch": 96}

lr = 1.5e-3
seed = 0

steps = 2400
warmup = 100
clip = 1.0
ema = 0.998
save_every = 250
log_every = 50
threads = 1
device = "cpu"
