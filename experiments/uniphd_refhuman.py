"""UniPHD on RefHuman, by the recipe of its paper (Miao et al., NeurIPS 2024).

Command:
    anypose train experiments/uniphd_refhuman.py --out runs/uniphd --set data_dir=DATA --set tokenizer=TOKENIZER

DATA holds RefHuman_train.json, which the authors give on request, and images/; TOKENIZER is RoBERTa's tokenizer.json.

The paper trained on GPUs of 24 GB (RTX 3090; the release's 4 pictures a GPU make four of them), 20 epochs, a batch of
16, in float32. Expected on RefHuman val, long side 640 (its table 2):

    prompt    pose AP  PCKh@0.5  oIoU  mask AP
    text         66.7      79.0  75.0     62.2
    point        73.5      88.7  83.1     68.9
    scribble     74.7      90.4  85.7     70.0

This project has not run it: the training annotations are not public, and no such machine was at hand. The quirks of the
authors' training are set here as they have them; leave them out to train without.
"""

recipe = "referring"

data_dir = "data"
refhuman_data = ("{data_dir}/RefHuman_train.json", "{data_dir}/images")
tokenizer = "tokenizer.json"

variant = "swin-t"
model = {"isotropic_oks": False, "visibility_halved_again": True}
pretrained = True
weights = None
augmentation = {"authors": True}
kinds = {"text": 0.5, "scribble": 0.25, "point": 0.25}
batch = 16

lr = 1e-4
lr_backbone = 1e-5
lr_text = 1e-5  # the paper says 1e-4; the authors' code gives RoBERTa the backbone's rate, by its name
seed = 0

steps = 57500  # 20 epochs of about 46 000 people
warmup = 0
schedule = "drop"
drop = 0.9  # after epoch 18
clip = 0.1
weight_decay = 1e-4
ema = 0.0
save_every = 2875
device = "auto"
