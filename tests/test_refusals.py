"""Whatever is public refuses what it cannot work with, by an error that names the function, what
came and what is wanted. A new public name without a row here fails."""
import math, tempfile
from importlib import import_module
from pathlib import Path
import pytest, torch
from run_course import ROOT
from torch import rand, zeros
from backprop_nb.all import *

MODULES = [p.stem for p in sorted((ROOT/'backprop_nb').glob('[!_]*.py')) if p.stem != 'all']
PUBLIC = [name for m in MODULES for name in import_module(f'backprop_nb.{m}').__all__]
NOTHING = {  # names with nothing to refuse, and why
    'Mnist': 'a tuple with names, which `mnist` fills',
    'History': 'a record, which `fit` fills',
    'plot_history': 'draws such a record',
}
SAYS = {  # what the messages call a name, where that is not the name itself
    'Relu': 'relu', 'Lin': 'lin', 'Mse': 'mse', 'Sigmoid': 'sigmoid', 'Bce': 'bce',
    'BceWithLogits': 'bce_with_logits', 'CrossEntropy': 'cross_entropy', 'Conv2d': 'conv2d',
    'MaxPool2d': 'max_pool2d', 'AvgPool2d': 'avg_pool2d', 'Flatten': 'flatten',
    'forward_and_backward': 'lin', 'upstream': 'backward', 'draw_graph': 'nodes',
    'draw_network': 'named', 'show_digits': 'wanted'}

def whole(*shape): return zeros(shape, dtype=torch.int64)
def double(*shape): return rand(shape, dtype=torch.float64)
def arrived(out, g=None):
    "An output at which a gradient has arrived."
    out.g = torch.ones_like(out) if g is None else g
    return out

def net(optimiser=SGD):
    model = Model([Lin(rand(4, 3), zeros(3))], CrossEntropy())
    return model, optimiser(model.parameters(), lr=.1)
def fitted(data=(rand(5, 4), whole(5)), epochs=1, opt=None, **how):
    model, own = net()
    return fit(model, own if opt is None else opt, data, epochs, progress=False, **how)

KEPT = tempfile.TemporaryDirectory()  # until this process ends
FOLDER = Path(KEPT.name)

def written(change=lambda raw: raw):
    "A saved state whose bytes are changed."
    path = FOLDER/'state.safetensors'
    save_state(path, *net(), History())
    path.write_bytes(change(path.read_bytes()))
    return path

def called(module, rows): return [(lambda a=args: module(*a), *rest) for args, *rest in rows]

WANT_TENSOR = 'want a tensor'
WINDOW = rand(1, 2, 5, 5), rand(3, 2, 2, 2), rand(3)  # images, filters, biases
POOLS = [
    ((rand(2, 5, 5), 2), ValueError, '(2, 5, 5)', '(N, C, H, W)'),
    ((whole(1, 2, 5, 5), 2), TypeError, 'int64', 'want a float'),
    (([1], 2), TypeError, '[1]', WANT_TENSOR),
    ((WINDOW[0], 0), ValueError, 'size is 0', 'want 1 or more'),
    ((WINDOW[0], 2, -1), ValueError, 'stride is -1', 'want 1 or more'),
    ((WINDOW[0], 1.5), TypeError, 'size is 1.5', 'whole number'),
    ((WINDOW[0], True), TypeError, 'size is True', 'whole number'),
    ((WINDOW[0], 6), ValueError, '6 x 6', '5 x 5')]
POOL_GRADS = [
    ((WINDOW[0], arrived(rand(1, 2, 3, 3)), 2), ValueError, '(1, 2, 3, 3)', 'want (1, 2, 2, 2)'),
    ((WINDOW[0], arrived(double(1, 2, 2, 2)), 2), TypeError, 'float64', 'float32'),
    ((WINDOW[0], rand(1, 2, 2, 2), 2), AttributeError, 'nothing has arrived in out.g'),
    ((WINDOW[0], 3, 2), TypeError, 'out is 3', WANT_TENSOR),
    ((WINDOW[0], arrived(rand(1, 2, 2, 2)), 0), ValueError, 'size is 0', 'want 1 or more')]
