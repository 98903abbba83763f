"""Hours of the week in which instances stand ready, as what each platform's scheduler takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farthing.planning.warmth.history import WEEK_HOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
# Every day, working days, the weekend.
DAY_GROUPS = (tuple(range(7)), tuple(range(5)), (5, 6))
DAY_HOURS = 24
DAY_MINUTES = DAY_HOURS * 60
# Longer, and it would begin again before it ends.
HOURS_MAX = 23
# Instances are asked for so long before they are needed: they start, and load their model.
LEAD_MINUTES = 5


class Window(NamedTuple):
    """From `hour` (0 to 23, UTC) of each of the `days` (0 is Monday) for so many `hours`."""

    days: tuple[int, ...]
    hour: int
    hours: int

    @property
    def minutes_week(self) -> int:
        """How long instances are kept each week, with what they are asked for earlier."""
        return len(self.days) * (self.hours * 60 + LEAD_MINUTES)

    @property
    def of_week(self) -> set[int]:
        """The hours of the week that it covers."""
        return {
            (day * DAY_HOURS + self.hour + hour) % WEEK_HOURS
            for day in self.days
            for hour in range(self.hours)
        }

    def __str__(self) -> str:
        end = (self.hour + self.hours) % DAY_HOURS
        return f"{_days(self.days)} {self.hour:02d}:00-{end:02d}:00 UTC"

    def as_json(self) -> dict[str, object]:
        return {"days": [DAYS[day] for day in self.days], "hour": self.hour, "hours": self.hours}


class Moment(NamedTuple):
    """A minute of an hour of some days, UTC."""

    days: tuple[int, ...]
    hour: int
    minute: int

    def quartz(self) -> str:
        """As AWS and Function Compute write days, in the fields that both have."""
        return f"{self.minute} {self.hour} ? * {_days(self.days)}"

    def cron(self, until: int) -> str:
        """Each minute until that hour is over, as a Unix cron says it, where Sunday is 0."""
        days = ",".join(str(number) for number in sorted((day + 1) % 7 for day in self.days))
        hours = f"{self.hour}-{until}" if until > self.hour else str(self.hour)
        return f"* {hours} * * {'*' if len(self.days) == len(DAYS) else days}"


def coldest(cold_by_hour: Sequence[int], days: tuple[int, ...], hours: int) -> Window:
    """Of the windows of these days that are so long, the one that has the most cold starts."""
    return max(
        (Window(days, hour, hours) for hour in range(DAY_HOURS)),
        key=lambda window: sum(cold_by_hour[hour] for hour in window.of_week),
    )


def begin_of(window: Window) -> Moment:
    """When instances are asked for."""
    return _moment(window.days, window.hour * 60 - LEAD_MINUTES)


def end_of(window: Window) -> Moment:
    return _moment(window.days, (window.hour + window.hours) * 60)


def scheduled(platform: str, window: Window, kept: int) -> tuple[str, ...]:
    """The window as the platform takes it, in UTC.

    Lambda: parameters of the shipped template, which makes scheduled actions of Application Auto
    Scaling of them. Function Compute: `scheduledActions` of a provision configuration. Knative:
    PingSources, as many of each as there are to be kept pods; nothing but Serving may scale what
    Serving scales.
    """
    begin, end = begin_of(window), end_of(window)
    if platform == "lambda":
        return (
            "Profile=warm",
            f"WarmEnvironments={kept}",
            f"WarmFrom='cron({begin.quartz()} *)'",
            f"WarmUntil='cron({end.quartz()} *)'",
            "WarmTimezone=Etc/UTC",
        )
    if platform == "fc":
        return tuple(
            f"- {{name: {name}, scheduleExpression: 'cron(0 {moment.quartz()})', "
            f"target: {target}, timeZone: Etc/UTC}}"
            for name, moment, target in (("begin", begin, kept), ("end", end, 0))
        )
    # A window over midnight is two: cron has no hours that run on into another day.
    until = window.hour + window.hours
    parts = [Moment(window.days, window.hour, 0).cron(min(until, DAY_HOURS) - 1)]
    if until > DAY_HOURS:
        parts.append(Moment(end.days, 0, 0).cron(until - DAY_HOURS - 1))
    return tuple(f"- {{schedule: '{part}', timezone: Etc/UTC}}" for part in parts)


def _moment(days: tuple[int, ...], minute_of_day: int) -> Moment:
    later, minute = divmod(minute_of_day, DAY_MINUTES)
    return Moment(tuple(sorted((day + later) % len(DAYS) for day in days)), *divmod(minute, 60))


def _days(days: tuple[int, ...]) -> str:
    """MON-FRI where they follow each other, else MON,SUN."""
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)
