"""The other systems, live, with our weights.

Each gives calls without arguments, which do the work and return NumPy-like results.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm import LSTMParams, interop


class Work(NamedTuple):
    """One layer's weights, the input `(time, batch, features)`, and lengths `(batch)` or None."""

    params: LSTMParams
    xs: jax.Array
    lengths: jax.Array | None = None

    @property
    def valid(self):
        """1 where a step is valid, `(time, batch, 1)`; None where all are."""
        if self.lengths is None:
            return None
        valid = np.arange(self.xs.shape[0])[:, None] < np.asarray(self.lengths)[None]
        return jnp.asarray(valid, jnp.float32)[:, :, None]


Calls = dict[str, Callable[[], Any]]
"""The passes a system can take.

"forward" gives hs, "last" the last hidden state, "gradient" that of the input (weights too).
"""


def jax_calls(apply: Callable, weights, xs, valid=None) -> Calls:
    """The passes of a pure function `(weights, xs) -> hs`; the loss is the sum of the squared valid outputs."""

    def loss(weights, xs):
        hs = apply(weights, xs)
        return jnp.sum(jnp.square(hs if valid is None else hs * valid))

    forward, last = jax.jit(apply), jax.jit(lambda weights, xs: apply(weights, xs)[-1])
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    calls = {
        "forward": lambda: forward(weights, xs),
        "last": lambda: last(weights, xs),
        "gradient": lambda: gradient(weights, xs)[1],
    }
    if valid is not None:
        del calls["last"]  # the last valid state, which not everybody gives
    return calls


def torch_calls(work: Work) -> Calls:
    """`torch.nn.LSTM`, packed where ragged."""
    import torch

    arrays = {key: torch.from_numpy(array.copy()) for key, array in interop.to_torch((work.params,)).items()}
    module = torch.nn.LSTM(work.xs.shape[2], work.params.w_h.shape[0], dtype=arrays["weight_hh_l0"].dtype)
    module.load_state_dict(arrays)
    return passes_of_torch(module, work.xs, work.lengths)


def passes_of_torch(module: Any, inputs: Any, lengths: Any = None) -> Calls:
    """The passes of a `torch.nn.LSTM`; by cuDNN where JAX computes on a GPU and torch finds one."""
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    module.to(device)
    xs = torch.from_numpy(np.array(inputs)).to(device).requires_grad_()
    lengths = None if lengths is None else torch.from_numpy(np.array(lengths, np.int64))

    def ready(result):
        if not on_gpu:
            return result.numpy()
        torch.cuda.synchronize()
        return result.cpu().numpy()

    def run():
        if lengths is None:
            return module(xs)
        packed = torch.nn.utils.rnn.pack_padded_sequence(xs, lengths, enforce_sorted=False)
        hs, carry = module(packed)
        return torch.nn.utils.rnn.pad_packed_sequence(hs, total_length=xs.shape[0])[0], carry

    def forward():
        with torch.inference_mode():
            return ready(run()[0])

    def last():
        with torch.inference_mode():
            return ready(run()[1][0][0])

    def gradient():
        xs.grad = None
        module.zero_grad(set_to_none=True)
        run()[0].square().sum().backward()
        return ready(xs.grad)

    return {"forward": forward, "gradient": gradient} | ({"last": last} if lengths is None else {})