PAIRS = [  # predictions and targets
    ((rand(3, 1), rand(4)), ValueError, '(3, 1)', '(4,)', 'want (N, 1) with (N,)'),
    ((rand(3, 1), rand(1, 3)), ValueError, '(3, 1)', '(1, 3)'),
    ((whole(3), rand(3)), TypeError, 'int64', 'want a float'),
    ((rand(3), double(3)), TypeError, 'targ is torch.float64', 'float32'),
    (([1], rand(1)), TypeError, '[1]', WANT_TENSOR),
    ((rand(1), [1]), TypeError, 'targ is [1]', WANT_TENSOR)]
UNIT = [((rand(3), rand(3) - 2), ValueError, 'targ has values from -', 'want 0 to 1')]
PROBABILITIES = [((rand(3) + 2, rand(3)), ValueError, 'values from 2.', 'want 0 to 1'),
                 ((rand(3) * math.nan, rand(3)), ValueError, 'nan', 'want 0 to 1')]
LABELS = [
    ((rand(3, 4), whole(4)), ValueError, '(3, 4)', '(4,)', 'want (N, C) and (N,)'),
    ((rand(3, 4), whole(3) + 4), ValueError, 'targ holds 4', 'from 0 to 3'),
    ((rand(3, 4), whole(3) - 1), ValueError, 'targ holds -1', 'from 0 to 3'),
    ((rand(3, 4), whole(3).int()), TypeError, 'targ is torch.int32', 'want torch.int64'),
    ((rand(3, 4), rand(3)), TypeError, 'targ is torch.float32', 'want torch.int64'),
    ((whole(3, 4), whole(3)), TypeError, 'int64', 'want a float'),
    ((rand(3, 4), [1, 2, 3]), TypeError, 'targ is [1, 2, 3]', WANT_TENSOR)]
LOSS_OUT = [((rand(3), rand(3), arrived(zeros(()), rand(2))), ValueError, '(2,)', 'want ()')]
LABELS_OUT = [((rand(3, 4), whole(3), arrived(zeros(()), rand(2))), ValueError, '(2,)', 'want ()')]
ANY = [((3,), TypeError, 'x is 3', WANT_TENSOR), ((whole(3),), TypeError, 'int64', 'want a float')]
SHAPED = [
    ((rand(3), arrived(rand(4))), ValueError, '(3,)', '(4,)', 'equal shapes'),
    ((rand(3), arrived(double(3))), TypeError, 'float32', 'float64', 'one float dtype'),
    ((whole(3), arrived(rand(3))), TypeError, 'int64', 'one float dtype'),
    ((rand(3), rand(3)), AttributeError, 'nothing has arrived in out.g (3,)'),
    ((rand(3), arrived(rand(3), rand(2))), ValueError, 'out.g has shape (2,)', 'want (3,)'),
    ((3, arrived(rand(3))), TypeError, 'inp is 3', WANT_TENSOR)]
SCORES = [((rand(3),), ValueError, '(3,)', 'want (N, C)'), ((whole(3, 4),), TypeError, 'int64'),
          (([1],), TypeError, '[1]', WANT_TENSOR)]
SCORES_OUT = [
    ((rand(3, 4), arrived(rand(3, 5))), ValueError, '(3, 4)', '(3, 5)', 'want (N, C) for both'),
    ((rand(3, 4), arrived(double(3, 4))), TypeError, 'float32', 'float64', 'same for both'),
    ((rand(3, 4), rand(3, 4)), AttributeError, 'nothing has arrived in out.g (3, 4)')]
LAYER = [
    ((rand(3, 4), rand(5, 2), rand(2)), ValueError, '(3, 4)', '(5, 2)', 'want (N, d), (d, m)'),
    ((rand(3, 4), rand(4, 2), rand(1)), ValueError, '(1,)', 'and (m,)'),
    ((rand(3, 4), double(4, 2), rand(2)), TypeError, 'w torch.float64', 'one float dtype'),
    ((rand(3, 4), rand(4, 2), 0), TypeError, 'b is 0', WANT_TENSOR)]
