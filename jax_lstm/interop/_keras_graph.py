"""The layers of a Keras model by path, and what each takes, from its configuration: no layer is built, no code runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Tensor = tuple[str, int]
"""An output: the path of its layer, and the number of the output. Layers that are called several times are refused."""

MODELS = frozenset({"Functional", "Model", "Sequential"})
_DEEPEST = 50
"""How many models may be inside each other."""


class Call(NamedTuple):
    """What one call of a layer takes: data, initial states, and other things such as masks."""

    data: tuple[Tensor, ...]
    states: tuple[Tensor, ...] = ()
    masks: tuple[Tensor, ...] = ()


class Part(NamedTuple):
    """A layer of a model, none that holds others; `place` counts its kind among its siblings, as files name it."""

    path: str
    kind: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...]
    place: tuple[str, ...] = ()


class Graph(NamedTuple):
    """The layers of a model in order, and the outputs of the model."""

    parts: dict[str, Part]
    outputs: tuple[Tensor, ...]
    sources: dict[Tensor, Tensor]

    def source(self, tensor: Tensor) -> Tensor:
        """The output that a tensor is, through the inputs and outputs of models inside."""
        seen = set()
        while tensor in self.sources and tensor not in seen:
            seen.add(tensor)
            tensor = self.sources[tensor]
        return tensor


def read_graph(model: Mapping[str, Any]) -> Graph:
    """The layers of a serialized model `{"class_name", "config"}`, those of models inside it included.

    Raises:
        ValueError: a class of model or of layer that is not Keras's own; a configuration that is damaged.
    """
    graph = Graph({}, (), {})
    try:
        outputs = _read(model, "", (), graph, 0)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError("the configuration of the model is damaged, or of another version of Keras") from error
    return graph._replace(outputs=outputs)


def check_own(node: Mapping[str, Any], path: str) -> None:
    """A refusal of a class that is not Keras's own, which may compute anything."""
    module, registered = node.get("module"), node.get("registered_name")
    foreign = isinstance(module, str) and not module.startswith(("keras", "tf_keras", "tensorflow.python.keras"))
    if foreign or (isinstance(registered, str) and ">" in registered and not registered.startswith("keras")):
        kind = node.get("class_name")
        raise ValueError(f"layer {path!r} is of a class of its own, {kind}: give the weights of an LSTM to from_keras")
    config = node.get("config")
    if isinstance(config, Mapping):
        inner = [config.get(name) for name in ("layer", "backward_layer", "cell")]
        for one in (*inner, *(config.get("cells") or ())):
            if isinstance(one, Mapping):
                check_own(one, path)


def _read(model: Mapping[str, Any], path: str, place: tuple[str, ...], graph: Graph, depth: int) -> tuple[Tensor, ...]:
    """Read the layers of one model into `graph`; the outputs of the model."""
    kind, config = model["class_name"], model["config"]
    check_own(model, path.rstrip("/") or str(kind))
    if kind not in MODELS or depth > _DEEPEST:
        raise ValueError(
            f"the model is a {kind}, expected a Sequential or a Functional model, of which the layers are known"
        )
    # Keras 2 once wrote the layers of a Sequential model as a list
    entries = config if isinstance(config, list) else config["layers"]
    counts: dict[str, int] = {}
    before: tuple[Tensor, ...] = ()
    for entry in entries:
        settings = entry["config"]
        name = (
            entry.get("name")
            or (settings[0].get("name") if isinstance(settings, list) else settings.get("name"))
            or "?"
        )
        here = f"{path}{name}"
        if here in graph.parts:
            raise ValueError(f"the model has two layers called {here!r}, expected names that differ")
        at = (*place, _count(counts, _snake(entry["class_name"])))
        if kind == "Sequential":
            calls: tuple[Call, ...] = (Call(before),) if before else ()
        else:
            calls = tuple(_call(one, path) for one in entry.get("inbound_nodes") or ())
        if entry["class_name"] in MODELS or ("layers" in settings and "inbound_nodes" not in settings):
            outputs = _read(entry, f"{here}/", at, graph, depth + 1)
            _connect(entry, f"{here}/", here, calls, outputs, graph)
        else:
            check_own(entry, here)
            graph.parts[here] = Part(here, str(entry["class_name"]), settings, calls, at)
        before = ((here, 0),)
    if kind == "Sequential":
        return before
    return tuple((f"{path}{name}", int(index)) for name, _, index in _references(config["output_layers"]))


def _connect(
    model: Mapping[str, Any], path: str, name: str, calls: tuple[Call, ...], outputs: tuple[Tensor, ...], graph: Graph
) -> None:
    """Tie what a model inside another one takes and gives to its own layers, where it is called once."""
    if len(calls) > 1:  # each of its layers is called as often
        for part in [part for part in graph.parts.values() if part.path.startswith(path)]:
            graph.parts[part.path] = part._replace(calls=part.calls * len(calls))
        return
    config = model["config"]
    if model["class_name"] == "Sequential":
        entries = config if isinstance(config, list) else config["layers"]
        first = entries[0]["name"] if "name" in entries[0] else entries[0]["config"]["name"]
        inside = [(f"{path}{first}", 0)]
        if entries[0]["class_name"] != "InputLayer" and calls:
            if (inner := graph.parts.get(f"{path}{first}")) is not None:
                graph.parts[inner.path] = inner._replace(calls=calls)
            inside = []
    else:
        inside = [(f"{path}{one}", int(index)) for one, _, index in _references(config["input_layers"])]
    given = calls[0].data if calls else ()
    graph.sources.update(zip(inside, given, strict=False))
    graph.sources.update({(name, k): output for k, output in enumerate(outputs)})


def _call(node: Any, path: str) -> Call:
    """A call of a layer, as Keras 3 or Keras 2 writes it."""
    if isinstance(node, Mapping):
        arguments = dict(node.get("kwargs") or {})
        data = tuple(_tensors(node.get("args") or (), path))
        states = tuple(_tensors(arguments.pop("initial_state", None), path))
        masks = tuple(_tensors(arguments.pop("mask", None), path))
        return Call(data + tuple(_tensors(arguments, path)), states, masks)
    # Keras 2 lists what a layer takes; the first is its data where the keywords name initial states
    taken = tuple((f"{path}{one[0]}", int(one[2])) for one in node)
    given = any(len(one) > 3 and isinstance(one[3], Mapping) and one[3].get("initial_state") for one in node)
    return Call(taken[:1], taken[:1]) if given else Call(taken)


def _tensors(value: Any, path: str) -> Iterator[Tensor]:
    """The tensors in the arguments of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, _, index = value["config"]["keras_history"]
            yield (f"{path}{name}", int(index))
            return
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one, path)


def _references(value: Any) -> list[Any]:
    """`[name, node, index]` entries, of which Keras writes one without the list around it."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return [value] if value and isinstance(value[0], str) else list(value)


def _count(counts: dict[str, int], kind: str) -> str:
    """The name of a layer in a file of weights: its kind, and a number from the second on."""
    counts[kind] = counts.get(kind, -1) + 1
    return f"{kind}_{counts[kind]}" if counts[kind] else kind


def _snake(kind: str) -> str:
    """`BatchNormalization` as `batch_normalization`, by the rule of Keras."""
    name = re.sub(r"\W+", "", kind)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
