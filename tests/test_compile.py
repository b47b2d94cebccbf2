"""`torch.compile` follows the package: each operation, and whole steps of training, become one
graph (`fullgraph`), which gives what the plain run gives. The graph is run as it is; only one test
needs a C++ compiler."""
import inspect, shutil
from functools import partial
import pytest, torch
from torch.testing import assert_close
from backprop_nb.all import *
from backprop_nb.__main__ import network

GRAPH = partial(torch.compile, fullgraph=True, backend='eager')

@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()

def ramp(out): return torch.linspace(1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)

@pytest.mark.parametrize('op', OPS.values(), ids=OPS)
def test_each_operation_is_one_graph(op):
    torch.manual_seed(0)
    inputs, wrt = op.inputs(Draw()), op.wrt(op.inputs(Draw()))
    at = [*inspect.signature(op.backward).parameters].index('out')

    def forth_and_back(*inputs):
        out = op.forward(*inputs).clone()
        out.g = ramp(out)
        op.backward(*inputs[:at], out, *inputs[at:])
        return out, [inputs[k].g for k in wrt]
    assert_close(GRAPH(forth_and_back)(*inputs), by_hand(op, inputs, ramp))

def digits(): return torch.randn(8, 784), torch.randint(10, (8,))
def text(): return torch.randint(11, (3, 8)), torch.randint(11, (3, 8))
NETS = {'norm': (lambda: [*mlp(784, 20), BatchNorm(20), Relu(), *mlp(20, 10)], digits,
                 partial(SGD, lr=.1, momentum=.9)),
        'gpt': (lambda: [GPT(11, 8, 12, 3, 1, dropout=.1)], text, partial(AdamW, lr=1e-3))}

@pytest.mark.parametrize('net', NETS)
@pytest.mark.parametrize('clears', [False, True])
def test_steps_of_training_are_one_graph(net, clears):
    layers, data, opt = NETS[net]
    def trained(wrap):
        torch.manual_seed(0)
        model = Model(layers(), CrossEntropy())
        for t in model.state().values(): t.data = t.data.double()
        moves, batch = opt(model.parameters()), data()
        batch = [t.double() if t.is_floating_point() else t for t in batch]
        model(*batch)

        def step(x, y):
            loss = model(x, y)
            model.backward()
            moves.step()
            if clears: model.clear()
            return loss
        torch.manual_seed(1)
        step = wrap(step)
        return [step(*batch) for _ in range(3)], model.state()
    assert_close(trained(GRAPH), trained(lambda f: f), rtol=1e-6, atol=1e-6)

def test_a_convolutional_network_is_one_graph():
    torch.manual_seed(0)
    model, x, y = network(True)[0], torch.randn(4, 1, 28, 28), torch.randint(10, (4,))
    def grads(x, y):
        model(x, y)
        model.backward()
        return [p.g for p in model.parameters()]
    want = grads(x, y)
    assert_close(GRAPH(grads)(x, y), want)

def test_what_was_never_called_says_so():
    model, (x, y) = Model(mlp(784, 10), CrossEntropy()), digits()
    with pytest.raises(Exception, match='call it once before torch.compile'):
        GRAPH(lambda: model(x, y))()

def test_shapes_that_do_not_fit_are_refused_while_compiling():
    with pytest.raises(Exception, match='lin: x has shape'):
        GRAPH(lin)(torch.randn(5, 4), torch.randn(3, 2), torch.randn(2))

def data_and_model():
    torch.manual_seed(0)
    x, y = two_moons(37, seed=1)
    model = Model(mlp(2, 5, 2), CrossEntropy())
    return model, SGD(model.parameters(), lr=.1), (x, y.long())

@pytest.mark.skipif(not shutil.which('g++'), reason='no C++ compiler')
def test_fit_compiles():
    def trained(**how):
        model, opt, data = data_and_model()
        history = fit(model, opt, data, 3, data, 8, progress=False, **how)
        return history.train_loss, history.valid_loss, model.state()
    assert_close(trained(compile=True), trained(), rtol=1e-4, atol=1e-5)

@pytest.mark.skipif(not shutil.which('g++'), reason='no C++ compiler')
def test_fit_compiles_what_is_learned_now():
    def trained(**how):
        model, _, data = data_and_model()
        model.layers[0].not_learned = 'w', 'b'
        model(*data); model.backward()
        model.layers[0].not_learned = ()
        fit(model, SGD(model.parameters(), lr=.1), data, 1, None, 8, progress=False, **how)
        return model.state()
    assert_close(trained(compile=True), trained(), rtol=1e-4, atol=1e-5)

def test_fit_without_a_compiler_says_so_and_changes_nothing(monkeypatch):
    def none(gm, inputs): raise RuntimeError('no compiler')
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend=none))
    model, opt, data = data_and_model()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ArgumentError, match='compile'):
        fit(model, opt, data, 1, progress=False, compile=True)
    assert_close(model.parameters(), before, rtol=0, atol=0)
