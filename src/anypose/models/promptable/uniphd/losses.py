from __future__ import annotations
from typing import NamedTuple
from torch import nn
class Batch(NamedTuple):
    x:int
class Losses(nn.Module):
    def __init__(self,*a,**k):
        super().__init__()
