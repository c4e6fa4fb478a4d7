"""The training loop. A run is a folder: settings, metrics, checkpoints, a report; it can stop at any moment.

One loop for one processor, one GPU, several, and several machines: accelerate starts the processes
(`accelerate launch -m anypose train ...`), each of which takes its share of the batches.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from anypose import zoo
from anypose.files import write_atomically
from anypose.recipes import sharded
from anypose.recipes.checkpoints import TrainingError, checkpoints, random_state, read, set_random_state, write
from anypose.recipes.journal import Journal, circumstances
from anypose.recipes.recipe import Recipe

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
SCHEDULES = ("cosine", "linear", "constant", "drop")
SKIPPED = 50  # steps in a row whose float16 gradients overflow, after which scaling has failed

# oneDNN keeps 1024 compiled primitives unless told otherwise; a training step of two networks needs more, and
# making them anew costs seconds a step.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")


@dataclass(frozen=True)
class Settings:
    """How long and how fast.

    Attributes:
        steps: number of optimiser steps.
        warmup: steps until the peak learning rate.
        schedule: what follows: "cosine" or "linear" to `floor` of it, "constant", or "drop" to a tenth.
        floor: the part of the peak at the end.
        drop: part of the steps after which "drop" drops.
        accumulate: batches of a process whose gradients make one step.
        clip: largest norm of the gradient.
        weight_decay: of AdamW.
        ema: decay of the average of weights that is kept and shipped; it starts lower and rises.
        precision: "float32", "bfloat16" or "float16" inside the networks, the weights always float32; None leaves it
            to `accelerate launch`.
        recompute: keep nothing inside the recipe's blocks and compute it again for the gradients: less memory.
        diverge: the run ends where the loss stands this many times its first fall above its start; 0 never ends it.
        save_every: steps between checkpoints.
        log_every: steps between lines of metrics.
        pictures_every: steps between pictures of the recipe's fixed samples, 0 for none.
        keep: number of checkpoints kept, beside the best.
        tensorboard: write events for TensorBoard too; needs anypose[tensorboard].
        threads: of torch, 0 for its own choice.
        device: "cpu", "cuda", or "auto".
    """

    steps: int = 3000
    warmup: int = 100
    schedule: str = "cosine"
    floor: float = 0.02
    drop: float = 0.7
    accumulate: int = 1
    clip: float = 20.0
    weight_decay: float = 0.01
    ema: float = 0.998
    precision: str | None = None
    recompute: bool = False
    diverge: float = 3.0
    save_every: int = 100
    log_every: int = 10
    pictures_every: int = 0
    keep: int = 2
    tensorboard: bool = False
    threads: int = 0
    device: str = "auto"


def rate(step: int, settings: Settings) -> float:
    """The part of the peak learning rate at a step."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "drop":
        return 0.1 if step >= settings.drop * settings.steps else 1.0
    part = min(1.0, (step - settings.warmup) / max(1, settings.steps - settings.warmup))
    left = 1 - part if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * part))
    return settings.floor + (1 - settings.floor) * left


class Average:
    """Exponential moving average of a model's weights."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, decay: float) -> None:
        """Moves the average towards the model's weights."""
        for name, value in model.state_dict().items():
            kept = self.weights[name]
            if kept.dtype.is_floating_point:
                kept.lerp_(value, 1 - decay)
            else:
                kept.copy_(value)

    @contextlib.contextmanager
    def instead(self, model: nn.Module) -> Iterator[None]:
        """The averaged weights in the model's place."""
        own = {name: value.clone() for name, value in model.state_dict().items()}
        training = model.training
        model.load_state_dict(self.weights)
        model.eval()
        try:
            yield
        finally:
            model.load_state_dict(own)
            model.train(training)


class Course:
    """Whether the loss still goes where it should."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.first = self.lowest = math.nan
        self.above = 0

    def add(self, loss: float) -> None:
        """The mean loss since the last line."""
        if math.isnan(self.first):
            self.first = self.lowest = loss
        fall = max(self.first - self.lowest, 0.5 * abs(self.first))
        self.above = self.above + 1 if self.bound and loss > self.first + self.bound * fall else 0
        self.lowest = min(self.lowest, loss)


class Learning(nn.Module):
    """What accelerate gets: its forward pass is the loss, so that precision and processes act on all of it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model = recipe.model
        self._losses = recipe.losses

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self._losses(batch)


