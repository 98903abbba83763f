"""How far what instances measured lies from what the provider billed, call by call."""

from __future__ import annotations

from collections import Counter

PPM = 1_000_000
STEP_PPM = 100
SHARES = {"p50": 500_000, "p90": 900_000, "p99": 990_000, "max": PPM}


class Drift:
    """Relative differences of billed milliseconds, counted in steps of 100 ppm."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()

    def add(self, measured_ms: int, settled_ms: int) -> None:
        """One call. Relative to what was measured; where that is 0, to one millisecond."""
        difference_ppm = (settled_ms - measured_ms) * PPM // max(1, measured_ms)
        self._steps[difference_ppm // STEP_PPM] += 1

    def percentiles_ppm(self) -> dict[str, int]:
        """The absolute drift that so many of the calls do not exceed, in parts per million."""
        steps = Counter[int]()
        for step, calls in self._steps.items():
            steps[abs(step)] += calls
        found: dict[str, int] = {}
        for name, share_ppm in SHARES.items():
            needed = -(-steps.total() * share_ppm // PPM)
            seen = 0
            for step in sorted(steps):
                seen += steps[step]
                if seen >= needed:
                    found[name] = step * STEP_PPM
                    break
        return found
