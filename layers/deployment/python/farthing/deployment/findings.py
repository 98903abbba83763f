"""A finding: one thing in a deployment file that would not do what it says."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, order=True):
    """`file` is relative to the project, `at` the dotted path inside it (empty: the whole file).

    `says` states what was asked and what is so; `do` what to change. Both are whole sentences.
    """

    file: str
    at: str
    says: str
    do: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.at}" if self.at else self.file
        return f"{where}: {self.says} {self.do}"
