"""Initial states: streams by ONNX, learned states exported and read again, and PyTorch's states both ways."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from onnx_models import BATCH, FEATURES, HIDDEN, TIME, make, run
from peers import CLOSE, assert_close, assert_same_bits, peer, random

from jax_lstm import Bidirectional, Carry, checkpoint, network
from jax_lstm.cli import main
from jax_lstm.interop import carries_from_torch, carries_to_torch, from_onnx, from_torch, to_onnx


def test_a_stream_by_onnx_runtime():
    layers, xs = make((HIDDEN, 2)), random(TIME, BATCH, FEATURES)
    model = to_onnx(layers, carries=True)
    states = {f"initial_{n}_{k}": np.zeros((1, BATCH, size), "f") for k, size in enumerate((HIDDEN, 2)) for n in "hc"}
    parts = []
    for start in range(0, TIME, 2):
        got = run(model, xs=xs[start : start + 2], **states)
        states = {f"initial_{name}": got[name] for name in ("h_0", "c_0", "h_1", "c_1")}
        parts.append(got["hs"])
    np.testing.assert_allclose(np.concatenate(parts), network(layers, xs)[1], **CLOSE)
    assert_same_bits(from_onnx(model).layers, layers)
    assert from_onnx(model).carries is None


@pytest.mark.parametrize("batch", [1, BATCH])
def test_held_states_are_exported_and_read_again(batch):
    layers, xs = make((HIDDEN, 2), bidirectional=True), random(TIME, BATCH, FEATURES)

    def carry(size, seed):
        return Carry(*(jnp.asarray(random(batch, size, seed=seed + n)) for n in range(2)))

    carries = tuple(Bidirectional(carry(size, seed), carry(size, seed + 2)) for size, seed in ((HIDDEN, 1), (2, 5)))
    model = to_onnx(layers, carries=carries, batch_first=True)
    repeated = jax.tree.map(lambda state: jnp.broadcast_to(state, (BATCH, state.shape[1])), carries)
    got = run(model, xs=xs.swapaxes(0, 1))["hs"]
    np.testing.assert_allclose(got.swapaxes(0, 1), network(layers, xs, repeated)[1], **CLOSE)
    read = from_onnx(model)
    assert_same_bits((read.layers, read.carries, read.left_out), (layers, carries, ()))


def test_states_that_do_not_fit_are_refused():
    (params,) = make()
    good = Carry(jnp.zeros((1, HIDDEN)), jnp.zeros((1, HIDDEN)))
    for carries, said in (
        ((good, good), "expected True or a tuple of one carry per layer"),
        ((Bidirectional(good, good),), r"carries\[0\] is .*, expected one carry per direction"),
        ((good._replace(c=jnp.zeros((1, 3))),), r"carries\[0\]\.c is float32 \(1, 3\), expected float32 \(batch, 4\)"),
    ):
        with pytest.raises(ValueError, match=said):
            to_onnx((params,), carries=carries)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 2}])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_the_states_of_pytorch(options):
    torch = peer("torch")
    module, xs = torch.nn.LSTM(FEATURES, HIDDEN, **options), random(TIME, BATCH, FEATURES)
    layers = from_torch(module)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    given = [random(count, BATCH, size, seed=size) for size in (options.get("proj_size", HIDDEN), HIDDEN)]
    expected, last = module(torch.from_numpy(xs), tuple(map(torch.from_numpy, given)))
    carries, hs = network(layers, xs, carries_from_torch(layers, tuple(map(torch.from_numpy, given))))
    np.testing.assert_allclose(hs, expected.detach(), **CLOSE)
    assert_close(carries_to_torch(carries), tuple(one.detach().numpy() for one in last))
    with pytest.raises(ValueError, match=r"h_0 has shape .*, expected"):
        carries_from_torch(layers, (given[0][:, :, :1], given[1]))
    with pytest.raises(TypeError, match=r"expected the pair \(h_0, c_0\)"):
        carries_from_torch(layers, given[0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_learned_states_are_saved_and_converted(bidirectional, tmp_path, capsys):
    layers = make((HIDDEN, HIDDEN), bidirectional=bidirectional)
    one = Carry(jnp.asarray(random(1, HIDDEN)), jnp.asarray(random(1, HIDDEN, seed=1)))
    carries = (Bidirectional(one, one) if bidirectional else one,) * 2
    checkpoint.save(tmp_path / "a.safetensors", layers, carries=carries)
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert_same_bits(loaded.carries, carries)
    template = checkpoint.Checkpoint(layers, carries=carries)
    assert_same_bits(checkpoint.load(tmp_path / "a.safetensors", template).carries, carries)
    paths = [tmp_path / name for name in ("a.safetensors", "b.onnx", "c.npz", "d.safetensors", "e.pt")]
    for source, target in pairwise(paths):
        assert main(["convert", str(source), str(target)]) == 0
    assert_same_bits(checkpoint.load(paths[3])[:4:3], (layers, carries))
    assert "left out carries" in capsys.readouterr().err
    for wrong, said in (
        (carries[:1], "carries has 1 entries, expected one for each of 2 layers"),
        ((carries[0], one if bidirectional else Bidirectional(one, one)), r"carries\[1\] is for . directions"),
        ((carries[0], jax.tree.map(lambda state: state[:, :2], carries[1])), r"carries\[1\]"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            checkpoint.save(tmp_path / "w.safetensors", layers, carries=wrong)
