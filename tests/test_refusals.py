"""Whatever is public refuses what it cannot work with, by an error that names the function, what
came, what is wanted and the entry of the clinic. A new public name without a row here fails."""
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
    'Verdict': 'a record, which `diagnose` fills',
    'exercise': 'enters an exercise',
    'keep_progress': 'a place that cannot be written is said when something is noted',
    'progress': 'prints what is there',
    **{name: 'an error' for name in import_module('backprop_nb.clinic').__all__},
}
SAYS = {  # what the messages call a name, where that is not the name itself
    'Relu': 'relu', 'Lin': 'lin', 'Mse': 'mse', 'Sigmoid': 'sigmoid', 'Bce': 'bce',
    'BceWithLogits': 'bce_with_logits', 'CrossEntropy': 'cross_entropy', 'Conv2d': 'conv2d',
    'MaxPool2d': 'max_pool2d', 'AvgPool2d': 'avg_pool2d', 'Flatten': 'flatten',
    'forward_and_backward': 'lin', 'upstream': 'backward', 'draw_graph': 'nodes',
    **dict.fromkeys(['diagnose', 'check', 'hint', 'solution'], 'no exercise'),
    'exercise_cells': 'grade', 'draw_network': 'named', 'show_digits': 'wanted'}

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
    ((rand(2, 5, 5), 2), ShapeError, '(2, 5, 5)', '(N, C, H, W)'),
    ((whole(1, 2, 5, 5), 2), DtypeError, 'int64', 'want a float'),
    (([1], 2), DtypeError, '[1]', WANT_TENSOR),
    ((WINDOW[0], 0), RangeError, 'size is 0', 'want 1 or more'),
    ((WINDOW[0], 2, -1), RangeError, 'stride is -1', 'want 1 or more'),
    ((WINDOW[0], 1.5), ArgumentError, 'size is 1.5', 'whole number'),
    ((WINDOW[0], True), ArgumentError, 'size is True', 'whole number'),
    ((WINDOW[0], 6), ShapeError, '6 x 6', '5 x 5')]
POOL_GRADS = [
    ((WINDOW[0], arrived(rand(1, 2, 3, 3)), 2), ShapeError, '(1, 2, 3, 3)', 'want (1, 2, 2, 2)'),
    ((WINDOW[0], arrived(double(1, 2, 2, 2)), 2), DtypeError, 'float64', 'float32'),
    ((WINDOW[0], rand(1, 2, 2, 2), 2), UpstreamError, 'nothing has arrived in out.g'),
    ((WINDOW[0], 3, 2), DtypeError, 'out is 3', WANT_TENSOR),
    ((WINDOW[0], arrived(rand(1, 2, 2, 2)), 0), RangeError, 'size is 0', 'want 1 or more')]
PAIRS = [  # predictions and targets
    ((rand(3, 1), rand(4)), ShapeError, '(3, 1)', '(4,)', 'want (N, 1) with (N,)'),
    ((rand(3, 1), rand(1, 3)), ShapeError, '(3, 1)', '(1, 3)'),
    ((whole(3), rand(3)), DtypeError, 'int64', 'want a float'),
    ((rand(3), double(3)), DtypeError, 'targ is torch.float64', 'float32'),
    (([1], rand(1)), DtypeError, '[1]', WANT_TENSOR),
    ((rand(1), [1]), DtypeError, 'targ is [1]', WANT_TENSOR)]
UNIT = [((rand(3), rand(3) - 2), RangeError, 'targ has values from -', 'want 0 to 1'),
        ((rand(3), rand(3) + 1), RangeError, 'targ has values from 1', 'want 0 to 1')]
PROBABILITIES = [((rand(3) + 2, rand(3)), RangeError, 'values from 2.', 'want 0 to 1'),
                 ((rand(3) * math.nan, rand(3)), RangeError, 'nan', 'want 0 to 1')]