FILTERS = [
    ((rand(2, 5, 5), *WINDOW[1:]), ValueError, '(2, 5, 5)', '(N, C, H, W)'),
    ((rand(1, 4, 5, 5), *WINDOW[1:]), ValueError, '(1, 4, 5, 5)', '(3, 2, 2, 2)'),
    ((*WINDOW[:2], rand(2)), ValueError, 'b (2,)', '(F,)'),
    ((*WINDOW[:2], double(3)), TypeError, 'b torch.float64', 'one float dtype'),
    ((None, *WINDOW[1:]), TypeError, 'is None', WANT_TENSOR),
    ((*WINDOW, 0), ValueError, 'stride is 0', 'want 1 or more'),
    ((*WINDOW, 1, -1), ValueError, 'padding is -1', 'want 0 or more'),
    ((*WINDOW, 1.5), TypeError, 'stride is 1.5', 'whole number'),
    ((*WINDOW, (1, 2)), TypeError, 'stride is (1, 2)', 'whole number'),
    ((WINDOW[0], rand(3, 2, 0, 2), rand(3)), ValueError, '(3, 2, 0, 2)', 'at least 1'),
    ((WINDOW[0], rand(3, 2, 6, 2), rand(3)), ValueError, '6 x 2', '5 x 5')]
OPTIMISER = [
    ((rand(3), .1), TypeError, 'one tensor', 'want a list'),
    (([], .1), ValueError, 'empty'),
    (([whole(3)], .1), TypeError, 'params[0]', 'float'),
    (([x := rand(3), x], .1), ValueError, 'params[1]', 'params[0] once more'),
    (([rand(3)], -1), ValueError, 'lr is -1', 'want 0 <='),
    (([rand(3)], 'fast'), TypeError, "lr is 'fast'", 'want ')]

