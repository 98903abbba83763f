"""A run that is interrupted resumes; one that goes wrong keeps its last good weights."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress  # noqa: E402

from farthing.forge.plans import TrainingPlan  # noqa: E402
from farthing.forge.storage import NotWritable, writing  # noqa: E402
from farthing.forge.tuning import History, Run, TrainingDiverged, tune  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAN = TrainingPlan(seed=5, threads=1, epochs=4, batch=8, learning_rate=0.05, bfloat16=False)


class Interrupted(Exception):
    """Stands for the kill that ends a process."""


class Line:
    """A line through points, with dropout so that the random numbers matter."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(3, 1))
        self.x = torch.randn(40, 3, generator=torch.manual_seed(1))
        self.y = self.x.sum(1, keepdim=True)
        self.batches = 0

    def loss(self, part: list[int]) -> torch.Tensor:
        self.batches += 1
        return ((self.net(self.x[part]) - self.y[part]) ** 2).mean()

    def tuned(
        self, state: Path, loss: Callable[[list[int]], torch.Tensor] | None = None
    ) -> History:
        run = Run(self.net, [1] * 40, loss or self.loss, lambda: 0.5)
        with Progress(disable=True) as progress:
            return tune(run, PLAN, state, progress)

    def weights(self) -> list[float]:
        return [value for p in self.net.parameters() for value in p.detach().flatten().tolist()]


def failing_after(line: Line, batches: int, failure: Callable[[], torch.Tensor]) -> Callable:
    def loss(part: list[int]) -> torch.Tensor:
        return failure() if line.batches >= batches else line.loss(part)

    return loss


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = Line()
    history = whole.tuned(tmp_path / "whole.pt")

    def interrupted() -> torch.Tensor:
        raise Interrupted

    begun = Line()
    with pytest.raises(Interrupted):
        begun.tuned(tmp_path / "part.pt", failing_after(begun, 13, interrupted))
    resumed = Line()
    assert resumed.tuned(tmp_path / "part.pt") == history
    assert resumed.weights() == whole.weights()
    assert resumed.batches == 10  # two of four epochs of five batches


def test_a_loss_that_is_no_number_ends_with_the_last_good_weights(tmp_path: Path) -> None:
    good = Line()

    def interrupted() -> torch.Tensor:
        raise Interrupted

    with pytest.raises(Interrupted):
        good.tuned(tmp_path / "good.pt", failing_after(good, 10, interrupted))
    bad = Line()
    history = bad.tuned(
        tmp_path / "bad.pt",
        failing_after(bad, 12, lambda: torch.tensor(float("nan"), requires_grad=True)),
    )
    assert len(history.epochs) == 2
    assert "epoch 3" in history.stopped
    assert "after epoch 2" in history.stopped
    assert bad.weights() == good.weights()


def test_a_loss_that_is_no_number_from_the_start_says_what_to_change(tmp_path: Path) -> None:
    line = Line()
    with pytest.raises(TrainingDiverged, match="lower `learning_rate`"):
        line.tuned(
            tmp_path / "x.pt",
            failing_after(line, 0, lambda: torch.tensor(float("inf"), requires_grad=True)),
        )


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from farthing.forge.storage import DiskFull, writing
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with writing(Path(sys.argv[1])) as aside:
                aside.write_bytes(bytes(100_000))
        except DiskFull as error:
            print(error)
        """
    )
    target = tmp_path / "state.pt"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=False
    )
    assert "the disk is full" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_fails_for_another_reason_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "x") as aside:
        (aside / "no" / "folder").write_bytes(b"")


def test_a_file_that_stands_for_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(NotWritable, match="out stands in the way"), writing(tmp_path / "out" / "x"):
        pass