def train(
    recipe: Recipe, settings: Settings, out: Path, *, resume: bool = False, about: dict[str, Any] | None = None
) -> nn.Module:
    """Runs a recipe to its end. The averaged weights are written to model.safetensors, a page to report.html.

    Args:
        recipe: what is learned.
        settings: how long and how fast.
        out: folder of the run; made if it is not there.
        resume: go on from the newest checkpoint in `out`, as if nothing had happened.
        about: what else the report is to say: the command, the experiment's values.

    Returns: the model, holding the averaged weights.

    Raises:
        TrainingError: the loss is not a number or runs away, data or disk fail, an option is not known, or the folder
            holds a run and `resume` was not asked for. The message says what is kept.
    """
    found = checkpoints(out)
    if found and not resume:
        raise TrainingError(f"{out} holds a run already: go on with --resume, or choose another folder")
    for option, value, known in (("schedule", settings.schedule, SCHEDULES),
                                 ("precision", settings.precision, (None, *PRECISIONS))):  # fmt: skip
        if value not in known:
            raise TrainingError(f"{option} is {value!r}, expected one of {', '.join(map(str, known))}")
    if settings.recompute and not recipe.blocks:
        raise TrainingError(f"recompute=True: {type(recipe).__name__} does not say which blocks to compute again")
    out.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with accelerated(settings) as accelerator:
        run = _Run(recipe, settings, out, accelerator, found[-1] if found else None)
        run.tell({**(about or {}), **asdict(settings)})
        try:
            run.go()
        finally:
            run.journal.close()
        return run.finished()


@contextlib.contextmanager
def accelerated(settings: Settings) -> Iterator[Accelerator]:
    """accelerate as the settings have it; a later run in the same process may have it otherwise."""
    # Prompts of one kind leave parts of a promptable network unused.
    kwargs = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    accelerator = Accelerator(
        cpu=settings.device == "cpu",
        mixed_precision=None if settings.precision is None else PRECISIONS[settings.precision],
        gradient_accumulation_steps=settings.accumulate,
        kwargs_handlers=kwargs,
    )
    try:
        yield accelerator
    finally:
        AcceleratorState._reset_state(reset_partial_state=accelerator.num_processes == 1)
        GradientState._reset_state()


