"""A cascade as data: which bundles answer, in which order, and how sure each must be."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from farthing.errors import BundleCorrupt, BundleMissing, BundleTooNew
from farthing.formats import decode_versioned

# Resolved at run time by msgspec, which reads the annotations.
from farthing.inference.bundle import Sha256, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FORMAT = 1
CASCADE_FILE = "cascade.json"

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")]


class Stage(msgspec.Struct, frozen=True):
    """A bundle by name and digest; it answers a text when its best score is at least `sure_from`.

    The last stage answers whatever is left: its `sure_from` is 0.
    """

    bundle: Name
    digest: Sha256
    sure_from: Annotated[float, msgspec.Meta(ge=0, le=1)]


class CascadeManifest(msgspec.Struct, frozen=True):
    """The cascade's own account of itself; its bytes are what the cascade's digest covers.

    They name the digests of the stages, so one digest stands for all that answers. `calibration`
    says on what the thresholds were chosen, `accuracy` what they are worth on other rows.
    """

    format: int
    name: Name
    task: Literal["classify"]
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    stages: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=2)]
    calibration: dict[str, Any]
    accuracy: dict[str, Any]
    licence: str
    origin: str

    def __post_init__(self) -> None:
        *earlier, last = self.stages
        if last.sure_from != 0 or not all(stage.sure_from for stage in earlier):
            raise ValueError("`sure_from` is 0 in the last stage, and above 0 in all before it")
        if len({stage.bundle for stage in self.stages}) < len(self.stages):
            raise ValueError("each stage is another bundle")


class FoundCascade(NamedTuple):
    """A cascade's manifest, and the digest of its bytes."""

    digest: str
    manifest: CascadeManifest


def read_cascade(folder: Path) -> FoundCascade:
    """The cascade in `folder`; whether its stages are there is not asked.

    Raises `BundleMissing`, `BundleTooNew` and `BundleCorrupt`, naming the file.
    """
    file = folder / CASCADE_FILE
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BundleMissing(
            f"Cascade {file} cannot be read ({error.strerror}). Make it with "
            "`farthing forge cascade`, or point FARTHING_MODELS at the folder that holds it."
        ) from None
    try:
        manifest = decode_versioned(
            raw,
            CascadeManifest,
            FORMAT,
            lambda found: BundleTooNew(
                f"{file} has cascade format {found}; this Farthing reads up to {FORMAT}. "
                "Upgrade Farthing, or make the cascade with this version's forge."
            ),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleCorrupt(f"{file} is not a cascade: {error}. Make it again.") from None
    return FoundCascade(hashlib.sha256(raw).hexdigest(), manifest)


def find_cascades(root: Path) -> Iterator[FoundCascade]:
    """The cascades in folders below `root`, by the folders' names."""
    for file in sorted(root.glob(f"*/{CASCADE_FILE}")):
        yield read_cascade(file.parent)


def check_cascade(
    found: FoundCascade, folders: Mapping[str, Path], expected_digest: str | None = None
) -> None:
    """Refuses a cascade that is not the one asked for, or whose stages are not the bundles that it
    was calibrated with.

    `folders` has those of all bundles, by name. Raises `BundleMissing` and `BundleCorrupt`, naming
    cascade, stage and digests.
    """
    digest, cascade = found
    if expected_digest is not None and digest != expected_digest:
        raise BundleCorrupt(
            f"The cascade {cascade.name} was asked for by digest {expected_digest}; it has "
            f"{digest}. Deploy the one that was tested, or update the expected digest."
        )
    if cascade.name in folders:
        raise BundleCorrupt(
            f"A cascade and a bundle are both named {cascade.name}, so nobody could ask for one "
            "of them. Rename the cascade."
        )
    for stage in cascade.stages:
        folder = folders.get(stage.bundle)
        if folder is None:
            raise BundleMissing(
                f"The cascade {cascade.name} has the stage {stage.bundle}, and there is no bundle "
                f"of that name beside it; there is {', '.join(sorted(folders)) or 'none'}. "
                "Put it there, or leave the cascade out with FARTHING_MODEL."
            )
        digest, manifest = read_manifest(folder)
        if digest != stage.digest:
            raise BundleCorrupt(
                f"The cascade {cascade.name} was calibrated with {stage.bundle} of digest "
                f"{stage.digest}; {folder} has {digest}. Restore that bundle, or calibrate again "
                "with `farthing forge cascade`."
            )
        if manifest.labels != cascade.labels:
            raise BundleCorrupt(
                f"The cascade {cascade.name} has {len(cascade.labels)} labels, and its stage "
                f"{stage.bundle} has {len(manifest.labels)}, others or in another order. "
                "Make the cascade of bundles with the same labels."
            )
