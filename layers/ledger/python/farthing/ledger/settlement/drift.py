"""How far what instances measured lies from what the provider billed, call by call."""

from __future__ import annotations

from collections import Counter

PPM = 1_000_000
STEP_PPM = 100
OVERHEAD_STEP_NS = 10_000
NS_PER_US = 1000
SHARES = {"p50": 500_000, "p90": 900_000, "p99": 990_000, "max": PPM}


class Drift:
    """Relative differences of billed milliseconds, counted in steps of 100 ppm; and what the
    platform took beside the handler, in steps of 10 µs."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self._overheads: Counter[int] = Counter()

    def add(self, measured_ms: int, settled_ms: int) -> None:
        """One call. Relative to what was measured; where that is 0, to one millisecond."""
        difference_ppm = (settled_ms - measured_ms) * PPM // max(1, measured_ms)
        self._steps[difference_ppm // STEP_PPM] += 1

    def add_overhead(self, beside_ns: int) -> None:
        """One call's time that was recorded and that no handler measured."""
        self._overheads[beside_ns // OVERHEAD_STEP_NS] += 1

    def overhead_us(self) -> int:
        """The median of what the platform took beside the handler; 0 for no calls."""
        needed = -(-self._overheads.total() // 2)
        for step in sorted(self._overheads):
            needed -= self._overheads[step]
            if needed <= 0:
                return step * OVERHEAD_STEP_NS // NS_PER_US
        return 0

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
