"""One training run: interrupted it resumes, gone wrong it ends with the last good weights."""

from __future__ import annotations

import io
import math
import random
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import nn

from farthing.errors import StartupError
from farthing.forge.batches import length_bucketed, seed_everything
from farthing.forge.storage import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rich.progress import Progress

    from farthing.forge.plans import TrainingPlan


class TrainingDiverged(StartupError):
    """The loss stopped being a number before one epoch was done."""


class Epoch(msgspec.Struct, frozen=True):
    """What one pass over the rows gave; `accuracy` is on the validation rows, 0..1."""

    number: int
    loss: float
    accuracy: float


class History(msgspec.Struct, frozen=True):
    """A run's epochs in order; `stopped` says why it ended early, or is empty."""

    epochs: tuple[Epoch, ...] = ()
    stopped: str = ""


@dataclass(frozen=True)
class Run:
    """What to train and how it is judged.

    `loss` gives the mean loss of the rows with these numbers; `modules` hold all that is tuned;
    `lengths` are the rows' tokens; `accuracy` is called after each epoch. `during` gives what is
    entered for the epoch of that number, counted from 1.
    """

    modules: nn.Module
    lengths: Sequence[int]
    loss: Callable[[list[int]], torch.Tensor]
    accuracy: Callable[[], float]
    during: Callable[[int], AbstractContextManager[object]] = lambda _: nullcontext()


def tune(
    run: Run, plan: TrainingPlan, state: Path, progress: Progress, what: str = "fine-tune"
) -> History:
    """Trains in place by AdamW under a linear warm-up and decay.

    The state after each epoch is kept in the file `state`, and a run that finds one goes on from
    there, to the same weights as if it had not been interrupted. A loss that is no number ends the
    run with the weights of the last whole epoch.

    :raises TrainingDiverged: if there is no such epoch.
    """
    seed_everything(plan.seed, plan.threads)
    generator = random.Random(plan.seed)  # noqa: S311 - it shuffles, it guards nothing
    batches = math.ceil(len(run.lengths) / plan.batch)
    optimizer = _optimizer(run.modules, plan)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=plan.learning_rate,
        total_steps=batches * plan.epochs,
        pct_start=plan.warmup_share,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    keeper = _Keeper(state, run.modules, optimizer, schedule, generator)
    epochs = keeper.restore()
    task = progress.add_task(what, total=batches * plan.epochs, completed=batches * len(epochs))
    for number in range(len(epochs) + 1, plan.epochs + 1):
        run.modules.train()
        total = 0.0
        with run.during(number):
            for part in length_bucketed(run.lengths, plan.batch, generator):
                loss = run.loss(part)
                value = float(loss.detach())
                if not math.isfinite(value):
                    return _diverged(run, keeper, number, plan)
                loss.backward()
                nn.utils.clip_grad_norm_(run.modules.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                total += value * len(part)
                progress.advance(task)
        run.modules.eval()
        epochs.append(Epoch(number, total / len(run.lengths), run.accuracy()))
        keeper.keep(epochs)
        progress.console.print(
            f"{what}, epoch {number}/{plan.epochs}: loss {epochs[-1].loss:.4f}, "
            f"validation accuracy {epochs[-1].accuracy:.4f}"
        )
    run.modules.eval()
    return History(tuple(epochs))


def _diverged(run: Run, keeper: _Keeper, number: int, plan: TrainingPlan) -> History:
    epochs = keeper.restore()
    run.modules.eval()
    if not epochs:
        raise TrainingDiverged(
            f"The loss stopped being a number in the first epoch, at learning rate "
            f"{plan.learning_rate:g}; lower `learning_rate` in [training], a tenth of it to begin "
            "with."
        )
    return History(
        tuple(epochs),
        stopped=f"the loss stopped being a number in epoch {number}; "
        f"the weights are those after epoch {number - 1}",
    )


class _Keeper:
    """Weights, optimiser, schedule and random numbers in one file; read without unpickling code."""

    def __init__(
        self,
        file: Path,
        modules: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        generator: random.Random,
    ) -> None:
        self._file = file
        self._stateful: dict[str, Any] = {
            "modules": modules,
            "optimizer": optimizer,
            "schedule": schedule,
        }
        self._generator = generator

    def keep(self, epochs: Sequence[Epoch]) -> None:
        kept: dict[str, Any] = {name: part.state_dict() for name, part in self._stateful.items()}
        kept["epochs"] = [[epoch.number, epoch.loss, epoch.accuracy] for epoch in epochs]
        kept["shuffling"] = self._generator.getstate()
        kept["dropout"] = torch.get_rng_state()
        # By way of memory: torch has an error of its own, without a number, for a full disk.
        whole = io.BytesIO()
        torch.save(kept, whole)
        with writing(self._file) as aside:
            aside.write_bytes(whole.getbuffer())

    def restore(self) -> list[Epoch]:
        if not self._file.is_file():
            return []
        kept = torch.load(self._file, weights_only=True)
        for name, part in self._stateful.items():
            part.load_state_dict(kept[name])
        version, numbers, gauss = kept["shuffling"]
        self._generator.setstate((version, tuple(numbers), gauss))
        torch.set_rng_state(kept["dropout"])
        return [Epoch(int(number), loss, accuracy) for number, loss, accuracy in kept["epochs"]]


def _optimizer(modules: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    parameters = [p for p in modules.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
        fused=True,
    )
