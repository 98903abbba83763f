"""A packed model on disk, opened by digest and never by trust."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from farthing.errors import BundleCorrupt, BundleMissing, BundleTooNew
from farthing.formats import decode_versioned

if TYPE_CHECKING:
    from collections.abc import Iterator

# Format 2 brought encoders other than WordPiece; a bundle states the least format it needs.
FORMAT = 2
MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
NGRAMS_FILE = "ngrams.bin"
ENCODER_FILES = {"wordpiece": TOKENIZER_FILE, "char_wb": NGRAMS_FILE, "word": NGRAMS_FILE}

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
# A plain name: a manifest cannot reach outside its folder.
FileName = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
# Texts of any length, padded to the longest; only texts of one length; none.
Sharing = Literal["padded", "equal", "alone"]


class FileDigest(msgspec.Struct, frozen=True):
    sha256: Sha256
    bytes: Positive


class BatchDrift(msgspec.Struct, frozen=True):
    """What changes when a text shares its batch: alone against random batches of up to `batch`.

    `max_abs_difference` is negative where nobody measured it.
    """

    texts: int
    batch: int
    labels_changed: int
    min_cosine: float
    max_abs_difference: float = -1.0

    @property
    def is_zero(self) -> bool:
        """True when an answer does not depend on its neighbours.

        Float32 sums may be ordered differently for another batch shape, which moves a cosine by
        about 1e-7; quantisation that looks at the whole batch moves it by 1e-2.
        """
        return self.labels_changed == 0 and self.min_cosine >= 0.99999

    @property
    def sharing(self) -> Sharing:
        """Which texts may share a run so that every bit of an answer is as if it were alone.

        Padding may change the order in which floats are summed, a batch of equal lengths does not.
        """
        if not self.is_zero:
            return "alone"
        return "padded" if self.max_abs_difference == 0 else "equal"


class Manifest(msgspec.Struct, frozen=True):
    """The bundle's own account of itself; its bytes are what the bundle's digest covers.

    `encoder` is how texts become the graph's inputs: pieces of words for a transformer, n-grams
    of characters inside words or of words for a linear model.
    """

    format: int
    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")]
    task: Literal["classify", "embed"]
    labels: tuple[str, ...]
    pooling: Literal["mean", "cls", "none"]
    normalize: bool
    max_tokens: Positive
    dims: Positive
    files: dict[FileName, FileDigest]
    quantisation: dict[str, Any]
    batch_drift: BatchDrift
    accuracy: dict[str, Any]
    licence: str
    origin: str
    encoder: Literal["wordpiece", "char_wb", "word"] = "wordpiece"


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose files were found to be those that its manifest describes.

    They are loaded by path right after: who could change a file in between could as well change
    the code, and images are read-only.
    """

    path: Path
    digest: Sha256
    manifest: Manifest

    @property
    def model_file(self) -> Path:
        return self.path / MODEL_FILE

    @property
    def encoder_file(self) -> Path:
        return self.path / ENCODER_FILES[self.manifest.encoder]

    @property
    def size_bytes(self) -> int:
        return sum(entry.bytes for entry in self.manifest.files.values())

    @classmethod
    def open(cls, path: Path, expected_digest: str | None = None) -> Bundle:
        """The bundle in folder `path`, every file checked against the manifest's digests.

        Raises `BundleMissing` for an absent file, `BundleTooNew` for a later manifest format and
        `BundleCorrupt` for anything that does not match, naming file and digests.
        """
        digest, manifest = read_manifest(path)
        if expected_digest is not None and digest != expected_digest:
            raise BundleCorrupt(
                f"Bundle {manifest.name} was asked for by digest {expected_digest}; "
                f"{path / MANIFEST_FILE} has {digest}. Deploy the bundle that was tested, "
                "or update the expected digest."
            )
        for name, entry in manifest.files.items():
            _verify(path / name, entry)
        return cls(path, digest, manifest)


def read_manifest(path: Path) -> tuple[str, Manifest]:
    """Digest and manifest of the bundle in `path`, without reading model or encoder."""
    file = path / MANIFEST_FILE
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BundleMissing(
            f"Bundle file {file} cannot be read ({error.strerror}). "
            "Build the bundle with `make bundles`, or point FARTHING_MODELS at its folder."
        ) from None
    try:
        manifest = decode_versioned(
            raw,
            Manifest,
            FORMAT,
            lambda found: BundleTooNew(
                f"{file} has bundle format {found}; this Farthing reads up to {FORMAT}. "
                "Upgrade Farthing, or rebuild the bundle with this version's forge."
            ),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleCorrupt(
            f"{file} is not a bundle manifest: {error}. Rebuild the bundle."
        ) from None
    missing = {MODEL_FILE, ENCODER_FILES[manifest.encoder]} - manifest.files.keys()
    if missing:
        raise BundleCorrupt(
            f"{file} states no digest for {', '.join(sorted(missing))}. Rebuild the bundle."
        )
    if manifest.task == "classify" and len(manifest.labels) != manifest.dims:
        raise BundleCorrupt(
            f"{file} has {len(manifest.labels)} labels for {manifest.dims} outputs. "
            "Rebuild the bundle."
        )
    if manifest.task == "embed" and manifest.encoder != "wordpiece":
        raise BundleCorrupt(
            f"{file} is for the task embed with the encoder {manifest.encoder}, which has no "
            "vectors to pool. Rebuild the bundle."
        )
    return hashlib.sha256(raw).hexdigest(), manifest


def find_bundles(root: Path, task: str | None = None) -> Iterator[tuple[Path, Manifest]]:
    """Folders below `root` that hold a manifest, by name; only those of `task` when given."""
    for file in sorted(root.glob(f"*/{MANIFEST_FILE}")):
        _, manifest = read_manifest(file.parent)
        if task is None or manifest.task == task:
            yield file.parent, manifest


def _verify(file: Path, expected: FileDigest) -> None:
    try:
        with file.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise BundleMissing(
            f"Bundle file {file} cannot be read ({error.strerror}); its manifest asks for "
            f"sha256 {expected.sha256}. Restore the file or rebuild the bundle."
        ) from None
    if actual != expected.sha256:
        raise BundleCorrupt(
            f"Bundle file {file} has sha256 {actual}; its manifest states {expected.sha256}. "
            "Restore the file or rebuild the bundle."
        )