class _Run:
    """A run under way."""

    def __init__(
        self, recipe: Recipe, settings: Settings, out: Path, accelerator: Accelerator, newest: Path | None
    ) -> None:
        self.recipe, self.settings, self.out, self.accelerator = recipe, settings, out, accelerator
        model = recipe.model.to(accelerator.device).train()
        if settings.recompute:
            recompute(model, recipe.blocks)
        optimiser = torch.optim.AdamW([dict(group) for group in recipe.groups], weight_decay=settings.weight_decay)
        self.peaks = [group["lr"] for group in recipe.groups]
        self.whole, self.optimiser = accelerator.prepare(Learning(recipe), optimiser)
        self.model = recipe.model
        self.average, self.course = Average(self.model), Course(settings.diverge)
        self.step = self.batches = self.skipped = 0
        self.best = -math.inf
        self.since: list[float] = []  # mean losses since the last checkpoint
        recipe.compute, recipe.backward = self.whole, accelerator.backward
        if newest is not None:
            self._restore(read(newest))
        silent = not accelerator.is_main_process
        try:
            self.journal = Journal(out, settings.steps, self.step, tensorboard=settings.tensorboard, silent=silent)
        except ModuleNotFoundError as error:
            raise TrainingError(f"tensorboard=True needs {error.name}: pip install 'anypose[tensorboard]'") from error

    def tell(self, about: dict[str, Any]) -> None:
        """Notes how and with what the run is made."""
        if self.accelerator.is_main_process:
            write_atomically(self.out / "settings.json", json.dumps(asdict(self.settings), indent=1))
            where = circumstances(about.pop("seed", None), str(self.accelerator.device), self.accelerator.num_processes)
            write_atomically(self.out / "about.json", json.dumps({**where, "values": about}, indent=1, default=str))

    def go(self) -> None:
        """All steps that are left."""
        settings, processes = self.settings, self.accelerator.num_processes
        batches = self.recipe.batches(self.batches + self.accelerator.process_index, processes)
        clock, logged = time.monotonic(), self.step
        sums: dict[str, float] = {}
        with _Stop() as stop:
            while self.step < settings.steps:
                for name, value in self._one(batches).items():
                    sums[name] = sums.get(name, 0.0) + value
                self.step += 1
                done = self.step == settings.steps
                asked = self._anybody(stop.asked)
                if self.step % settings.log_every == 0 or done or asked:
                    self._log(sums, self.step - logged, time.monotonic() - clock)
                    clock, logged, sums = time.monotonic(), self.step, {}
                if (self.step % settings.save_every == 0 or done or asked) and not self.course.above:
                    self.save()
                if settings.pictures_every and (self.step % settings.pictures_every == 0 or done):
                    self._draw()
                if asked:
                    if self.accelerator.is_main_process:
                        print(f"stopped at step {self.step} of {settings.steps}; go on with --resume")
                    break

    def _one(self, batches: Iterator[Any]) -> dict[str, float]:
        """One step; the terms of its loss, the norm of its gradient and the seconds waited for its data."""
        settings, accelerator = self.settings, self.accelerator
        for group, peak in zip(self.optimiser.param_groups, self.peaks):
            group["lr"] = peak * rate(self.step, settings)
        self.optimiser.zero_grad(set_to_none=True)
        noted: dict[str, float] = {"wait": 0.0}
        for part in range(settings.accumulate):
            batch, waited = self._next(batches)
            noted["wait"] += waited
            last = part == settings.accumulate - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.whole):
                losses = self.recipe.step(batch)
            for name, value in losses.items():
                noted[name] = noted.get(name, 0.0) + value.item() / settings.accumulate
        self.batches += settings.accumulate * accelerator.num_processes
        norm = float(accelerator.clip_grad_norm_(self.whole.parameters(), settings.clip))
        self._check(norm, noted)
        self.optimiser.step()
        self.average.update(self.model, min(settings.ema, (1 + self.step) / (10 + self.step)))
        return {**noted, "gradient": norm if math.isfinite(norm) else 0.0}

    def _next(self, batches: Iterator[Any]) -> tuple[Any, float]:
        """A batch, and the seconds until it came."""
        began = time.monotonic()
        try:
            return next(batches), time.monotonic() - began
        except (ValueError, OSError, EOFError, RuntimeError) as error:  # RuntimeError: a worker was killed
            # A worker's error carries its whole traceback; its last line is what is wrong.
            what = str(error).strip().split("\n")[-1]
            if self.step and self.accelerator.num_processes == 1:
                self.save()
            kept = self._advice("mend or remove what is broken and go on with --resume")
            raise TrainingError(f"the data of step {self.step} cannot be read: {what}; {kept}") from error

    def _check(self, norm: float, noted: dict[str, float]) -> None:
        if math.isfinite(norm) and math.isfinite(noted["total"]):
            self.skipped = 0
            return
        self.skipped += 1
        scaled = self.accelerator.mixed_precision == "fp16"  # overflow is then usual, and the step left out
        if not scaled or not math.isfinite(noted["total"]) or self.skipped > SKIPPED:
            terms = ", ".join(f"{name} {value:.3g}" for name, value in noted.items() if name != "wait")
            kept = self._advice("go on from it with a lower learning rate")
            raise TrainingError(f"the loss is not a number at step {self.step} ({terms}): {kept}")

    def _log(self, sums: dict[str, float], count: int, seconds: float) -> None:
        """Means over all processes, written by the first."""
        names = list(sums)
        values = torch.tensor([sums[name] for name in names], dtype=torch.float32, device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values, reduction="mean")
        means = {name: value / count for name, value in zip(names, values.tolist())}
        waited = means.pop("wait") * count / max(seconds, 1e-9)
        self.journal.line(self.step, seconds / count, waited, means)
        self.course.add(means["total"])
        self.since.append(means["total"])
        if self.course.above >= 3:
            kept = self._advice("go on from it with a lower learning rate")
            raise TrainingError(
                f"the loss runs away: {means['total']:.3g} at step {self.step}, {self.course.first:.3g} at the start "
                f"and {self.course.lowest:.3g} at best; {kept}"
            )

    def save(self) -> None:
        """A checkpoint; the best so far is kept beside the newest."""
        accelerator, optimiser = self.accelerator, self.optimiser
        figures = self._judged()
        merit = next(iter(figures.values())) if figures else -sum(self.since) / max(1, len(self.since))
        best = merit > self.best and bool(figures or self.since)
        self.best, self.since = max(self.best, merit) if best else self.best, []
        randoms = [random_state()]
        if accelerator.num_processes > 1:
            randoms = gather_object(randoms)
        split = accelerator.distributed_type == DistributedType.FSDP
        model, moments = (
            sharded.states(self.whole, optimiser) if split else (self.model.state_dict(), optimiser.state_dict())
        )
        average = {name: sharded.gathered(value) for name, value in self.average.weights.items()}
        state = {
            "step": self.step,
            "batches": self.batches,
            "model": model,
            "average": average,
            "optimiser": moments,
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
            "random": randoms,
            "course": (self.course.first, self.course.lowest, self.best),
            "figures": figures,
        }
        if accelerator.is_main_process:
            write(self.out, state, self.settings.keep, best=best)
        accelerator.wait_for_everyone()

    def _judged(self) -> dict[str, float]:
        if type(self.recipe).judge is Recipe.judge:
            return {}
        with self.average.instead(self.model), torch.no_grad():
            return self.recipe.judge()

    def _restore(self, state: dict[str, Any]) -> None:
        if self.accelerator.distributed_type == DistributedType.FSDP:
            sharded.restore(self.whole, self.optimiser, state["model"], state["optimiser"])
        else:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        for name, value in state["average"].items():
            sharded.fill(self.average.weights[name], value)
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.batches = int(state["step"]), int(state["batches"])
        self.course.first, self.course.lowest, self.best = state["course"]
        mine = self.accelerator.process_index
        if mine < len(state["random"]):  # more processes than before: theirs begin anew
            set_random_state(state["random"][mine])

    def _draw(self) -> None:
        kept = random_state()  # drawing must not change what is learned
        with self.average.instead(self.model), torch.no_grad():
            self.journal.pictures(self.step, self.recipe.pictures())
        set_random_state(kept)

    def _anybody(self, asked: bool) -> bool:
        """Whether a stop was asked of any process."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor([float(asked)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum").item())

    def _advice(self, what: str) -> str:
        kept = checkpoints(self.out)
        if kept:
            return f"the last checkpoint, {kept[-1]}, is sound; {what}"
        return "no checkpoint was written yet; start again, with a lower learning rate if the loss is to blame"

    def finished(self) -> nn.Module:
        """The model with its averaged weights, which are written."""
        average = {name: sharded.gathered(value).cpu().contiguous() for name, value in self.average.weights.items()}
        self.model.load_state_dict(self.average.weights)
        self.recipe.compute, self.recipe.backward = self.recipe.losses, Tensor.backward
        if self.accelerator.is_main_process:
            from anypose.report.training import write_training_page

            zoo.save(self.recipe.model, self.out / "model.safetensors", average)
            write_training_page(self.out)
        self.accelerator.wait_for_everyone()
        return self.model.eval()


def recompute(model: nn.Module, blocks: tuple[type[nn.Module], ...]) -> None:
    """Lets blocks of these kinds forget their insides; the gradients' pass computes them again."""
    for module in model.modules():
        if isinstance(module, blocks):
            module.forward = functools.partial(checkpoint, module.forward, use_reentrant=False)


class _Stop:
    """The first Ctrl-C ends the run after the step in hand; a second one ends it at once.

    Signals are handled so inside the `with` alone.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not in the main thread: whoever started the thread handles signals
            pass
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        # What starts several processes passes Ctrl-C on as SIGTERM, and that is no second request.
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