def onnxruntime_calls(work: Work) -> Calls:
    """ONNX Runtime on the standard LSTM operator: forward only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    model = interop.to_onnx((work.params,), lengths=work.lengths is not None).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    feed = {names[0]: np.asarray(work.xs)}
    if work.lengths is not None:
        feed[names[1]] = np.asarray(work.lengths, np.int32)
    calls: Calls = {"forward": lambda: session.run(None, feed)[0]}
    if work.lengths is None:
        calls["last"] = lambda: session.run(None, feed)[0][-1]
    return calls


def haiku_calls(work: Work) -> Calls:
    """`haiku.LSTM` under `dynamic_unroll`; it has no lengths."""
    import haiku as hk

    def run(xs):
        core = hk.LSTM(work.params.w_h.shape[0])
        return hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))[0]

    (weights,) = interop.to_haiku((work.params,))
    apply = hk.without_apply_rng(hk.transform(run)).apply
    return jax_calls(
        lambda weights, xs: apply({"lstm/linear": weights}, xs), jax.tree.map(jnp.asarray, weights), work.xs
    )


def linen_calls(work: Work) -> Calls:
    """`flax.linen.RNN` over `OptimizedLSTMCell`."""
    from flax import linen

    hidden, dtype = work.params.w_h.shape[0], work.xs.dtype
    module = linen.RNN(linen.OptimizedLSTMCell(hidden, dtype=dtype, param_dtype=dtype), time_major=True)
    (cell,) = interop.to_flax((work.params,), "linen.OptimizedLSTMCell")
    weights = jax.tree.map(jnp.asarray, {"params": {"cell": cell}})
    return jax_calls(
        lambda weights, xs: module.apply(weights, xs, seq_lengths=work.lengths), weights, work.xs, work.valid
    )


def nnx_calls(work: Work) -> Calls:
    """`flax.nnx.RNN` over `OptimizedLSTMCell`."""
    from flax import nnx

    features, hidden = work.xs.shape[2], work.params.w_h.shape[0]
    module = nnx.RNN(nnx.OptimizedLSTMCell(features, hidden, rngs=nnx.Rngs(0)), time_major=True, rngs=nnx.Rngs(0))
    graph, weights, rest = nnx.split(module, nnx.Param, ...)
    (cell,) = interop.to_flax((work.params,), "nnx.OptimizedLSTMCell")
    nnx.replace_by_pure_dict(weights, {"cell": jax.tree.map(jnp.asarray, cell)})

    def apply(weights, xs):
        # its own initial carry draws from a stream of keys, which jit refuses
        carry = (jnp.zeros((xs.shape[1], hidden)),) * 2
        return nnx.merge(graph, weights, rest)(xs, initial_carry=carry, seq_lengths=work.lengths)

    return jax_calls(apply, weights, work.xs, work.valid)


def keras_calls(work: Work) -> Calls:
    """`keras.layers.LSTM` on its JAX backend, batch first inside."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    layer = keras.layers.LSTM(work.params.w_h.shape[0], return_sequences=True)
    layer.build((None, None, work.xs.shape[2]))
    layer.set_weights(interop.to_keras((work.params,))[0])
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    mask = None if work.lengths is None else work.valid[..., 0].astype(bool).T

    def apply(weights, xs):
        return jnp.swapaxes(layer.stateless_call(weights, others, jnp.swapaxes(xs, 0, 1), mask=mask)[0], 0, 1)

    return jax_calls(apply, weights, work.xs, work.valid)


def equinox_calls(work: Work) -> Calls:
    """`equinox.nn.LSTMCell` under a scan and `vmap`; it has no lengths."""
    import equinox

    features, hidden = work.xs.shape[2], work.params.w_h.shape[0]
    cell = equinox.nn.LSTMCell(features, hidden, key=jax.random.key(0))
    (arrays,) = interop.to_equinox((work.params,))
    weights, rest = equinox.partition(cell, equinox.is_array)
    weights = equinox.tree_at(
        lambda c: [getattr(c, name) for name in arrays], weights, [jnp.asarray(a) for a in arrays.values()]
    )

    def apply(weights, xs):
        cell = equinox.combine(weights, rest)

        def one(xs):
            def step(carry, x):
                carry = cell(x, carry)
                return carry, carry[0]

            return jax.lax.scan(step, (jnp.zeros(hidden), jnp.zeros(hidden)), xs)[1]

        return jax.vmap(one, in_axes=1, out_axes=1)(xs)

    return jax_calls(apply, weights, work.xs)


PEERS = {
    "torch": torch_calls,
    "ONNX Runtime": onnxruntime_calls,
    "Haiku": haiku_calls,
    "Flax linen": linen_calls,
    "Flax nnx": nnx_calls,
    "Keras": keras_calls,
    "Equinox": equinox_calls,
}
JAX_PEERS = ("Haiku", "Flax linen", "Flax nnx", "Keras", "Equinox")
WITHOUT_LENGTHS = ("Haiku", "Equinox")
