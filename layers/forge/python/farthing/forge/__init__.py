"""The forge layer: makes bundles. Never attached to a function; it needs the extra `forge`.

recipe ─► reference (distil, export) ─► schemes (quantise) ─► pack ─► evaluate ─► a bundle
"""
