"""torch.nn.LSTM: the imported layers give its values and gradients, and go back to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from peers import CLOSE, assert_same_bits, peer, random

from jax_lstm import Bidirectional, network
from jax_lstm.interop import from_torch, to_torch

torch = peer("torch")
pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN"
)  # a matter of speed

TIME, BATCH, FEATURES = 5, 3, 4
CASES = {
    "one layer": {"hidden_size": 6},
    "no bias": {"hidden_size": 6, "bias": False},
    "two directions": {"hidden_size": 3, "num_layers": 2, "bidirectional": True},
    "projection": {"hidden_size": 5, "num_layers": 2, "proj_size": 2, "bidirectional": True},
}


@pytest.fixture(params=CASES, scope="module")
def module(request):
    torch.manual_seed(len(request.param))
    return torch.nn.LSTM(FEATURES, **CASES[request.param])


def numbers(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_values_and_gradients(module):
    xs = random(TIME, BATCH, FEATURES)
    x = torch.from_numpy(xs).requires_grad_()
    ys, (h, c) = module(x)
    weigh = random(*ys.shape, seed=1)
    (ys * torch.from_numpy(weigh)).sum().add(c.sum()).backward()

    def loss(layers, xs):
        carries, hs = network(layers, xs)
        last = [carry for one in carries for carry in (one if hasattr(one, "forward") else (one,))]
        return (hs * weigh).sum() + sum(carry.c.sum() for carry in last), (hs, last)

    layers = from_torch(module.state_dict())
    (_, (hs, last)), (grads, grad_xs) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(layers, jnp.asarray(xs))
    np.testing.assert_allclose(hs, ys.detach(), **CLOSE)
    np.testing.assert_allclose(jnp.stack([carry.h for carry in last]), h.detach(), **CLOSE)
    np.testing.assert_allclose(jnp.stack([carry.c for carry in last]), c.detach(), **CLOSE)
    np.testing.assert_allclose(grad_xs, x.grad, **CLOSE)
    theirs = {name: value.grad.numpy() for name, value in module.named_parameters()}
    ours = to_torch(grads)
    for name, grad in theirs.items():
        # one bias here, the sum of PyTorch's two: the gradient of each of the two is that of the sum
        np.testing.assert_allclose(ours[name.replace("bias_hh", "bias_ih")], grad, **CLOSE, err_msg=name)


def test_ragged(module):
    xs, lengths = random(TIME, BATCH, FEATURES), np.array([2, 5, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(xs), torch.from_numpy(lengths), enforce_sorted=False
    )
    ys, (h, _) = module(packed)
    ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=TIME)
    carries, hs = network(from_torch(numbers(module)), jnp.asarray(xs), lengths=jnp.asarray(lengths))
    np.testing.assert_allclose(hs, ys.detach(), **CLOSE)
    last = carries[-1].backward if module.bidirectional else carries[-1]
    np.testing.assert_allclose(last.h, h[-1].detach(), **CLOSE)


def test_length_zero_is_pytorchs_error_and_our_initial_carry(module):
    xs = torch.zeros(TIME, 1, FEATURES)
    with pytest.raises(RuntimeError, match="greater than 0"):
        torch.nn.utils.rnn.pack_padded_sequence(xs, torch.tensor([0]))
    carries, hs = network(from_torch(numbers(module)), jnp.zeros((TIME, 1, FEATURES)), lengths=jnp.array([0]))
    assert not hs.any()
    assert not any(leaf.any() for leaf in jax.tree.leaves(carries))


def test_export_runs_in_pytorch_and_comes_back_to_the_bit(module):
    layers = from_torch(numbers(module))
    copy = torch.nn.LSTM(
        FEATURES,
        **{name: getattr(module, name) for name in ("hidden_size", "num_layers", "bias", "proj_size", "bidirectional")},
    )
    copy.load_state_dict({name: torch.from_numpy(array) for name, array in to_torch(layers).items()})
    x = torch.from_numpy(random(TIME, BATCH, FEATURES))
    torch.testing.assert_close(copy(x)[0], module(x)[0])
    again = from_torch(copy.state_dict())
    assert_same_bits(again, layers)


def test_an_lstm_inside_a_module_is_found():
    model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(FEATURES, 2, bidirectional=True), "head": torch.nn.Linear(4, 1)})
    with pytest.raises(
        ValueError, match=r"more than its LSTM: head\.weight, head\.bias; take a linear layer on top with"
    ):
        from_torch(model.state_dict())
    (layer,) = from_torch(model.state_dict(), partial=True)
    assert isinstance(layer, Bidirectional)
    assert sorted(to_torch((layer,), prefix="rnn.")) == sorted(
        key for key in model.state_dict() if key.startswith("rnn.")
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_module_its_state_dict_and_its_parameters_are_one(dtype):
    module = torch.nn.LSTM(FEATURES, 2, num_layers=2).to(getattr(torch, dtype))
    layers = from_torch(module)
    assert layers[0].w_x.dtype == dtype
    np.testing.assert_array_equal(
        np.asarray(layers[0].w_h, np.float32)[:, :2], module.weight_hh_l0.detach().float().numpy()[:2].T
    )
    assert_same_bits(from_torch(module.state_dict()), layers)
    assert_same_bits(from_torch(module.named_parameters()), layers)
    assert_same_bits(from_torch(dict(module.named_parameters())), layers)


class Model(torch.nn.Module):
    """Two LSTMs, and two layers of other kinds whose arrays have the same names."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, FEATURES)
        self.encoder = torch.nn.ModuleDict({"lstm": torch.nn.LSTM(FEATURES, 3, bidirectional=True)})
        self.decoder = torch.nn.LSTM(6, 2)
        self.gru, self.rnn = torch.nn.GRU(2, 2), torch.nn.RNN(2, 2)


def test_the_lstms_of_a_larger_model_by_path():
    model = Model()
    with pytest.raises(
        ValueError, match=r"state_dict has 2 LSTMs, at 'encoder\.lstm', 'decoder': choose one with prefix="
    ):
        from_torch(model)
    for given in (model, model.state_dict(), model.named_parameters()):
        assert_same_bits(from_torch(given, prefix="encoder.lstm"), from_torch(model.encoder["lstm"]))
    assert_same_bits(from_torch(model, prefix="decoder."), from_torch(model.decoder))
    del model.encoder
    assert_same_bits(
        from_torch(model, partial=True), from_torch(model.decoder)
    )  # the GRU and the RNN are no candidates
    del model.decoder
    with pytest.raises(ValueError, match=r"no LSTM, and 'gru.weight_ih_l0' is of a GRU or an RNN"):
        from_torch(model)


def test_a_packed_sequence_becomes_xs_and_lengths():
    module, xs = torch.nn.LSTM(FEATURES, 3), torch.from_numpy(random(TIME, BATCH, FEATURES))
    packed = torch.nn.utils.rnn.pack_padded_sequence(xs, torch.tensor([2, 5, 1]), enforce_sorted=False)
    # the recipe of from_torch's docstring
    xs, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed)
    hs = network(from_torch(module), xs.numpy(), lengths=lengths.numpy())[1]
    theirs, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    np.testing.assert_allclose(hs, theirs.detach(), **CLOSE)
