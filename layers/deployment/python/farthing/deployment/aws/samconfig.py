"""samconfig.toml: an environment for each profile, with parameters that the template takes."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from farthing.deployment.aws.parameters import number, takes
from farthing.deployment.aws.stack import make_stack
from farthing.deployment.aws.standing import standing_usd
from farthing.deployment.findings import Finding
from farthing.errors import PriceMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farthing.billing.prices import PriceBook
    from farthing.deployment.project import Project

FILE = "samconfig.toml"
# The environment that `sam deploy` takes unasked, and one for each profile.
ENVIRONMENTS = {"default": "zero", "zero": "zero", "warm": "warm", "cpu": "cpu"}
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,40}")
WANTED = {
    "capabilities": ("CAPABILITY_IAM", "the template creates roles"),
    "resolve_s3": (True, "the breaker's zip needs a bucket"),
    "resolve_image_repos": (True, "images need repositories"),
    "confirm_changeset": (True, "a change of profile costs money, and is looked at first"),
}
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-deploy.html
OPTIONS = {
    *WANTED, "stack_name", "region", "parameter_overrides", "tags", "profile", "s3_bucket",
    "s3_prefix", "image_repository", "image_repositories", "role_arn", "kms_key_id",
    "disable_rollback", "fail_on_empty_changeset", "no_fail_on_empty_changeset",
    "notification_arns", "on_failure", "signing_profiles", "template_file", "template",
    "metadata", "force_upload", "max_wait_duration", "no_progressbar", "no_execute_changeset",
    "use_json",
}  # fmt: skip
COMMANDS = {
    "global", "build", "deploy", "package", "validate", "local_invoke", "local_start_api",
    "local_start_lambda", "logs", "sync", "delete", "list", "traces", "publish", "init",
}  # fmt: skip


def check_samconfig(
    project: Project, template: dict[str, Any], book: PriceBook
) -> Iterator[Finding]:
    try:
        config = tomllib.loads((project.root / FILE).read_text(encoding="utf-8"))
    except OSError:
        yield Finding(FILE, "", "There is no such file.", "Restore it.")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        yield Finding(FILE, "", f"It is no TOML: {error}.", "Correct it.")
        return
    if config.get("version") != 0.1:
        yield Finding(FILE, "version", f"It is {config.get('version')}.", "Make it 0.1.")
    for name, tables in config.items():
        if isinstance(tables, dict):
            yield from _commands(name, tables)
    found = {name: _parameters(config, name) for name in ENVIRONMENTS}
    for name, profile in ENVIRONMENTS.items():
        if not found[name]:
            yield Finding(
                FILE,
                f"{name}.deploy.parameters",
                f"There is no such table, so Profile {profile} cannot be deployed by name.",
                "Add it.",
            )
            continue
        for key, says, do in (
            *_environment(template, profile, found[name]),
            *_affordable(template, found[name], book),
        ):
            yield Finding(FILE, f"{name}.deploy.parameters.{key}", says, do)
    yield from _stacks({name: it.get("stack_name") for name, it in found.items() if it})


def _commands(name: str, tables: dict[str, Any]) -> Iterator[Finding]:
    for command, table in tables.items():
        at = f"{name}.{command}"
        if command not in COMMANDS:
            yield Finding(FILE, at, "SAM has no such command.", "Correct its name.")
        elif not isinstance(table, dict) or set(table) != {"parameters"}:
            yield Finding(FILE, at, "SAM reads its table `parameters` only.", "Put options there.")
        elif command == "deploy":
            for option in table["parameters"].keys() - OPTIONS:
                yield Finding(
                    FILE,
                    f"{at}.parameters.{option}",
                    "`sam deploy` has no such option.",
                    "Correct it.",
                )


def _environment(
    template: dict[str, Any], profile: str, options: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for key, (value, why) in WANTED.items():
        if options.get(key) != value:
            yield key, f"It is {options.get(key)}, but {why}.", f"Make it {value}."
    if not STACK_NAME.fullmatch(str(options.get("stack_name", ""))):
        yield "stack_name", f"It is {options.get('stack_name')}.", "Name the stack."
    regions = template.get("Mappings", {}).get("Prices", {})
    if options.get("region") not in regions:
        yield (
            "region",
            f"It is {options.get('region')}, and the price book has no price there.",
            f"Choose one of {', '.join(regions)}.",
        )
    declared = template.get("Parameters", {})
    overrides = _pairs(options.get("parameter_overrides"))
    for name, value in overrides.items():
        if name not in declared or not takes(declared[name], value):
            yield (
                "parameter_overrides",
                f"The template takes no {name}={value}.",
                "Correct it; template.yaml lists its Parameters.",
            )
    tags = _pairs(options.get("tags"))
    wanted = {("parameter_overrides", "Profile"): profile, ("tags", "profile"): profile}
    wanted["tags", "app"] = "farthing"
    for (key, name), value in wanted.items():
        given = (overrides if key == "parameter_overrides" else tags).get(name)
        if given != value:
            yield key, f"{name} is {given} in the environment of {value}.", f"Set {name}={value}."


def _affordable(
    template: dict[str, Any], options: dict[str, Any], book: PriceBook
) -> Iterator[tuple[str, str, str]]:
    """The breaker would stop a profile whose standing cost alone is above its budget."""
    stack = make_stack(template, _pairs(options.get("parameter_overrides")))
    budget_usd = number(stack.parameters.get("MonthlyBudgetUsd"))
    try:
        idle_usd = standing_usd(stack, book, str(options.get("region")))
    except (PriceMissing, TypeError, ArithmeticError) as error:
        yield "region", f"What stands ready there has no price: {error}", "Choose another region."
        return
    if idle_usd > budget_usd:
        says = (
            f"The profile costs {idle_usd:.0f} USD a month while nobody calls, and its budget is "
            f"{budget_usd:.0f} USD, so the budget would stop it."
        )
        yield "parameter_overrides", says, f"Set MonthlyBudgetUsd above {idle_usd:.0f}."


def _stacks(names: dict[str, Any]) -> Iterator[Finding]:
    """Functions have the same names in every profile, and cpu's are other resources."""
    shared = {names[it] for it in ("default", "zero", "warm") if it in names}
    if len(shared) > 1 or names.get("cpu") in shared:
        yield Finding(
            FILE,
            "cpu.deploy.parameters.stack_name" if len(shared) == 1 else "stack_name",
            "default, zero and warm are one stack that changes in place, and cpu is another.",
            "Give the first three one stack_name, and cpu a different one.",
        )


def _parameters(config: dict[str, Any], name: str) -> dict[str, Any]:
    found: Any = config
    for key in (name, "deploy", "parameters"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _pairs(value: Any) -> dict[str, str]:
    items = value if isinstance(value, list) else str(value or "").split()
    return {
        key: text.strip("\"'")
        for key, sign, text in (str(it).partition("=") for it in items)
        if sign
    }