REFUSALS = {  # rows of arguments, or of a function without any; type of the error, words in it
    'Value': [
        (('a',), TypeError, 'numbers', 'got str'), ((1j,), TypeError, 'got complex'),
        (lambda: Value(1) + 'a', TypeError, 'numbers', 'got str'),
        (lambda: Value(2)**Value(3), TypeError, 'exponent must be a number', 'Value(3)')],
    'draw_graph': [(lambda: draw_graph(sum([Value(k) for k in range(40)], Value(0))),
                    ValueError, 'nodes', 'at most 60')],
    'draw_network': [(('x',), ValueError, "'x'", "'lin1'"),
                     ((None, 'x'), ValueError, "'x'", "'conv'")],
    'show_digits': [
        ((rand(3, 5),), ValueError, '(3, 5)', '(N, 784)'),
        ((rand(3, 784), whole(2)), ValueError, 'y has shape (2,)', '(3,)'),
        ((rand(3, 784), None, whole(2)), ValueError, 'pred has shape (2,)', '(3,)'),
        ((rand(3, 784), None, None, 0), ValueError, 'cols is 0', '1 or more')],
    'two_moons': [((-1,), ValueError, 'n = -1'), ((9, -1), ValueError, 'noise = -1'),
                  ((9, math.nan), ValueError, 'noise = nan'), ((1.5,), TypeError, 'n is 1.5')],
    'mnist': [((False, 'somewhere'), ValueError, 'folder', 'full=True')],
    'numeric_grad': [
        ((torch.sum, whole(3)), TypeError, 'int64', 'want a float'),
        ((torch.exp, rand(3)), ValueError, 'f returned (3,)', 'want one number'),
        ((torch.sum, 3.), TypeError, 'x is 3.0', 'want a tensor'),
        ((torch.sum, rand(3), 0.), ValueError, 'h is 0.0', 'above 0')],
    'refused': [((len, []), AssertionError, 'len was not refused')],
    'upstream': [
        ((rand(3),), AttributeError, 'nothing has arrived in out.g (3,)'),
        ((3,), TypeError, 'out is 3', 'want a tensor'),
        ((arrived(rand(3), rand(2)),), ValueError, 'out.g has shape (2,)', 'want (3,)'),
        ((arrived(rand(3), double(3)),), TypeError, 'out.g is torch.float64', 'float32')],
    'check_grads': [
        ((relu, lambda inp: 0, rand(3)), TypeError, 'backward', 'named out'),
        ((relu, lambda out: 0, rand(3)), TypeError, 'backward', '1 inputs'),
        ((relu, relu_grad, whole(3)), ValueError, 'have []'),
        (lambda: check_grads(relu, relu_grad, rand(3), wrt='x'), ValueError, "['x']", "['inp']")],
    'mse': PAIRS, 'mse_grad': PAIRS + LOSS_OUT,
    'relu': ANY, 'relu_grad': SHAPED,
    'lin': LAYER,
    'lin_grad': [
        ((rand(3, 4), arrived(rand(3, 3)), rand(4, 2), rand(2)), ValueError, '(3, 3)', '(3, 2)'),
        ((rand(3, 4), arrived(rand(3, 2)), rand(5, 2), rand(2)), ValueError, '(5, 2)', '(d, m)'),
        ((rand(3, 4), arrived(double(3, 2)), rand(4, 2), rand(2)), TypeError, 'float64'),
        ((rand(3, 4), rand(3, 2), rand(4, 2), rand(2)), AttributeError, 'nothing has arrived'),
        ((rand(3, 4), 3, rand(4, 2), rand(2)), TypeError, 'out is 3', WANT_TENSOR)],
    'forward_and_backward': [
        ((rand(3, 4), rand(3), rand(5, 2), rand(2), rand(2, 1), rand(1)), ValueError, '(5, 2)'),
        ((rand(3, 4), rand(3), rand(4, 2), rand(2), rand(3, 1), rand(1)), ValueError, '(3, 1)')],
    'Module': [(lambda: Module()(rand(3)), NotImplementedError, 'forward'),
               (lambda: Module().backward(), RuntimeError, 'before forward')],
    'Relu': called(Relu(), ANY), 'Mse': called(Mse(), PAIRS), 'Sigmoid': called(Sigmoid(), ANY),
    'Lin': [(lambda: Lin(rand(4, 2), rand(2))(rand(3, 5)), ValueError, '(3, 5)', '(4, 2)')],
    'Model': [
        ((Relu(), Mse()), TypeError, 'layers', 'want a list of Modules'),
        (([Relu(), 3], Mse()), TypeError, 'layer 1 is 3', 'want a Module'),
        (([Relu(), one := Relu(), one], Mse()), ValueError, 'layer 2 (Relu)', 'layer 1 once more'),
        (lambda: Model([Relu()], Mse()).backward(), RuntimeError, 'before forward')],
    'sigmoid': ANY, 'sigmoid_grad': SHAPED,
    'bce': PAIRS + UNIT + PROBABILITIES, 'bce_grad': PAIRS + UNIT + PROBABILITIES + LOSS_OUT,
    'bce_with_logits': PAIRS + UNIT, 'bce_with_logits_grad': PAIRS + UNIT + LOSS_OUT,
    'Bce': called(Bce(), PAIRS + UNIT + PROBABILITIES),
    'BceWithLogits': called(BceWithLogits(), PAIRS + UNIT),
    'softmax': SCORES, 'softmax_grad': SCORES_OUT,
    'log_softmax': SCORES, 'log_softmax_grad': SCORES_OUT,
    'nll': LABELS, 'nll_grad': LABELS + LABELS_OUT,
    'cross_entropy': LABELS, 'cross_entropy_grad': LABELS + LABELS_OUT,
    'CrossEntropy': called(CrossEntropy(), LABELS),
    'SGD': OPTIMISER + [
        (([rand(3)], .1, 1), ValueError, 'momentum is 1', '< 1'),
        (([rand(3)], .1, 0., -1), ValueError, 'weight_decay is -1', '0 <='),
        (lambda: SGD([rand(3)], .1).step(), AttributeError, 'params[0]', '(3,)', 'run backward'),
        (lambda: SGD([arrived(rand(3), rand(2))], .1).step(), ValueError, '(2,)', '(3,)')],
    'Adam': OPTIMISER + [
        (([rand(3)], .1, (1, 0)), ValueError, 'betas[0] is 1', '< 1'),
        (([rand(3)], .1, (0, 0), -1), ValueError, 'eps is -1', '0 <='),
        (lambda: Adam([rand(3)]).step(), AttributeError, 'params[0]', '(3,)', 'run backward')],
    'kaiming': [((3,), ValueError, '(3,)', 'want (d, m)'), ((3, -1), ValueError, '(3, -1)'),
                (('a', 3), ValueError, "('a', 3)")],
    'mlp': [((3,), ValueError, '(3,)', 'two or more')],
    'accuracy': [
        (lambda: accuracy(net()[0], 3), TypeError, 'data is int', 'TensorDataset'),
        (lambda: accuracy(net()[0], (rand(3, 4), whole(4))), ValueError, '3', '4', 'length')],
    'fit': [
        (lambda: fitted(3), TypeError, 'data is int', 'TensorDataset'),
        (lambda: fitted((rand(3, 4), whole(4))), ValueError, '3', '4', 'length'),
        (lambda: fitted(valid=3), TypeError, 'valid is int', 'TensorDataset'),
        (lambda: fitted(epochs=-1), ValueError, 'epochs is -1', '0 or more'),
        (lambda: fitted(epochs=1.5), TypeError, 'epochs is 1.5', 'whole number'),
        (lambda: fitted(batch_size=0), ValueError, 'batch_size is 0', '1 or more'),
        (lambda: fitted(opt=SGD([rand(2)], .1)), ValueError, 'optimizer', 'model')],
    'save_state': [
        (lambda: save_state(FOLDER/'a', net()[0], net()[1], History()), ValueError, 'params[0]'),
        (lambda: save_state(FOLDER/'a', *net(), 3), TypeError, 'history is int', 'History')],
    'load_state': [
        (lambda: load_state(written(lambda raw: b'other'), *net()), ValueError, 'state', 'damaged'),
        (lambda: load_state(written(lambda raw: raw[:-1]), *net()), ValueError, 'state', 'damaged'),
        (lambda: load_state(written(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), *net()),
         ValueError, 'damaged', 'checksum'),
        (lambda: load_state(written(), net()[0], net()[1]), ValueError, 'params[0]'),
        (lambda: load_state(written(), *net(Adam)), ValueError, 'SGD', 'Adam')],
    'conv2d': FILTERS,
    'conv2d_grad': [
        ((x, arrived(rand(1, 3, 4, 4)), *rest), *says) for (x, *rest), *says in FILTERS] + [
        ((WINDOW[0], arrived(rand(1, 3, 5, 5)), *WINDOW[1:]), ValueError, 'want (1, 3, 4, 4)'),
        ((WINDOW[0], arrived(double(1, 3, 4, 4)), *WINDOW[1:]), TypeError, 'float64', 'float32'),
        ((WINDOW[0], rand(1, 3, 4, 4), *WINDOW[1:]), AttributeError, 'nothing has arrived'),
        ((WINDOW[0], 3, *WINDOW[1:]), TypeError, 'out is 3', WANT_TENSOR)],
    'max_pool2d': POOLS, 'max_pool2d_grad': POOL_GRADS,
    'avg_pool2d': POOLS, 'avg_pool2d_grad': POOL_GRADS,
    'Conv2d': [(lambda: Conv2d(*WINDOW[1:])(rand(2, 5, 5)), ValueError, '(2, 5, 5)', '(N, C,'),
               (lambda: Conv2d(*WINDOW[1:], 0)(WINDOW[0]), ValueError, 'stride is 0')],
    'MaxPool2d': [(lambda: MaxPool2d(0)(WINDOW[0]), ValueError, 'size is 0')],
    'AvgPool2d': [(lambda: AvgPool2d(2, 0)(WINDOW[0]), ValueError, 'stride is 0')],
    'Flatten': [(lambda: Flatten()(rand(3)), ValueError, '(3,)', '(N, ...)')],
    'flatten': [((rand(3),), ValueError, '(3,)', '(N, ...)'),
                ((3,), TypeError, 'x is 3', WANT_TENSOR),
                ((whole(3, 4),), TypeError, 'int64', 'want a float')],
    'flatten_grad': [
        ((rand(3, 2, 2), arrived(rand(3, 5))), ValueError, '(3, 5)', 'want (3, 4)'),
        ((rand(3, 2), arrived(double(3, 2))), TypeError, 'float64', 'float32'),
        ((rand(3, 2), rand(3, 2)), AttributeError, 'nothing has arrived'),
        ((rand(3), arrived(rand(3))), ValueError, '(3,)', '(N, ...)'),
        ((3, arrived(rand(3, 2))), TypeError, 'inp is 3', WANT_TENSOR)],
}
ROWS = [(name, *row) for name, rows in REFUSALS.items() for row in rows]

@pytest.mark.parametrize('name', PUBLIC)
def test_every_public_name_has_its_rows(name):
    assert bool(REFUSALS.get(name)) != (name in NOTHING), f'{name}: rows in REFUSALS, or NOTHING'

def test_rows_are_of_public_names(): assert {*REFUSALS, *NOTHING} <= {*PUBLIC}

@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}-{row[2].__name__}-{row[3]}')
def test_refused(row):
    name, args, error, *words = row
    with pytest.raises(error) as e:
        args() if callable(args) else globals()[name](*args)
    said = str(e.value)
    assert e.type is error and all(word in said for word in (SAYS.get(name, name), *words)), said