LABELS = [
    ((rand(3, 4), whole(4)), ShapeError, '(3, 4)', '(4,)', 'want (N, C) and (N,)'),
    ((rand(3, 4), whole(3) + 4), RangeError, 'targ holds 4', 'from 0 to 3'),
    ((rand(3, 4), whole(3) - 1), RangeError, 'targ holds -1', 'from 0 to 3'),
    ((rand(3, 4), whole(3).int()), DtypeError, 'targ is torch.int32', 'want torch.int64'),
    ((rand(3, 4), rand(3)), DtypeError, 'targ is torch.float32', 'want torch.int64'),
    ((whole(3, 4), whole(3)), DtypeError, 'int64', 'want a float'),
    ((rand(3, 4), [1, 2, 3]), DtypeError, 'targ is [1, 2, 3]', WANT_TENSOR)]
LOSS_OUT = [((rand(3), rand(3), arrived(zeros(()), rand(2))), ShapeError, '(2,)', 'want ()')]
LABELS_OUT = [((rand(3, 4), whole(3), arrived(zeros(()), rand(2))), ShapeError, '(2,)', 'want ()')]
ANY = [((3,), DtypeError, 'x is 3', WANT_TENSOR),
       ((whole(3),), DtypeError, 'int64', 'want a float')]
SHAPED = [
    ((rand(3), arrived(rand(4))), ShapeError, '(3,)', '(4,)', 'equal shapes'),
    ((rand(3), arrived(double(3))), DtypeError, 'float32', 'float64', 'one float dtype'),
    ((whole(3), arrived(rand(3))), DtypeError, 'int64', 'one float dtype'),
    ((rand(3), rand(3)), UpstreamError, 'nothing has arrived in out.g (3,)'),
    ((rand(3), arrived(rand(3), rand(2))), ShapeError, 'out.g has shape (2,)', 'want (3,)'),
    ((3, arrived(rand(3))), DtypeError, 'inp is 3', WANT_TENSOR)]
SCORES = [((rand(3),), ShapeError, '(3,)', 'want (N, C)'), ((whole(3, 4),), DtypeError, 'int64'),
          (([1],), DtypeError, '[1]', WANT_TENSOR)]
SCORES_OUT = [
    ((rand(3, 4), arrived(rand(3, 5))), ShapeError, '(3, 4)', '(3, 5)', 'want (N, C) for both'),
    ((rand(3, 4), arrived(double(3, 4))), DtypeError, 'float32', 'float64', 'same for both'),
    ((rand(3, 4), rand(3, 4)), UpstreamError, 'nothing has arrived in out.g (3, 4)')]
LAYER = [
    ((rand(3, 4), rand(5, 2), rand(2)), ShapeError, '(3, 4)', '(5, 2)', 'want (N, d), (d, m)'),
    ((rand(3, 4), rand(4, 2), rand(1)), ShapeError, '(1,)', 'and (m,)'),
    ((rand(3, 4), double(4, 2), rand(2)), DtypeError, 'w torch.float64', 'one float dtype'),
    ((rand(3, 4), rand(4, 2), 0), DtypeError, 'b is 0', WANT_TENSOR)]
FILTERS = [
    ((rand(2, 5, 5), *WINDOW[1:]), ShapeError, '(2, 5, 5)', '(N, C, H, W)'),
    ((rand(1, 4, 5, 5), *WINDOW[1:]), ShapeError, '(1, 4, 5, 5)', '(3, 2, 2, 2)'),
    ((*WINDOW[:2], rand(2)), ShapeError, 'b (2,)', '(F,)'),
    ((*WINDOW[:2], double(3)), DtypeError, 'b torch.float64', 'one float dtype'),
    ((None, *WINDOW[1:]), DtypeError, 'is None', WANT_TENSOR),
    ((*WINDOW, 0), RangeError, 'stride is 0', 'want 1 or more'),
    ((*WINDOW, 1, -1), RangeError, 'padding is -1', 'want 0 or more'),
    ((*WINDOW, 1.5), ArgumentError, 'stride is 1.5', 'whole number'),
    ((*WINDOW, (1, 2)), ArgumentError, 'stride is (1, 2)', 'whole number'),
    ((WINDOW[0], rand(3, 2, 0, 2), rand(3)), ShapeError, '(3, 2, 0, 2)', 'at least 1'),
    ((WINDOW[0], rand(3, 2, 6, 2), rand(3)), ShapeError, '6 x 2', '5 x 5')]
