"""A cascade beside its stages, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.forge.cascade.making import Made

HEADS = (
    "model",
    "answers",
    "sure from",
    "accuracy",
    "95 %",
    "of its share",
    "p50 ms",
    "p99 ms",
    "$/M arm64",
    "$/M x86",
    "compute arm64",
    "compute x86",
)
# What a terminal has room for; the page has all.
ON_THE_PAGE = {"sure from", "95 %", "of its share", "compute arm64", "compute x86"}
TERMINAL = tuple(at for at, name in enumerate(HEADS) if name not in ON_THE_PAGE)


def cells(made: Made) -> Iterator[tuple[str, ...]]:
    """A row for each stage alone and one for the cascade, in the columns of `HEADS`."""
    sure = [f"{stage.sure_from:.2f}" for stage in made.manifest.stages[:-1]]
    for line, sure_from in zip(made.lines, [*sure, "", ""], strict=True):
        arm, x86 = line.bills["arm64"], line.bills["x86_64"]
        yield (
            line.name,
            f"{line.share:.1%}",
            sure_from,
            f"{line.accuracy:.4f}",
            f"{line.accuracy_low:.4f}-{line.accuracy_high:.4f}",
            f"{line.accuracy_of_share:.4f}",
            f"{line.p50_ms:.3f}",
            f"{line.p99_ms:.3f}",
            f"{arm.usd_per_million:.4f}",
            f"{x86.usd_per_million:.4f}",
            f"{arm.compute_usd_per_million:.4f}",
            f"{x86.compute_usd_per_million:.4f}",
        )


def markdown(made: Made) -> str:
    """The same rows for a page."""
    align = ["---", *["---:"] * (len(HEADS) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADS, align, *cells(made)))


def card(made: Made) -> str:
    """The page that lies beside a cascade."""
    *earlier, last = made.manifest.stages
    aim = made.manifest.calibration
    rules = "\n".join(
        f"- {stage.bundle} (digest `{stage.digest}`) answers what it gives a score of "
        f"{stage.sure_from:.2f} or more;"
        for stage in earlier
    )
    return f"""# {made.name}

{len(made.manifest.stages)} classifiers with the same {len(made.manifest.labels)} labels, the
cheapest first. Digest `{made.digest}`, over those of the stages, which lie beside it as bundles.

{rules}
- {last.bundle} (digest `{last.digest}`) answers the rest.

```sh
farthing invoke classify 'your text' --model {made.name}
```

`charge.models` of an answer says which of them answered, `charge.stages` what each took and cost.

## Measured

On the {made.rows:,} test rows of {made.data}, which had no say. Each stage stands alone in its row,
but for `answers` and `of its share`: how much it answers in the cascade, and how well. Times are
those of one text a call and one thread on {made.machine.cpu}; dollars are for a million warm calls
on {made.platform} at {made.memory_mb:,} MB, of which the request fee is the same for all.

{markdown(made)}

## How sure is sure

The thresholds were chosen on {aim["rows"]:,} validation rows: the lowest, in hundredths and from 1
downwards, with which the cascade is at most {aim["loss_max"]:.1%} less accurate than
{last.bundle} alone, with {aim["confidence"]:.0%} confidence. There the cascade is right in
{aim["value"]:.4f}, {last.bundle} alone in {aim["last_stage"]:.4f}.

Texts of another kind than those rows are less often sure, and then cost what {last.bundle} costs
and the earlier stages besides. Where a label stands for what belongs to none, it is one like any
other here.
"""
