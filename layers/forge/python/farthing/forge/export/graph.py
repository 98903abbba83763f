"""An ONNX graph as forge edits it: look things up, add constants, replace nodes, save one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONTRIB_DOMAIN = "com.microsoft"


class Graph:
    """A model being edited. Nodes are kept in execution order; names of new tensors are unique."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            values = {attribute.name: attribute for attribute in node.attribute}
            if node.op_type == "Constant" and "value" in values:
                # One place to look constants up in, whichever way the exporter wrote them.
                tensor = numpy_helper.to_array(values["value"].t)
                self._initializers[node.output[0]] = numpy_helper.from_array(tensor, node.output[0])
            else:
                self.nodes.append(node)
        self._names = {name for node in self.nodes for name in (*node.input, *node.output)}

    @classmethod
    def load(cls, path: Path) -> Graph:
        """The graph in a file, external data included."""
        return cls(onnx.load(path))

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The value of an initializer, or None if `name` is computed when the model runs."""
        tensor = self._initializers.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def matrix(self, name: str) -> npt.NDArray[np.float32]:
        """The value of a float32 initializer.

        :raises KeyError: if `name` is not an initializer.
        """
        return np.asarray(numpy_helper.to_array(self._initializers[name]), dtype=np.float32)

    def add_constant(self, hint: str, value: npt.NDArray[Any]) -> str:
        """The name under which `value` is now an initializer."""
        name = self.fresh(hint)
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def shared_constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """`name`, an initializer with `value` that any number of nodes read."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(value, name)
        return name

    def fresh(self, hint: str) -> str:
        """A tensor name, starting with `hint`, that nothing uses yet."""
        name, number = hint, 1
        while name in self._names or name in self._initializers:
            number += 1
            name = f"{hint}_{number}"
        self._names.add(name)
        return name

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        contrib: bool = False,
        **attributes: Any,
    ) -> NodeProto:
        """A node, named after its first output and not yet part of the graph."""
        return helper.make_node(
            op_type,
            list(inputs),
            list(outputs),
            name=f"{op_type}:{outputs[0]}",
            domain=CONTRIB_DOMAIN if contrib else "",
            **attributes,
        )

    def replace(self, old: NodeProto, new: Sequence[NodeProto]) -> None:
        """Puts `new` where `old` was."""
        at = next(i for i, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = list(new)

    def weight_matmuls(self) -> list[NodeProto]:
        """The MatMul nodes whose second input is a constant matrix, in execution order."""
        found = []
        for node in self.nodes:
            if node.op_type == "MatMul":
                weight = self.constant(node.input[1])
                if weight is not None and weight.ndim == 2:
                    found.append(node)
        return found

    def copy(self) -> Graph:
        """An independent graph, to try a second scheme on the same model."""
        twin = onnx.ModelProto()
        twin.CopyFrom(self.finished())
        return Graph(twin)

    def finished(self) -> onnx.ModelProto:
        """The edited model, checked, without initializers that nothing reads."""
        graph = self.model.graph
        used = {name for node in self.nodes for name in node.input}
        del graph.node[:]
        graph.node.extend(self.nodes)
        del graph.initializer[:]
        graph.initializer.extend(t for name, t in self._initializers.items() if name in used)
        del graph.value_info[:]
        if CONTRIB_DOMAIN not in {o.domain for o in self.model.opset_import}:
            self.model.opset_import.append(helper.make_opsetid(CONTRIB_DOMAIN, 1))
        onnx.checker.check_model(self.model)
        return self.model

    def save(self, path: Path) -> None:
        """Writes the finished model as one file, without external data."""
        onnx.save(self.finished(), path)
