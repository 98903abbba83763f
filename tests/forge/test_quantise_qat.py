"""Training that feels the rounding: the same answers as the INT8 graph, and no trace afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("optimum")

import onnxruntime as ort  # noqa: E402

from farthing.forge.export.transformer import export  # noqa: E402
from farthing.forge.quantise.qat import fake_quantised, quantised_lookup  # noqa: E402
from farthing.forge.quantise.schemes import QuantisationPlan, quantise  # noqa: E402
from farthing.forge.quantise.weights import symmetric  # noqa: E402
from farthing.inference.session import model_inputs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farthing.forge.export.graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [[3, 6, 7, 12, 9, 4], [3, 8, 4], [3, 11, 10, 30, 31, 32, 4]]


@pytest.fixture
def model(tiny: Path) -> Any:
    from transformers import BertModel

    return BertModel.from_pretrained(tiny, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def float32(tiny: Path) -> Graph:
    return export(tiny, heads=4, hidden=64)


def by_torch(model: Any) -> Any:
    """Vectors [tokens of all rows, 64]."""
    with torch.inference_mode():
        return np.concatenate(
            [model(torch.tensor([row])).last_hidden_state[0].numpy() for row in ROWS]
        )


def by_onnx(graph: Graph) -> Any:
    session = ort.InferenceSession(
        graph.finished().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, model_inputs([row]))[0][0] for row in ROWS])


@pytest.mark.parametrize("bits", [7, 8])
def test_the_model_in_training_answers_what_its_int8_graph_answers(
    bits: int, model: Any, float32: Graph, need_exact_sums: Callable[[int], None]
) -> None:
    need_exact_sums(bits)
    wanted = by_onnx(quantise(float32, QuantisationPlan("per-token", bits=bits)))
    before = by_torch(model)
    with fake_quantised(model, bits) as layers:
        given = by_torch(model)
    assert layers == 2 * 6, "six products in each of two layers"
    rounding = np.abs(before - wanted).max()
    assert np.abs(given - wanted).max() < 0.02 * rounding, "nearer than a fiftieth of the loss"


def test_leaving_restores_the_model_to_the_last_bit(model: Any) -> None:
    before = by_torch(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), fake_quantised(model):
        assert model.state_dict().keys() == state.keys()
        raise KeyboardInterrupt
    np.testing.assert_array_equal(by_torch(model), before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])
    assert all("forward" not in vars(layer) for layer in model.modules())


def test_gradients_pass_the_rounding_and_an_older_optimizer_learns(model: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    ids, wanted = torch.tensor([ROWS[0]]), torch.linspace(-1, 1, 64)
    losses = []
    with fake_quantised(model):
        for _ in range(20):
            loss = 1 - torch.cosine_similarity(model(ids).last_hidden_state.mean(1)[0], wanted, 0)
            loss.backward()
            weight = model.encoder.layer[0].intermediate.dense.weight
            assert torch.count_nonzero(weight.grad) > weight.numel() / 2
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_in_sixteen_bits_the_simulation_errs_less_than_what_it_simulates(model: Any) -> None:
    plain = by_torch(model)
    with fake_quantised(model):
        exact = by_torch(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = by_torch(model)
    assert np.abs(coarse - exact).mean() < np.abs(exact - plain).mean()


def test_a_row_of_a_table_is_rounded_as_the_bundle_rounds_it() -> None:
    table = torch.nn.Embedding(2000, 16)
    rounded, scales = symmetric(table.weight.detach().numpy(), axis=1)
    given = quantised_lookup(table, torch.tensor([[5, 1999]]))
    np.testing.assert_allclose(
        given.detach().numpy()[0], (rounded * scales)[[5, 1999]], rtol=1e-6, atol=1e-7
    )
    given.sum().backward()
    assert torch.equal(table.weight.grad[5], torch.ones(16))


def test_only_the_scheme_that_is_simulated_may_be_trained_for() -> None:
    assert QuantisationPlan("per-token", qat_epochs=1).qat_epochs == 1
    with pytest.raises(ValueError, match="choose per-token or leave qat_epochs out"):
        QuantisationPlan("dynamic", qat_epochs=1)
