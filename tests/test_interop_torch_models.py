"""Whole models of PyTorch: heads, cells, checkpoints, parametrized and quantized weights, programs and their files."""

import json
from collections import OrderedDict

import jax
import numpy as np
import pytest
from pages import framework_options, layer_options
from peers import assert_same_bits, peer, random

from jax_lstm import network, readout
from jax_lstm.interop import from_torch, read_torch

torch = peer("torch")
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning:torch"
)
TIME, BATCH, FEATURES = 5, 3, 4
TIGHT = {"rtol": 1e-5, "atol": 1e-6}


class Model(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(FEATURES, 3, **options)
        self.fc = torch.nn.Linear(6 if options.get("bidirectional") else 3, 2)

    def forward(self, xs):
        return self.fc(self.lstm(xs)[0])


def value(layers, head, xs):
    return readout(head, network(layers, xs)[1])


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_layers_and_head(options):
    model, xs = Model(**options), random(TIME, BATCH, FEATURES)
    expected = model(torch.from_numpy(xs)).detach().numpy()
    for given in (model, model.state_dict(), {"state_dict": model.state_dict(), "epoch": 3}):
        np.testing.assert_allclose(value(*from_torch(given, readout="fc"), xs), expected, **TIGHT)
    wrapped = {f"_orig_mod.module.{key}": array for key, array in model.state_dict().items()}
    np.testing.assert_allclose(value(*from_torch(wrapped, readout="fc"), xs), expected, **TIGHT)
    with pytest.raises(
        ValueError, match=r"more than its LSTM: fc\.weight, fc\.bias; take a linear layer on top with readout="
    ):
        from_torch(model)
    with pytest.raises(
        ValueError, match="readout is 'head', expected the path of a linear layer of the model: there are 'fc'"
    ):
        from_torch(model, readout="head")
    model.act = torch.nn.Sigmoid()
    model.drop = torch.nn.Dropout(0.5)
    with pytest.raises(ValueError, match="more than its LSTM: Sigmoid 'act'"):
        from_torch(model, readout="fc")
    assert len(from_torch(model, readout="fc", partial=True)[0]) == len(from_torch(model, prefix="lstm"))
    with pytest.raises(ValueError, match=r"has shape \(2, 5\), expected \(outputs, 3\)|expected \(outputs, 6\)"):
        from_torch(model.state_dict() | {"fc.weight": torch.ones(2, 5)}, readout="fc")


def test_a_cell():
    cell, xs = torch.nn.LSTMCell(FEATURES, 3), random(TIME, BATCH, FEATURES)
    h = c = torch.zeros(BATCH, 3)
    for x, expected in zip(xs, network(from_torch(cell), xs)[1], strict=True):
        h, c = cell(torch.from_numpy(x), (h, c))
        np.testing.assert_allclose(expected, h.detach(), **TIGHT)
    stack = torch.nn.ModuleDict({"one": cell, "two": torch.nn.LSTMCell(3, 2, bias=False)})
    with pytest.raises(ValueError, match="has 2 LSTMs, at 'one', 'two': choose one with prefix="):
        from_torch(stack)
    assert from_torch(stack, prefix="two")[0].b is None
    held = {"state_dict": {f"net.{key}": array for key, array in stack.state_dict().items()}}
    for prefix in ("two", "net.two", "state_dict.net.two."):
        assert_same_bits(from_torch(held, prefix=prefix), from_torch(stack, prefix="two"))
    for prefix in ("three", "wo", "net"):
        with pytest.raises(
            ValueError, match=rf"prefix is '{prefix}', .* LSTM of the model: there are 'state_dict\.net\.o"
        ):
            from_torch(held, prefix=prefix)


class Doubled(torch.nn.Module):
    def forward(self, weight):
        return 2 * weight


PARAMETRIZATIONS = {
    "weight_norm": lambda module: torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0"),
    "weight_norm of all": lambda module: torch.nn.utils.parametrizations.weight_norm(module, "weight_ih_l0", dim=None),
    "spectral_norm": lambda module: torch.nn.utils.parametrizations.spectral_norm(module, "weight_hh_l0"),
    "a function of one's own": lambda module: torch.nn.utils.parametrize.register_parametrization(
        module, "weight_hh_l0", Doubled()
    ),
    "orthogonal": lambda module: torch.nn.utils.parametrizations.orthogonal(module, "weight_hh_l0"),
    "older weight_norm": lambda module: torch.nn.utils.weight_norm(module, "weight_hh_l0"),
    "older spectral_norm": lambda module: torch.nn.utils.spectral_norm(module, "weight_hh_l0"),
}


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_parametrized_weights(name):
    torch.manual_seed(0)
    module, xs = PARAMETRIZATIONS[name](torch.nn.LSTM(FEATURES, 3)), random(TIME, BATCH, FEATURES)
    module(torch.from_numpy(xs))  # a step of training, which moves the vectors of spectral norm
    expected = module.eval()(torch.from_numpy(xs))[0].detach().numpy()
    np.testing.assert_allclose(network(from_torch(module), xs)[1], expected, **TIGHT)
    if name in ("orthogonal", "a function of one's own"):
        with pytest.raises(ValueError, match=r"remove_parametrizations\(module, 'weight_hh_l0'\)"):
            from_torch(module.state_dict())
        return
    np.testing.assert_allclose(network(from_torch(module.state_dict()), xs)[1], expected, **TIGHT)


def test_dynamically_quantized():
    torch.manual_seed(0)
    model = Model(num_layers=2)
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.LSTM, torch.nn.Linear}, dtype=torch.qint8)
    layers, head = from_torch(quantized, readout="fc")
    np.testing.assert_array_equal(layers[1].w_h.T, quantized.lstm.get_weight()["weight_hh_l1"].dequantize().numpy())
    exact = from_torch(model, readout="fc")
    for one, other in zip(jax.tree.leaves((layers, head)), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # PyTorch's, of its own LSTM
def test_a_program():
    module = torch.nn.LSTM(FEATURES, 3)
    program = torch.export.export(module, (torch.zeros(TIME, BATCH, FEATURES),))
    assert_same_bits(from_torch(program), from_torch(module))


def test_an_averaged_model(tmp_path):
    model = Model()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    torch.save({"swa": averaged.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    expected = from_torch(model, readout="fc")
    for given in (averaged, averaged.state_dict()):
        assert_same_bits(from_torch(given, readout="fc"), expected)
    read = read_torch(tmp_path / "checkpoint.pt", readout="fc")
    assert_same_bits((read.layers, read.readout), expected)
    assert read.left_out == ()
    own = averaged.state_dict()  # an array by that name counts as any other
    own["n_averaged"] = torch.ones(2)
    with pytest.raises(ValueError, match="more than its LSTM: n_averaged"):
        from_torch(own, readout="fc")


def test_a_quantizable_lstm_is_refused_by_name():
    module = torch.ao.nn.quantizable.LSTM(FEATURES, 3)
    for given in (module, module.state_dict()):
        with pytest.raises(ValueError, match=r"of a torch.ao.nn.quantizable.LSTM: give the torch.nn.LSTM it was made"):
            from_torch(given)


def test_modules_that_are_no_lstm_or_compute_otherwise():
    class Own(torch.nn.LSTM):
        def forward(self, xs):
            return 2 * super().forward(xs)[0]

    with pytest.raises(ValueError, match="is a Own, which has a forward of its own"):
        from_torch(Own(2, 3))
    for kind in (torch.nn.GRU, torch.nn.RNN, torch.nn.GRUCell):
        with pytest.raises(TypeError, match=rf"module is a torch.nn.{kind.__name__}, expected an LSTM"):
            from_torch(kind(2, 3))


def test_what_changes_a_module_from_outside_is_refused():
    def hook(*_):
        return None

    for change in ("register_forward_hook", "register_forward_pre_hook"):
        model = Model()
        getattr(model.lstm, change)(hook)
        with pytest.raises(
            ValueError, match="module 'lstm' has a forward hook, which may compute anything: give its st"
        ):
            from_torch(model, prefix="lstm")
        model = Model()
        getattr(model.fc, change)(hook)
        with pytest.raises(ValueError, match="more than its LSTM: a forward hook of 'fc'"):
            from_torch(model, readout="fc")
    model = Model()
    model.lstm.forward = hook
    with pytest.raises(ValueError, match="module 'lstm' has a forward of its own"):
        from_torch(model, readout="fc")
    model = Model()
    model.table = torch.nn.Embedding(7, 3)
    with pytest.raises(ValueError, match=r"readout is 'table', a Embedding, expected the path of an nn\.Linear"):
        from_torch(model, readout="table", partial=True)
    turned = torch.nn.utils.parametrizations.spectral_norm(Model().lstm, "weight_hh_l0", dim=1).eval()
    assert len(from_torch(turned)) == 1
    with pytest.raises(ValueError, match="a spectral norm along another axis than the first: give the module"):
        from_torch(turned.state_dict())


def test_pruned_weights():
    """The hooks of pruning are PyTorch's own: masks are applied, of a module and of its state dict."""
    prune = peer("torch.nn.utils.prune")
    model, xs = Model(), random(TIME, BATCH, FEATURES)
    whole = [(model.lstm, "weight_ih_l0"), (model.lstm, "weight_hh_l0"), (model.fc, "weight")]
    prune.global_unstructured(whole, pruning_method=prune.L1Unstructured, amount=0.4)
    expected = model(torch.from_numpy(xs)).detach().numpy()
    wrapped = torch.nn.DataParallel(model)
    for given in (model, model.state_dict(), wrapped):
        layers, head = from_torch(given, readout="fc")
        assert (np.asarray(layers[0].w_h) == 0).any()
        np.testing.assert_allclose(value(layers, head, xs), expected, **TIGHT)


def test_the_page_has_every_option():
    """A new option of PyTorch fails here until the page says what it does."""
    known = framework_options("PyTorch").keys()
    for kind in (torch.nn.LSTM, torch.nn.RNNBase, torch.nn.LSTMCell):
        assert layer_options(kind) <= known


class Hyperparameters(dict):
    """As Lightning stores: a class of another package."""


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_files(suffix, tmp_path):
    model, path, xs = Model(), tmp_path / f"model{suffix}", random(TIME, BATCH, FEATURES)
    expected = model(torch.from_numpy(xs)).detach().numpy()
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    lightning = {"epoch": 1, "state_dict": model.state_dict(), "hyper_parameters": Hyperparameters(size=3)}
    training = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "loss": 0.5}
    for stored in (model.state_dict(), lightning, training, {"model": OrderedDict(model.state_dict())}):
        torch.save(stored, path)
        read = read_torch(path, readout="fc")
        assert read.left_out == ()
        np.testing.assert_allclose(value(read.layers, read.readout, xs), expected, **TIGHT)
        assert [name.rpartition(".")[2] for name in read_torch(path).left_out] == ["weight", "bias"]
    torch.save({"state_dict": model.state_dict(), "ema": model.state_dict()}, path)
    with pytest.raises(ValueError, match=r"has 2 LSTMs, at 'state_dict\.lstm', 'ema\.lstm': choose one"):
        read_torch(path)
    assert len(read_torch(path, prefix="ema.lstm", readout="fc").layers) == 1


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_files_of_other_kinds_are_named(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(Model(), path)
    with pytest.raises(ValueError, match=r"holds an object of .*, and objects are not read"):
        read_torch(path)
    torch.jit.script(Model()).save(path)
    with pytest.raises(ValueError, match=r"is a TorchScript program, not a state dict: save torch\.jit\.load"):
        read_torch(path)
    torch.export.save(torch.export.export(Model(), (torch.zeros(TIME, BATCH, FEATURES),)), tmp_path / "a.pt2")
    with pytest.raises(ValueError, match=r"is a torch\.export program, not a state dict"):
        read_torch(tmp_path / "a.pt2")
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list, expected a dictionary of tensors"):
        read_torch(path)


def test_one_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(torch.nn.LSTM(2, 3).state_dict(), path)
    data = bytearray(path.read_bytes())
    data[data.find(b"data/0") + 80] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pt is not a complete ZIP file \(Bad CRC-32"):
        read_torch(path)


def test_safetensors_of_a_state_dict(tmp_path):
    numpy = peer("safetensors.numpy")
    model = Model()
    numpy.save_file({key: array.numpy() for key, array in model.state_dict().items()}, tmp_path / "a.safetensors")
    read = read_torch(tmp_path / "a.safetensors", readout="fc")
    assert_same_bits((read.layers, read.readout), from_torch(model, readout="fc"))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_state_dict_in_several_files(suffix, tmp_path):
    """As transformers and accelerate write: an index says which file has which array."""
    model = Model(num_layers=2)
    write = peer("safetensors.torch").save_file if suffix == ".safetensors" else torch.save
    names = [f"model-0000{number}-of-00002{suffix}" for number in (1, 2)]
    files = {key: names["_l0" not in key] for key in model.state_dict()}
    for name in names:
        write({key: array for key, array in model.state_dict().items() if files[key] == name}, tmp_path / name)
    index = tmp_path / f"model{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    read = read_torch(index, readout="fc")
    assert read.left_out == ()
    assert_same_bits((read.layers, read.readout), from_torch(model, readout="fc"))
    with pytest.raises(ValueError, match=r"is one of several files .*: give the path of their \.index\.json"):
        read_torch(tmp_path / names[0])  # which has the first of two layers
    for wrong, said in (
        ({"weight_map": files | {"more": names[0]}}, "differ in the array 'more': they are not of one model"),
        ({"weight_map": files | {"more": "../other"}}, r"names the file '\.\./other', expected a file in the same"),
        ({"weight_map": files | {"more": "none.bin"}}, "names the file 'none.bin', expected a file in the same folder"),
        ({"weight_map": [names]}, "is no index of files: expected JSON with a 'weight_map'"),
        ([1], "is no index of files"),
    ):
        index.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=said):
            read_torch(index)


def test_big_endian_arrays():
    arrays = {key: array.numpy() for key, array in torch.nn.LSTM(2, 3).state_dict().items()}
    assert_same_bits(from_torch({key: array.astype(">f4") for key, array in arrays.items()}), from_torch(arrays))
