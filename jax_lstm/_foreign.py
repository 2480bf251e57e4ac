"""Keywords of other frameworks, answered with what they are called here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECIPES = {
    "batch_first": "xs is (time, *batch, features): swap its first two axes, as in xs.swapaxes(0, 1)",
    "time_major": "xs is (time, *batch, features): swap the first two axes of a batch-major array, xs.swapaxes(0, 1)",
    "return_sequences": "both the last carry and all hidden states are returned: unused ones cost nothing under jit",
    "return_state": "both the last carry and all hidden states are returned: unused ones cost nothing under jit",
    "return_carry": "both the last carry and all hidden states are returned: unused ones cost nothing under jit",
    "hidden_size": "sizes follow from the parameters, init(key, features, hidden)",
    "input_size": "sizes follow from the parameters, init(key, features, hidden)",
    "units": "sizes follow from the parameters, init(key, features, hidden)",
    "num_layers": "a stack is a tuple of layers, network(init_network(key, features, hidden=[64, 64]), xs)",
    "bidirectional": "both directions are two layers, network(init_network(…, bidirectional=True), xs)",
    "go_backwards": "give reverse=True",
    "keep_order": "give reverse=True: outputs always stay in the order of the inputs",
    "unroll": 'give schedule="unrolled"',
    "remat": 'give schedule="checkpointed"',
    "initial_state": "give the initial carry as carry=Carry(h, c)",
    "initial_carry": "give the initial carry as carry=Carry(h, c)",
    "hx": "give the initial carry as carry=Carry(h, c)",
    "h_0": "give the initial carry as carry=Carry(h, c)",
    "c_0": "give the initial carry as carry=Carry(h, c)",
    "stateful": "pass the last carry to the next call: carry, hs = lstm(params, xs, carry)",
    "seq_lengths": "give lengths=",
    "sequence_length": "give lengths=",
    "sequence_lengths": "give lengths=",
    "seq_lens": "give lengths=",
    "recurrent_dropout": "give recurrent_mask=dropout_mask(key, rate, shape), or use network",
    "dropout": "drop inputs by dropout_mask(key, rate, shape), or use network",
    "training": "noise is drawn only from a key that is given: leave it out for evaluation",
    "train": "noise is drawn only from a key that is given: leave it out for evaluation",
    "deterministic": "noise is drawn only from a key that is given: leave it out for evaluation",
    "rngs": "give key=jax.random.key(…)",
    "proj_size": "a projection is a field of the parameters: init(…, projection=…)",
    "bias": "biases are a field of the parameters: init(…, bias=False)",
    "forget_bias": "biases are a field of the parameters: init(…, forget_bias=…)",
    "use_peepholes": "peepholes are a field of the parameters: init(…, peephole=True)",
    "cell_clip": "bounds are a field of the parameters: init(…, clip=Clip(cell=…))",
    "num_proj": "a projection is a field of the parameters: init(…, projection=…)",
}
"""What a keyword of PyTorch, Keras, TensorFlow, Flax or Haiku is here."""


def refuse_foreign(function: str, given: Mapping[str, Any]) -> None:
    """Keywords that a function does not have: those of other frameworks with what to give instead."""
    for name in given:
        if name in RECIPES:
            raise TypeError(f"{function} has no {name}: {RECIPES[name]}")
    raise TypeError(f"{function} has no {', '.join(given)}: help({function}) lists its keywords")
