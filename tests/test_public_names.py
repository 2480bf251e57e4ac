"""What `help`, completion and type hints show of the public modules, and how records print."""

import importlib
import inspect
import pydoc
import typing
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest

import jax_lstm
from jax_lstm import Bidirectional, Carry, Clip, init, init_network, trace

MODULES = ["", *(f".{name}" for name in jax_lstm._SUBMODULES)]


@pytest.fixture(params=MODULES, ids=lambda name: f"jax_lstm{name}")
def module(request):
    return importlib.import_module(f"jax_lstm{request.param}")


def test_dir_offers_public_names_and_modules_of_the_package_alone(module):
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    for name in dir(module):
        value = getattr(module, name)
        of_package = isinstance(value, ModuleType) and value.__name__.startswith("jax_lstm")
        assert name.startswith("_") or name in module.__all__ or of_package, name
    assert set(module.__all__) <= set(dir(module))


def test_help_lists_every_function(module):
    text = pydoc.plain(pydoc.render_doc(module))
    functions = [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]
    assert functions
    assert [name for name in functions if f"\n    {name}(" not in text] == []


def test_type_hints_of_every_signature_resolve(module):
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            hints = typing.get_type_hints(value)
            assert not any(isinstance(hint, str | typing.ForwardRef) for hint in hints.values()), name


def test_axes_are_part_of_the_hints():
    hints = typing.get_type_hints(jax_lstm.lstm, include_extras=True)
    assert hints["xs"].__metadata__ == ("time *batch features",)
    assert typing.get_type_hints(jax_lstm.lstm)["xs"] is jax.Array


def test_records_print_types_and_shapes():
    params = init(jax.random.key(0), features=3, hidden=16)
    assert repr(params) == "LSTMParams(w_x=float32[3,64], w_h=float32[16,64], b=float32[64])"
    carry, values = trace(params, jnp.ones((5, 3)))
    assert repr(carry) == "Carry(h=float32[16], c=float32[16])"
    assert repr(values).startswith("Trace(forget_gate=float32[5,16], ")
    assert "clip=Clip(cell=3.0, gates=None)" in repr(params._replace(clip=Clip(cell=3.0)))
    stack = init_network(jax.random.key(0), features=3, hidden=[4], bidirectional=True, norm=True)
    assert "norm=LayerNorm(scale_x=float32[16], " in repr(stack)
    assert repr(stack).startswith("(Bidirectional(forward=LSTMParams(w_x=float32[3,16], ")


def test_records_print_whatever_their_leaves_are():
    """Under transformations and as templates, fields hold tracers, shapes, specifications and numbers."""
    shown = []
    jax.jit(lambda carry: shown.append(repr(carry)))(Carry(jnp.ones(2), jnp.ones(2)))
    assert shown == ["Carry(h=float32[2], c=float32[2])"]
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), features=1, hidden=2))
    assert repr(shapes) == "LSTMParams(w_x=float32[1,8], w_h=float32[2,8], b=float32[8])"
    assert repr(Carry(1.0, "spec")) == "Carry(h=1.0, c='spec')"
    assert repr(Bidirectional({"a": jnp.ones(1)}, None)) == "Bidirectional(forward={'a': float32[1]})"


def test_a_notebook_shows_series_and_forecasts_as_tables():
    pytest.importorskip("safetensors")  # the package's model is a file of it
    panel = jax_lstm.forecast.panel([jnp.arange(30.0), jnp.arange(20.0)], season=[12, ()], names=["a", "<b>"])
    assert repr(panel) == "Panel(2 series of 20 to 30 values)"
    assert "<td>&lt;b&gt;</td><td>20</td><td>0</td><td>–</td>" in panel._repr_html_()
    made = jax_lstm.forecast.predict(panel, 4)
    assert repr(made) == "Forecasts(2 series, 4 steps, intervals of 80%, 95%)"
    assert made._repr_html_().count("<tr>") == 3
    weights = jax_lstm.forecast.method_weights(panel, 4, series=1)
    assert sum(weights.values()) == pytest.approx(1)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)
