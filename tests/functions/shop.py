"""A shop's small catalogue as a real index, for what serves it and what writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farthing.indexing.build import build
from farthing.indexing.options import BuildOptions
from farthing.inference.bundle import Bundle
from farthing.search.manifest import Field, Filter
from tests.functions.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EMBEDDER = "all-minilm-l6-v2"
PRODUCTS = [
    ("p1", "bosch series 4 free-standing fridge freezer 186cm stainless steel", "bosch", 549.0),
    ("p2", "bosch cordless drill 18v with two batteries", "bosch", 129.0),
    ("p3", "makita cordless hammer drill 18v body only", "makita", 99.5),
    ("p4", "samsung galaxy s9 64gb black unlocked smartphone", "samsung", 210.0),
    ("p5", "samsung ue55nu7100 55 inch 4k ultra hd smart tv", "samsung", 479.0),
    ("p6", "canon eos 2000d digital slr camera with 18-55mm lens", "canon", 369.0),
    ("p7", "beko 8kg 1400 spin washing machine white", "beko", 229.0),
    ("p8", "red wooden chair for the kitchen", "oak & sons", 45.0),
    ("p9", "a blue reading lamp for the bedside", "oak & sons", 25.0),
    ("p10", "russell hobbs cordless kettle 1.7l", "russell hobbs", 24.99),
    ("p11", "intel core i7 8700k 3.7ghz socket 1151 processor", "intel", 329.0),
    ("p12", "garden hose 30m with spray gun", "hozelock", 32.0),
]


def build_shop(out: Path, *, name: str = "shop", models: Path = ROOT / "layers" / "models") -> Path:
    """The folder of the index, built anew."""
    file = out.parent / f"{out.name}.tsv"
    rows = [("sku", "title", "brand", "price"), *PRODUCTS]
    file.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    options = BuildOptions(
        id="sku",
        fields=(Field("title"),),
        filters=(Filter("brand"), Filter("price", "number")),
        name=name,
        licence="CC0-1.0",
    )
    build(file, out, Bundle.open(models / EMBEDDER), options)
    return out
