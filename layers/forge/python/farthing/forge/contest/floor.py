"""The accuracy that a winner must have: a number, or a share of the teacher's."""

from __future__ import annotations

import re

import msgspec

from farthing.forge.contest.errors import ContestInvalid

SPELLING = re.compile(r"(?P<value>0?\.\d+|1(?:\.0*)?)(?P<relative>-of-teacher)?")
# A share times an accuracy is no exact binary number.
ROUNDING = 1e-12


class Floor(msgspec.Struct, frozen=True):
    """`value` is 0..1: an accuracy, or a share of the teacher's if `of_teacher`."""

    asked: str
    value: float
    of_teacher: bool

    def threshold(self, teacher_accuracy: float | None) -> float:
        """The accuracy asked for, on the rows of which `teacher_accuracy` tells.

        :raises ContestInvalid: if it is a share and there is no teacher.
        """
        if not self.of_teacher:
            return self.value
        if teacher_accuracy is None:
            raise ContestInvalid(
                f"The floor {self.asked} is a share of the teacher's accuracy, but no teacher "
                'takes part. Add the teacher, or give an accuracy such as "0.95".'
            )
        return self.value * teacher_accuracy


def read_floor(asked: str) -> Floor:
    """The floor spelt "0.95" or "0.98-of-teacher".

    :raises ContestInvalid: if it is spelt otherwise.
    """
    found = SPELLING.fullmatch(asked)
    if found is None:
        raise ContestInvalid(
            f"The floor {asked!r} was asked for; a floor is an accuracy between 0 and 1 such as "
            '"0.95", or a share of the teacher\'s such as "0.98-of-teacher". Write one of these.'
        )
    return Floor(asked, float(found["value"]), of_teacher=found["relative"] is not None)


def meets(accuracy: float, threshold: float) -> bool:
    """Whether the accuracy is at least the threshold."""
    return accuracy >= threshold - ROUNDING