OPTIMISER = [
    ((rand(3), .1), ArgumentError, 'one tensor', 'want a list'),
    (([], .1), RangeError, 'empty'),
    (([whole(3)], .1), DtypeError, 'params[0]', 'float'),
    (([x := rand(3), x], .1), ReuseError, 'params[1]', 'params[0] once more'),
    (([rand(3)], -1), RangeError, 'lr is -1', 'want 0 <='),
    (([rand(3)], 'fast'), ArgumentError, "lr is 'fast'", 'want ')]

REFUSALS = {  # rows of arguments, or of a function without any; type of the error, words in it
    'Value': [
        (('a',), ArgumentError, 'numbers', 'got str'), ((1j,), ArgumentError, 'got complex'),
        (lambda: Value(1) + 'a', ArgumentError, 'numbers', 'got str'),
        (lambda: Value(2)**Value(3), ArgumentError, 'exponent must be a number', 'Value(3)')],
    'draw_graph': [(lambda: draw_graph(sum([Value(k) for k in range(40)], Value(0))),
                    RangeError, 'nodes', 'at most 60')],
    'draw_network': [(('x',), RangeError, "'x'", "'lin1'"),
                     ((None, 'x'), RangeError, "'x'", "'conv'")],
    'show_digits': [
        ((rand(3, 5),), ShapeError, '(3, 5)', '(N, 784)'),
        ((rand(3, 784), whole(2)), ShapeError, 'y has shape (2,)', '(3,)'),
        ((rand(3, 784), None, whole(2)), ShapeError, 'pred has shape (2,)', '(3,)'),
        ((rand(3, 784), None, None, 0), RangeError, 'cols is 0', '1 or more')],
    'two_moons': [((-1,), RangeError, 'n = -1'), ((9, -1), RangeError, 'noise = -1'),
                  ((9, math.nan), RangeError, 'noise = nan'), ((1.5,), ArgumentError, 'n is 1.5')],
    'mnist': [((False, 'somewhere'), RangeError, 'folder', 'full=True')],
    'numeric_grad': [
        ((torch.sum, whole(3)), DtypeError, 'int64', 'want a float'),
        ((torch.exp, rand(3)), ShapeError, 'f returned (3,)', 'want one number'),
        ((torch.sum, 3.), DtypeError, 'x is 3.0', 'want a tensor'),
        ((torch.sum, rand(3), 0.), RangeError, 'h is 0.0', 'above 0')],
    'refused': [((len, []), CheckError, 'len was not refused')],
    'upstream': [
        ((rand(3),), UpstreamError, 'nothing has arrived in out.g (3,)'),
        ((3,), DtypeError, 'out is 3', 'want a tensor'),
        ((arrived(rand(3), rand(2)),), ShapeError, 'out.g has shape (2,)', 'want (3,)'),
        ((arrived(rand(3), double(3)),), DtypeError, 'out.g is torch.float64', 'float32')],
    'check_grads': [
        ((relu, lambda inp: 0, rand(3)), ArgumentError, 'backward', 'named out'),
        ((relu, lambda out: 0, rand(3)), ArgumentError, 'backward', '1 inputs'),
        ((relu, relu_grad, whole(3)), DtypeError, 'no input is a float'),
        (lambda: check_grads(relu, relu_grad, rand(3), wrt='x'), RangeError, "['x']", "['inp']")],
    'mse': PAIRS, 'mse_grad': PAIRS + LOSS_OUT,
    'relu': ANY, 'relu_grad': SHAPED,
    'lin': LAYER,
    'lin_grad': [
        ((rand(3, 4), arrived(rand(3, 3)), rand(4, 2), rand(2)), ShapeError, '(3, 3)', '(3, 2)'),
        ((rand(3, 4), arrived(rand(3, 2)), rand(5, 2), rand(2)), ShapeError, '(5, 2)', '(d, m)'),
        ((rand(3, 4), arrived(double(3, 2)), rand(4, 2), rand(2)), DtypeError, 'float64'),
        ((rand(3, 4), rand(3, 2), rand(4, 2), rand(2)), UpstreamError, 'nothing has arrived'),
        ((rand(3, 4), 3, rand(4, 2), rand(2)), DtypeError, 'out is 3', WANT_TENSOR)],
    'forward_and_backward': [
        ((rand(3, 4), rand(3), rand(5, 2), rand(2), rand(2, 1), rand(1)), ShapeError, '(5, 2)'),
        ((rand(3, 4), rand(3), rand(4, 2), rand(2), rand(3, 1), rand(1)), ShapeError, '(3, 1)')],
    'Module': [(lambda: Module()(rand(3)), MethodError, 'forward'),
               (lambda: Module().backward(), OrderError, 'before forward')],
    'Relu': called(Relu(), ANY), 'Mse': called(Mse(), PAIRS), 'Sigmoid': called(Sigmoid(), ANY),
    'Lin': [(lambda: Lin(rand(4, 2), rand(2))(rand(3, 5)), ShapeError, '(3, 5)', '(4, 2)')],
    'Model': [
        ((Relu(), Mse()), ArgumentError, 'layers', 'want a list of Modules'),
        (([Relu(), 3], Mse()), ArgumentError, 'layer 1 is 3', 'want a Module'),
        (([Relu(), one := Relu(), one], Mse()), ReuseError, 'layer 2 (Relu)', 'layer 1 once more'),
        (lambda: Model([Relu()], Mse()).backward(), OrderError, 'before forward')],
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
        (([rand(3)], .1, 1), RangeError, 'momentum is 1', '< 1'),
        (([rand(3)], .1, 0., -1), RangeError, 'weight_decay is -1', '0 <='),
        (lambda: SGD([rand(3)], .1).step(), UpstreamError, 'params[0]', '(3,)', 'run backward'),
        (lambda: SGD([arrived(rand(3), rand(2))], .1).step(), ShapeError, '(2,)', '(3,)')],
    'Adam': OPTIMISER + [
        (([rand(3)], .1, (1, 0)), RangeError, 'betas[0] is 1', '< 1'),
        (([rand(3)], .1, (0, 0), -1), RangeError, 'eps is -1', '0 <='),
        (lambda: Adam([rand(3)]).step(), UpstreamError, 'params[0]', '(3,)', 'run backward')],
    'kaiming': [((3,), ShapeError, '(3,)', 'want (d, m)'), ((3, -1), ShapeError, '(3, -1)'),
                (('a', 3), ShapeError, "('a', 3)")],
    'mlp': [((3,), ShapeError, '(3,)', 'two or more')],
    'accuracy': [
        (lambda: accuracy(net()[0], 3), ArgumentError, 'data is int', 'TensorDataset'),
        (lambda: accuracy(net()[0], (rand(3, 4), whole(4))), ShapeError, '3', '4', 'length')],
    'fit': [
        (lambda: fitted(3), ArgumentError, 'data is int', 'TensorDataset'),
        (lambda: fitted((rand(3, 4), whole(4))), ShapeError, '3', '4', 'length'),
        (lambda: fitted(valid=3), ArgumentError, 'valid is int', 'TensorDataset'),
        (lambda: fitted(epochs=-1), RangeError, 'epochs is -1', '0 or more'),
        (lambda: fitted(epochs=1.5), ArgumentError, 'epochs is 1.5', 'whole number'),
        (lambda: fitted(batch_size=0), RangeError, 'batch_size is 0', '1 or more'),
        (lambda: fitted(opt=SGD([rand(2)], .1)), RangeError, 'optimizer', 'model')],
    'save_state': [
        (lambda: save_state(FOLDER/'a', net()[0], net()[1], History()), RangeError, 'params[0]'),
        (lambda: save_state(FOLDER/'a', *net(), 3), ArgumentError, 'history is int', 'History')],
    'load_state': [
        (lambda: load_state(written(lambda raw: b'other'), *net()), FileError, 'state', 'damaged'),
        (lambda: load_state(FOLDER/'none', *net()), FileError, 'there is no file'),
        (lambda: load_state(written(lambda raw: raw[:-1]), *net()), FileError, 'state', 'damaged'),
        (lambda: load_state(written(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), *net()),
         FileError, 'damaged', 'checksum'),
        (lambda: load_state(written(), net()[0], net()[1]), RangeError, 'params[0]'),
        (lambda: load_state(written(), *net(Adam)), FileError, 'SGD', 'Adam')],
    'conv2d': FILTERS,
    'conv2d_grad': [
        ((x, arrived(rand(1, 3, 4, 4)), *rest), *says) for (x, *rest), *says in FILTERS] + [
        ((WINDOW[0], arrived(rand(1, 3, 5, 5)), *WINDOW[1:]), ShapeError, 'want (1, 3, 4, 4)'),
        ((WINDOW[0], arrived(double(1, 3, 4, 4)), *WINDOW[1:]), DtypeError, 'float64', 'float32'),
        ((WINDOW[0], rand(1, 3, 4, 4), *WINDOW[1:]), UpstreamError, 'nothing has arrived'),
        ((WINDOW[0], 3, *WINDOW[1:]), DtypeError, 'out is 3', WANT_TENSOR)],
    'max_pool2d': POOLS, 'max_pool2d_grad': POOL_GRADS,
    'avg_pool2d': POOLS, 'avg_pool2d_grad': POOL_GRADS,
    'Conv2d': [(lambda: Conv2d(*WINDOW[1:])(rand(2, 5, 5)), ShapeError, '(2, 5, 5)', '(N, C,'),
               (lambda: Conv2d(*WINDOW[1:], 0)(WINDOW[0]), RangeError, 'stride is 0')],
    'MaxPool2d': [(lambda: MaxPool2d(0)(WINDOW[0]), RangeError, 'size is 0')],
    'AvgPool2d': [(lambda: AvgPool2d(2, 0)(WINDOW[0]), RangeError, 'stride is 0')],
    'Flatten': [(lambda: Flatten()(rand(3)), ShapeError, '(3,)', '(N, ...)')],
    'flatten': [((rand(3),), ShapeError, '(3,)', '(N, ...)'),
                ((3,), DtypeError, 'x is 3', WANT_TENSOR),
                ((whole(3, 4),), DtypeError, 'int64', 'want a float')],
    'flatten_grad': [
        ((rand(3, 2, 2), arrived(rand(3, 5))), ShapeError, '(3, 5)', 'want (3, 4)'),
        ((rand(3, 2), arrived(double(3, 2))), DtypeError, 'float64', 'float32'),
        ((rand(3, 2), rand(3, 2)), UpstreamError, 'nothing has arrived'),
        ((rand(3), arrived(rand(3))), ShapeError, '(3,)', '(N, ...)'),
        ((3, arrived(rand(3, 2))), DtypeError, 'inp is 3', WANT_TENSOR)],
    **{name: [(('77.7', *more), RangeError, "'77.7'", 'want one of')] for name, more in
       {'diagnose': [1], 'check': [1], 'hint': [], 'solution': []}.items()},
    **{name: [((FOLDER/'nothing.ipynb',), FileError, 'nothing.ipynb', 'want an .ipynb')]
       for name in ('exercise_cells', 'grade')},
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
    assert said.endswith(f' (clinic: {error.entry})')
