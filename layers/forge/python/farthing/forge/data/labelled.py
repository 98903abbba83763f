"""Texts that have a label each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelledSet:
    """Texts with one label each; `texts[i]` belongs to `labels[i]`, "" where a set has none."""

    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def label_names(self) -> tuple[str, ...]:
        """The distinct labels, sorted: the order a classifier's outputs have."""
        return tuple(sorted(set(self.labels)))

    def label_ids(self, names: tuple[str, ...]) -> list[int]:
        """Each row's position in `names`.

        :raises ValueError: if a label is not among `names`.
        """
        ids = {name: number for number, name in enumerate(names)}
        unknown = sorted(set(self.labels) - set(ids))
        if unknown:
            raise ValueError(
                f"Labels {unknown} are not among the model's labels {list(names)}; "
                "use a set with the labels that the model was trained on."
            )
        return [ids[label] for label in self.labels]
