"""ONNX models for the tests: stacks of random weights, and ONNX Runtime to run what was written."""

import jax
import jax.numpy as jnp
import numpy as np
from peers import peer

from jax_lstm import init_network

onnx = peer("onnx")


ort = peer("onnxruntime")


TIME, BATCH, FEATURES, HIDDEN = 6, 3, 3, 4


LENGTHS = np.array([4, 6, 1], np.int32)


def make(hidden=(HIDDEN,), seed=0, **options):
    """A stack with every array random, so that none is as it was initialized."""
    generator = np.random.default_rng(seed)
    layers = init_network(jax.random.key(0), FEATURES, hidden, **options)
    return jax.tree.map(lambda leaf: jnp.asarray(generator.standard_normal(leaf.shape).astype(leaf.dtype)), layers)


def run(model, **inputs):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip((output.name for output in session.get_outputs()), session.run(None, inputs), strict=True))
