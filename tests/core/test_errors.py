"""The tree of errors is what its drawing says."""

import inspect
import re

from farthing import errors
from farthing.errors import FarthingError, Refusal


def leaves() -> list[type[FarthingError]]:
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, FarthingError)
    ]
    return [kind for kind in found if not kind.__subclasses__()]


def test_every_error_is_drawn_with_its_status() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)(?: +(\d{3}))?$", errors.__doc__ or "", re.MULTILINE))
    for kind in leaves():
        status = str(kind.status) if issubclass(kind, Refusal) else ""
        assert drawn[kind.__name__] == status


def test_codes_are_distinct_and_problems_are_whole() -> None:
    refusals = [kind for kind in leaves() if issubclass(kind, Refusal)]
    assert len({kind.code for kind in refusals}) == len(refusals)
    for kind in refusals:
        problem = kind("asked, is, do").problem()
        assert problem["status"] == kind.status
        assert {"type", "title", "detail"} < problem.keys()
