"""All rules on AWS's files, on every scenario of parameters that a user may deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.billing.prices import read_price_book
from farthing.deployment.aws.access import check_access
from farthing.deployment.aws.batch import check_batch
from farthing.deployment.aws.cache import check_cache
from farthing.deployment.aws.frame import check_template
from farthing.deployment.aws.functions import check_functions
from farthing.deployment.aws.indexing import check_indexing
from farthing.deployment.aws.ledger import check_ledger
from farthing.deployment.aws.outputs import check_outputs
from farthing.deployment.aws.packages import check_layers
from farthing.deployment.aws.parameters import check_parameters
from farthing.deployment.aws.prices import check_prices
from farthing.deployment.aws.refusals import check_refusals, check_rules
from farthing.deployment.aws.roles import check_roles
from farthing.deployment.aws.samconfig import check_samconfig
from farthing.deployment.aws.scaling import check_scaling
from farthing.deployment.aws.schemas import check_schema, check_tags
from farthing.deployment.aws.stack import TEMPLATE, read_stacks, read_template
from farthing.deployment.aws.states import check_definition, check_states
from farthing.deployment.aws.wallet import check_wallet
from farthing.deployment.aws.warmth import check_warmth
from farthing.deployment.aws.watch import check_watch
from farthing.deployment.documents import Unreadable
from farthing.deployment.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.deployment.aws.stack import Stack
    from farthing.deployment.project import Project


def check(project: Project) -> Iterator[Finding]:
    """Each finding once, with the first scenario that has it."""
    try:
        template = read_template(project)
    except Unreadable as error:
        yield error.finding
        return
    book = read_price_book()
    yield from check_template(template)
    yield from check_parameters(template)
    yield from check_prices(template, book)
    yield from check_rules(template)
    yield from check_layers(project, template)
    yield from check_samconfig(project, template, book)
    yield from check_definition(project)
    said: set[Finding] = set()
    for stack in read_stacks(template):
        for finding in _stack(project, stack, book):
            if finding not in said:
                said.add(finding)
                yield _with_scenario(finding, stack)


def _stack(project: Project, stack: Stack, book: PriceBook) -> Iterator[Finding]:
    for at, says in stack.problems:
        yield Finding(TEMPLATE, at, f"{says}.", "Correct the reference.")
    for resource in stack.resources.values():
        yield from check_schema(resource)
        yield from check_tags(project, resource, stack.profile)
    yield from check_refusals(stack.template, stack.chosen)
    yield from check_functions(project, stack)
    yield from check_scaling(project, stack, book)
    yield from check_access(project, stack)
    yield from check_roles(project, stack)
    yield from check_watch(project, stack)
    yield from check_wallet(project, stack, book)
    yield from check_ledger(stack)
    yield from check_cache(project, stack)
    yield from check_warmth(project, stack)
    yield from check_indexing(stack)
    yield from check_batch(stack)
    yield from check_states(stack)
    yield from check_outputs(project, stack)


def _with_scenario(finding: Finding, stack: Stack) -> Finding:
    if not stack.chosen:
        return finding
    chosen = ", ".join(
        f"{key}={','.join(value) if isinstance(value, list) else value}"
        for key, value in stack.chosen.items()
    )
    return Finding(finding.file, finding.at, f"With {chosen}: {finding.says}", finding.do)
