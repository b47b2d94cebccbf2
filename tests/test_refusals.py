"""Whatever is public refuses what it cannot work with, by an error that names the function, what
came, what is wanted and the entry of the clinic. A new public name without a row here fails."""
import inspect, math, re, tempfile
from fractions import Fraction
from importlib import import_module
from inspect import signature
from itertools import combinations
from pathlib import Path
import pytest, torch
from fastcore.docments import docments
from run_course import ROOT
from torch import rand, zeros
from backprop_nb.all import *
from backprop_nb.embedding import _names_from
from backprop_nb.gpt import _plays_from
from backprop_nb.grade import exercise_cells, grade  # noqa: F401

MODULES = [p.stem for p in sorted((ROOT/'backprop_nb').glob('[!_]*.py')) if p.stem != 'all']
PUBLIC = [name for m in MODULES for name in import_module(f'backprop_nb.{m}').__all__]
NOTHING = {  # names with nothing to refuse, and why
    'Mnist': 'a tuple with names, which `mnist` fills',
    'Names': 'a tuple with names, which `names` fills',
    'Text': 'a tuple with names, which `shakespeare` and `read_text` fill',
    'History': 'a record, which `fit` fills',
    'place': 'says which process this is',
    'Verdict': 'a record, which `diagnose` fills',
    'Cost': 'a record, which `cost` fills',
    'slides': 'takes any notebook that nbconvert has read',
    'OPS': 'the records, each of which is tried below',
    'Draw': 'sizes and numbers for a record',
    'by_hand': 'runs the functions of a record', 'by_autograd': 'runs the functions of a record',
    **{name: 'an error' for name in import_module('backprop_nb.clinic').__all__},
}
SAYS = {  # what the messages call a name, where that is not the name itself
    'Relu': 'relu', 'Lin': 'lin', 'Mse': 'mse', 'Sigmoid': 'sigmoid', 'Bce': 'bce',
    'BceWithLogits': 'bce_with_logits', 'CrossEntropy': 'cross_entropy', 'Conv2d': 'conv2d',
    'LayerNorm': '', 'RMSNorm': '',
    'MaxPool2d': 'max_pool2d', 'AvgPool2d': 'avg_pool2d', 'Flatten': 'flatten',
    'Embedding': 'embedding', 'RNN': 'rnn', 'LSTM': 'lstm', 'Silu': 'silu', 'Block': '',
    'forward_and_backward': 'lin', 'upstream': 'backward', 'draw_graph': '',
    **dict.fromkeys(['diagnose', 'check', 'hint', 'solution'], 'no exercise'),
    'Parallel': '', 'Sharded': '', 'fits': 'f', 'exercise_cells': 'grade', 'draw_network': 'named'}

def whole(*shape): return zeros(shape, dtype=torch.int64)
def double(*shape): return rand(shape, dtype=torch.float64)
def arrived(out, g=None):
    "An output at which a gradient has arrived."
    out.g = torch.ones_like(out) if g is None else g
    return out

def net(optimiser=SGD):
    model = Model([Lin(rand(4, 3), zeros(3))], CrossEntropy())
    return model, optimiser(model.parameters(), lr=.1)
class Same(Module):
    def forward(self, x): return x
class HalfModule(Module): pass
class SameModule(Same): pass
def back(module):
    "There and back, with nothing arriving at the output."
    module(rand(3))
    module.backward()
def back_from(module, x):
    module(x)
    module.backward()
def after_failure(model):
    "A way back, after a pass that went well and one that failed."
    model(rand(5, 3), rand(5, 3))
    with pytest.raises(ShapeError): model(rand(5, 3), rand(4, 3))
    model.backward()
class OutLast(Same):
    def bwd(self, inp, out): inp.g = out.g
class ProductModule(Module):
    def forward(self, a, b): return a * b
    def bwd(self, out, a, b): a.g, b.g = out.g * b, out.g * a
def twice_in(module, x):
    module(x, x).g = rand(3)
    module.backward()
def square_grad(inp, out): inp.g = 2 * inp * out.g
def filled(gpt, number):
    "A GPT whose scores are this number."
    gpt.head, gpt.layers[-1].b = torch.full((4, 4), number), torch.ones(4)
    gpt.layers[-1].w = zeros(4)
    return gpt
def watched(opt):
    p = opt.params[0]
    p.g = rand(3, requires_grad=True) * 2
    opt.step()
class ScaledModule(Module):
    def __init__(self): self.s = rand(3)
    def forward(self, inp): return self.s * inp
    def bwd(self, out, inp): inp.g, self.s.g = out.g * self.s, (out.g * inp).sum(0)
class Twice(Same):
    def __init__(self, inner): self.inner = inner
def written_into(module, what):
    "There and back, and in between something is written into."
    inp = rand(4, 3)
    out = arrived(module(inp))
    {'inp': inp, 'out': out, 's': module.s}[what].add_(1)
    module.backward()
def into(model, *args):
    model(*args)
    model.parameters()[0].mul_(2)
    model.backward()
def itself(w):
    model = Model([Lin(w, zeros(3))], Mse())
    model(w, rand(3, 3))
    model.backward(input_grad=True)
def elsewhere(model):
    model(rand(4, 3), rand(4, 3))
    model.layers[0](rand(4, 3))
    model.backward()
def steps(opt, *grads):
    for g in grads:
        for p in opt.params: p.g = g
        opt.step()
def tied(w, other): return [Lin(w, zeros(3)), Relu(), Lin(other, zeros(3))], Mse()
def fitted(data=(rand(5, 4), whole(5)), epochs=1, opt=None, **how):
    model, own = net()
    return fit(model, own if opt is None else opt, data, epochs, progress=False, **how)

class NumberMse(Mse):
    "A loss that is no tensor."
    def forward(self, inp, targ): return super().forward(inp, targ).item()
    def bwd(self, out, inp, targ): mse_grad(inp, targ)
class ColumnLoss(Mse):
    "A loss of several numbers."
    def forward(self, inp, targ): return (inp - targ)**2
    def bwd(self, out, inp, targ): mse_grad(inp, targ)
def by_loss(loss):
    model = Model([Lin(rand(4, 3), zeros(3))], loss)
    return model, SGD(model.parameters(), .1), (rand(5, 4), rand(5, 3))

def entered(manager):
    with manager: pass

def stepped(v):
    out = record(relu, v)
    v.data.sub_(1)
    out.backward(rand(3))
def squared_loss(v):
    loss = record(mse, v, rand(3))
    return loss * loss
def leaning(v):
    outside = v + v
    checkpoint(lambda a: a + outside, v).backward(rand(3))
RESTLESS = torch.Generator().manual_seed(0)
def restless(v): return v * torch.rand(3, generator=RESTLESS)
def gone(g, scale=1., times=1):
    "Gradients that were not finite, until the scale has nowhere to go."
    p = rand(3).half()
    scaled = LossScale([p], scale)
    for _ in range(times):
        p.g = g
        scaled.unscale()

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
ANY = [((3,), DtypeError, 'x is 3', WANT_TENSOR)]
WINDOW = rand(1, 2, 5, 5), rand(3, 2, 2, 2), rand(3)  # images, filters, biases
POOLS = [
    ((WINDOW[0], 0), RangeError, 'size is 0', 'want 1 or more'),
    ((WINDOW[0], 2, -1), RangeError, 'stride is -1', 'want 1 or more'),
    ((WINDOW[0], 1.5), ArgumentError, 'size is 1.5', 'whole number'),
    ((WINDOW[0], True), ArgumentError, 'size is True', 'whole number'),
    ((WINDOW[0], 6), ShapeError, '6 x 6', '5 x 5'),
    ((rand(1, 2, 5, 3), 4), ShapeError, '4 x 4', '5 x 3'),
    ((rand(1, 2, 0, 5), 2), ShapeError, '(1, 2, 0, 5)', 'at least 1')]
UNIT = [((rand(3), rand(3) - 2), RangeError, 'targ has values from -', 'want 0 to 1'),
        ((rand(3), rand(3) + 1), RangeError, 'targ has values from 1', 'want 0 to 1')]
PROBABILITIES = [((rand(3) + 2, rand(3)), RangeError, 'values from 2.', 'want 0 to 1'),
                 ((rand(3) * math.nan, rand(3)), RangeError, 'nan', 'want 0 to 1')]
LABELS = [
    ((rand(3, 4), whole(3) + 4), RangeError, 'targ holds 4', 'from 0 to 3'),
    ((rand(3, 4), whole(3) - 1), RangeError, 'targ holds -1', 'from 0 to 3'),
    ((rand(3, 4), whole(3).int()), DtypeError, 'targ is torch.int32', 'want torch.int64')]
PAIRS = [((rand(3, 1), rand(1, 3)), ShapeError, '(1, 3)', 'want (N, 1) and (N,), or equal'),
         ((rand(3), rand(3).cfloat()), DtypeError, 'targ is torch.complex64', 'float32 or whole')]
ROWS_OF_A_TABLE = [  # beside what the record says
    ((whole(3) + 4, rand(4, 2)), RangeError, 'idx holds 4', 'want rows from 0 to 3'),
    ((whole(2, 3) - 1, rand(4, 2)), RangeError, 'idx holds -1', 'want rows from 0 to 3'),
    ((whole(1), rand(0, 2)), RangeError, 'idx holds 0', 'want rows from 0 to -1'),
    ((whole(3).int(), rand(4, 2)), DtypeError, 'idx is torch.int32', 'want torch.int64'),
    ((rand(3), rand(4, 2)), DtypeError, 'idx is torch.float32', 'want torch.int64')]
WINDOWS = [  # beside what the records say
    ((*WINDOW, 0), RangeError, 'stride is 0', 'want 1 or more'),
    ((*WINDOW, 1, -1), RangeError, 'padding is -1', 'want 0 or more'),
    ((*WINDOW, 1.5), ArgumentError, 'stride is 1.5', 'whole number'),
    ((*WINDOW, (1, 2)), ArgumentError, 'stride is (1, 2)', 'whole number'),
    ((WINDOW[0], rand(3, 2, 0, 2), rand(3)), ShapeError, '(3, 2, 0, 2)', 'at least 1'),
    ((WINDOW[0], rand(3, 2, 6, 2), rand(3)), ShapeError, '6 x 2', '5 x 5'),
    ((WINDOW[0], rand(3, 2, 2, 6), rand(3)), ShapeError, '2 x 6', '5 x 5'),
    ((WINDOW[0], rand(3, 2, 2, 8), rand(3), 1, 1), ShapeError, '2 x 8', '7 x 7'),
    ((rand(1, 0, 5, 5), rand(3, 0, 2, 2), rand(3)), ShapeError, '(1, 0, 5, 5)', 'at least 1')]
CELL = rand(2, 5, 3), rand(2, 4), rand(3, 4), rand(4, 4), rand(4)  # x, h0, w_x, w_h, b
LONG = CELL[0], CELL[1], rand(2, 4), rand(3, 16), rand(4, 16), rand(16)
STEPS = [((CELL[0][:, :0], *CELL[1:]), ShapeError, 'there are 0 steps', 'want 1 or more')]
GATES = [((LONG[0][:, :0], *LONG[1:]), ShapeError, 'there are 0 steps', 'want 1 or more'),
         ((*LONG[:3], rand(3, 12), rand(4, 12), rand(12)), ShapeError, '(3, 12)', '4*4 columns')]
def back_rows(rows):
    "The same, with an output in its place."
    return [((x, arrived(rand(*x.shape[:2], 4)), *rest), *says) for (x, *rest), *says in rows]

NOTEBOOKS = [((FOLDER/'nothing.ipynb',), FileError, 'nothing.ipynb', 'want .ipynb'),
             ((None,), ArgumentError, 'path is None', 'want a str or Path')]
HISTORIES = [
    (History([1.], [], []), 'history.valid_loss is []', 'want lists of equal length'),
    (History(3, [], []), 'history.train_loss is 3', 'want lists of equal length'),
    (History(['a'], [None], [None]), "history.train_loss holds 'a'", 'want numbers, or None'),
    (History([1.], [None], [True]), 'history.valid_acc holds True', 'want numbers, or None'),
    (History([rand(2)], [None], [None]), 'train_loss holds tensor', 'want numbers, or None')]
OPTIMISER = [
    ((rand(3), .1), ArgumentError, 'one tensor', 'want a list'),
    (([], .1), RangeError, 'empty'),
    (([whole(3)], .1), DtypeError, 'params[0]', 'float'),
    (([x := rand(3), x], .1), ReuseError, 'params[1]', 'params[0] again'),
    (([x[:2], x[1:]], .1), ReuseError, 'params[1]', 'params[0] again, or has memory'),
    (([rand(1).expand(3)], .1), ReuseError, 'params[0]', 'share memory'),
    (([rand(3).to_sparse()], .1), DtypeError, 'params[0] is sparse'),
    (([rand(3, device='meta')], .1), DtypeError, 'params[0] is sparse, on meta'),
    (([rand(3)], -1), RangeError, 'lr is -1', 'want 0 <='),
    (([rand(3)], 'fast'), ArgumentError, "lr is 'fast'", 'want '),
    (([rand(3)], None), ArgumentError, 'lr is None', 'an int or float'),
    (([rand(3)], True), ArgumentError, 'lr is True', 'an int or float'),
    (([rand(3)], math.nan), RangeError, 'lr is nan', 'want 0 <= lr < 3e+38'),
    (([rand(3)], math.inf), RangeError, 'lr is inf', 'want 0 <= lr < 3e+38'),
    (([rand(3), [1., 2.]], .1), DtypeError, 'params[1] is [1.0, 2.0]', WANT_TENSOR),
    (([rand(3).requires_grad_()], .1), DtypeError, 'params[0]', 'requires_grad=True'),
    (([rand(2), y := rand(3, 3), y.t()], .1), ReuseError, 'params[2]', 'params[1] again')]

TINY = GPT(4, 5, 4, 2, 1)
QKV = rand(2, 3, 4), rand(2, 5, 4), rand(2, 5, 6)
NO_FEATURES = (rand(2, 3, 0), rand(2, 5, 0), rand(2, 5, 6)), ShapeError, '0 features', '1 or more'
LOOKS = [
    NO_FEATURES,
    ((*QKV, rand(3, 5)), DtypeError, 'mask is torch.float32', 'torch.bool'),
    ((*QKV, 'causal'), DtypeError, "mask is 'causal'", WANT_TENSOR),
    ((*QKV, (rand(3, 5) > 0).to_sparse()), DtypeError, 'mask is a sparse_coo tensor'),
    *(((*QKV, rand(*shape) > 0), ShapeError, f'mask has shape {shape}', '(2, 3, 5)')
      for shape in [(3, 4), (5, 3), (5,), (3, 3, 5), (1, 2, 3, 5)])]
IN_BLOCKS = [
    NO_FEATURES,
    ((*QKV, 1), ArgumentError, 'causal is 1', 'want a bool'),
    ((*QKV, True, 0), RangeError, 'size is 0', 'want 1 or more'),
    ((*QKV, True, 2.), ArgumentError, 'size is 2.0', 'want a whole number')]
REFUSALS = {  # rows of arguments, or of a function without any; type of the error, words in it
    'Value': [
        (('a',), ArgumentError, 'numbers', 'got str'), ((1j,), ArgumentError, 'got complex'),
        (lambda: Value(1) + 'a', ArgumentError, 'numbers', 'got str'),
        (lambda: Value(2)**Value(3), ArgumentError, 'exponent must be a number', 'Value(3)'),
        (lambda: 2**Value(3), ArgumentError, 'exponent must be a number', 'Value(3)'),
        ((10**400,), RangeError, 'too large for a float')],
    'draw_graph': [(lambda: draw_graph(sum([Value(k) for k in range(40)], Value(0))),
                    RangeError, 'nodes', 'at most 60'),
                   ((Value(3), 1.5), ArgumentError, 'digits is 1.5', 'whole number'),
                   ((3,), ArgumentError, 'out is 3', 'want a Value')],
    'draw_network': [(('x',), RangeError, "'x'", "'lin1'"),
                     ((None, 'x'), RangeError, "'x'", "'conv'"),
                     ((1,), RangeError, 'no box is named 1', "'lin1'"),
                     (([['relu'], 'x'],), RangeError, "named 'x', ['relu']", "'lin1'"),
                     ((None, ['x']), RangeError, "['x']", "'conv'")],
    'show_digits': [
        ((rand(3, 5),), ShapeError, '(3, 5)', '(N, 784)'),
        ((rand(3, 784), whole(2)), ShapeError, 'y has shape (2,)', '(3,)'),
        ((rand(3, 784), None, whole(2)), ShapeError, 'pred has shape (2,)', '(3,)'),
        ((rand(3, 784), None, None, 0), RangeError, 'cols is 0', '1 or more'),
        ((None,), DtypeError, 'x is None', WANT_TENSOR),
        ((rand(3, 784).to_sparse(),), DtypeError, 'x is a sparse_coo tensor', 'dense'),
        ((rand(3, 784), 'abc'), DtypeError, "y is 'abc'", WANT_TENSOR),
        ((rand(3, 784), None, [[1], [1, 2], []]), DtypeError, 'pred is [[1], ', WANT_TENSOR)],
    'two_moons': [((-1,), RangeError, 'n is -1'), ((9, -1), RangeError, 'noise is -1'),
                  ((9, math.nan), RangeError, 'noise is nan'), ((1.5,), ArgumentError, 'n is 1.5'),
                  ((9, math.inf), RangeError, 'noise is inf'), ((9, 'a'), ArgumentError, "is 'a'"),
                  ((9, .1, -1), RangeError, 'seed is -1', '0 or more')],
    'mnist': [((False, 'somewhere'), RangeError, 'folder', 'full=True'),
              ((True, 3), ArgumentError, 'folder is 3', 'want a str or Path')],
    'numeric_grad': [
        ((torch.sum, whole(3)), DtypeError, 'int64', 'want a float'),
        ((torch.exp, rand(3)), ShapeError, 'f returned (3,)', 'want one number'),
        ((torch.sum, 3.), DtypeError, 'x is 3.0', 'want a tensor'),
        ((torch.sum, rand(3), 0.), RangeError, 'h is 0.0', 'above 0'),
        ((torch.sum, rand(3), -1e-3), RangeError, 'h is -0.001', 'above 0'),
        ((torch.sum, rand(3), math.inf), RangeError, 'h is inf', '< inf'),
        ((torch.sum, rand(3), 'a'), ArgumentError, "h is 'a'", 'want an int or float'),
        ((3, rand(3)), ArgumentError, 'f is 3', 'want a function'),
        ((lambda x: None, rand(3)), DtypeError, 'f returned None', 'want one number'),
        ((lambda x: x.sum() * 1j, rand(3)), DtypeError, 'complex64', 'want a float')],
    'refused': [((len, []), CheckError, 'len was not refused')],
    'upstream': [
        ((rand(3),), UpstreamError, 'nothing has arrived in out.g (3,)'),
        ((3,), DtypeError, 'out is 3', 'want a tensor'),
        ((arrived(rand(3), rand(2)),), ShapeError, 'out.g has shape (2,)', 'want (3,)'),
        ((arrived(rand(3), double(3)),), DtypeError, 'out.g is torch.float64', 'float32'),
        ((arrived(rand(3), 1.),), DtypeError, 'out.g is 1.0', 'want a tensor')],
    'check_grads': [
        ((relu, lambda inp: 0, rand(3)), ArgumentError, 'backward', 'named out'),
        ((relu, lambda out: 0, rand(3)), ArgumentError, 'backward', '1 inputs'),
        ((torch.add, lambda inp, out, *rest: 0, rand(3), rand(3)), ArgumentError, '2 inputs'),
        ((relu, relu_grad, whole(3)), DtypeError, 'no input is a float'),
        (lambda: check_grads(relu, relu_grad, rand(3), wrt='x'), RangeError, "['x']", "['inp']"),
        (lambda: check_grads(relu, relu_grad, rand(3), wrt=3), ArgumentError, 'wrt is 3', 'names'),
        ((relu, relu_grad, rand(3, 3).to_sparse()), DtypeError, 'inp is a sparse_coo', 'dense'),
        ((lambda x: x.to_sparse(), relu_grad, rand(3, 3)), DtypeError, 'out is a sparse_coo'),
        ((torch.mul, lambda inp, out, c: 0, rand(3), rand(3)*1j), DtypeError,
         'the complex numbers in c would not be checked'),
        ((OutLast(), rand(3)), ArgumentError, 'bwd has out in place 2', 'as in bwd(out, inp)'),
        ((OutLast().forward, OutLast().bwd, rand(3)), ArgumentError, 'bwd has out in place 2'),
        (lambda w=rand(3, 3): check_grads(lambda inp: inp @ w, square_grad, rand(2, 3)),
         DtypeError, 'torch.float32', 'neither an argument nor a parameter')],
    'mse': PAIRS, 'mse_grad': PAIRS,
    'forward_and_backward': [
        ((rand(3, 4), rand(3), rand(5, 2), rand(2), rand(2, 1), rand(1)), ShapeError, '(5, 2)'),
        ((rand(3, 4), rand(3), rand(4, 2), rand(2), rand(3, 1), rand(1)), ShapeError, '(3, 1)')],
    'Module': [(lambda: Module()(rand(3)), MethodError, 'forward'),
               (lambda: HalfModule()(rand(3)), MethodError, 'HalfModule.forward'),
               (lambda: back(SameModule()), MethodError, 'SameModule.bwd'),
               (lambda: HalfModule().backward(), OrderError, 'HalfModule: backward before forward'),
               (lambda: Module().backward(), OrderError, 'before forward'),
               (lambda: written_into(ScaledModule(), 'inp'), OrderError,
                'argument 0 changed in place'),
               (lambda: written_into(ScaledModule(), 'out'), OrderError,
                'output of ScaledModule changed'),
               (lambda: written_into(ScaledModule(), 's'), OrderError,
                'ScaledModule: s changed in place'),
               (lambda: twice_in(ProductModule(), rand(3)), ReuseError,
                'ProductModule: two arguments are one', 'the sum of both shares'),
               (lambda: ProductModule()(rand(3), b=rand(3)), ArgumentError,
                'ProductModule: b came by name', 'want the arguments of forward without names'),
               (lambda: ScaledModule().to(torch.int64), DtypeError, 'to torch.int64',
                'want a dtype of floats')],
    'Relu': [*called(Relu(), ANY), (lambda: back(Relu()), UpstreamError, 'nothing has arrived')],
    'Sigmoid': called(Sigmoid(), ANY), 'Mse': called(Mse(), PAIRS),
    'Lin': [(lambda: Lin(rand(4, 2), rand(2))(rand(3, 5)), ShapeError, '(3, 5)', '(4, 2)'),
            (lambda: net()[0](rand(2, 5), whole(2)), ShapeError, '(2, 5)', '(4, 3)')],
    'Model': [
        ((Relu(), Mse()), ArgumentError, 'layers', 'want a list of Modules'),
        ((Relu, Mse()), ArgumentError, 'layers is of type type', 'want a list of Modules'),
        (([Relu(), 3], Mse()), ArgumentError, 'layer 1 is 3', 'want a Module'),
        (([Relu(), Relu], Mse()), ArgumentError, 'layer 1 is <class', 'such as Relu()'),
        (([Relu(), one := Relu(), one], Mse()), ReuseError, 'layer 2 (Relu) is layer 1 again',
         'remembers its last input only'),
        (([two := Mse()], two), ReuseError, 'layer 1 (Mse) is layer 0 again'),
        (tied(w := rand(3, 3), w), ReuseError, 'parameter 2.w', 'common with parameter 0.w',
         'the sum of both shares'),
        (tied(w, w.t()), ReuseError, 'parameter 2.w', 'common with parameter 0.w'),
        (tied((v := rand(4, 3))[1:], v[:-1]), ReuseError, 'parameter 2.w', 'in common with'),
        (lambda: Model([Twice(one := Relu()), one], Mse()), ReuseError, 'layer 1 (Relu)',
         'layer 0 again'),
        (lambda: into(net()[0], rand(2, 4), whole(2)), OrderError, 'layers.0.w changed in place'),
        (lambda: itself(rand(3, 3)), ReuseError, 'input is one of its parameters'),
        (lambda: elsewhere(Model([Relu(), Relu()], Mse())), OrderError, 'called on its own since'),
        (lambda: after_failure(Model([Relu()], Mse())), OrderError, 'before forward'),
        (lambda: Model([Relu()], Mse()).backward(), OrderError, 'before forward')],
    'bce': UNIT + PROBABILITIES, 'bce_grad': UNIT + PROBABILITIES,
    'bce_with_logits': UNIT, 'bce_with_logits_grad': UNIT,
    'Bce': called(Bce(), UNIT), 'BceWithLogits': called(BceWithLogits(), UNIT),
    'nll': LABELS, 'nll_grad': LABELS, 'cross_entropy': LABELS, 'cross_entropy_grad': LABELS,
    'CrossEntropy': called(CrossEntropy(), LABELS),
    'SGD': OPTIMISER + [
        (([rand(3)], .1, 1), RangeError, 'momentum is 1', '< 1'),
        (([rand(3)], .1, 0., -1), RangeError, 'weight_decay is -1', '0 <='),
        (lambda: SGD([rand(3)], .1).step(), UpstreamError, 'params[0]', '(3,)', 'run backward'),
        (lambda: SGD([arrived(rand(3), rand(2))], .1).step(), ShapeError, '(2,)', '(3,)'),
        (lambda: SGD([arrived(rand(3), rand(1))], .1).step(), ShapeError, '(1,)', '(3,)'),
        (lambda: SGD([arrived(rand(3), double(3))], .1).step(), ShapeError, 'float64', 'float32'),
        (lambda: steps(SGD([rand(3)], .1), g := rand(3), g), OrderError,
         'used by the previous step'),
        (lambda: watched(SGD([rand(3)], .1)), DtypeError, 'requires_grad=True', 'watched by'),
        (lambda: setattr(SGD([rand(3)], .1), 'lr', -1), RangeError, 'lr is -1', 'want 0 <=')],
    'Adam': OPTIMISER + [
        (([rand(3)], .1, (1, 0)), RangeError, 'betas[0] is 1', '< 1'),
        (([rand(3)], .1, (0.9, 1.)), RangeError, 'betas[1] is 1', '< 1'),
        *((([rand(3)], .1, betas), RangeError, 'betas is', 'want two numbers')
          for betas in (0.9, (0.9,), (0.9, 0.9, 0.9))),
        (([rand(3)], .1, (0, 0), -1), RangeError, 'eps is -1', '0 <='),
        (lambda: Adam([rand(3)]).step(), UpstreamError, 'params[0]', '(3,)', 'run backward')],
    'kaiming': [((3,), ShapeError, '(3,)', 'want (d, m)'), ((3, -1), RangeError, 'shape[1] is -1'),
                (('a', 3), ArgumentError, "shape[0] is 'a'"), ((), ShapeError, '()'),
                ((3, True), ArgumentError, 'shape[1] is True', 'whole number'),
                ((3, 4, 5), ShapeError, '(3, 4, 5)'),
                ((0, 3), RangeError, 'shape[0] is 0'), ((3, 2.), ArgumentError, '[1] is 2.0')],
    'mlp': [((3,), ShapeError, '(3,)', 'two or more'),
            ((3, True), ArgumentError, 'sizes[1] is True', 'whole number')],
    'accuracy': [
        (lambda: accuracy(net()[0], 3), ArgumentError, 'data is int', 'TensorDataset'),
        (lambda: accuracy(net()[0], (rand(3, 4), whole(4))), ShapeError, '3', '4', 'length'),
        *((lambda data=data: accuracy(net()[0], data), error, want) for data, error, want in [
            ('digits', ArgumentError, 'or two tensors'),
            ([rand(3, 4), [1, 2]], ArgumentError, 'or two tensors'),
            ([rand(3, 4)], ShapeError, 'want two of equal length'),
            ([rand(0, 4), whole(0)], ShapeError, 'want two of equal length'),
            ([rand(3, 4), whole(3), whole(3)], ShapeError, 'want two of equal length')]),
        (lambda: accuracy(by_loss(NumberMse())[0], (rand(5, 4), rand(5, 3))), DtypeError,
         'the loss is ', 'want a tensor of one number'),
        *((lambda shape=shape, targ=targ: accuracy(Model([Same()], Mse()), (rand(shape), targ)),
           ShapeError, 'want outputs (N, C)', 'no classes') for shape, targ in [
            ((3, 1), rand(3)), ((3,), rand(3)), ((3, 2), rand(3, 2)), ((2, 3, 2), rand(2, 3, 2)),
            ((3, 1), whole(3)), ((3, 2), whole(3, 2))])],
    'fit': [
        (lambda: fitted(3), ArgumentError, 'data is int', 'TensorDataset'),
        (lambda: fitted((rand(3, 4), whole(4))), ShapeError, '3', '4', 'length'),
        (lambda: fitted((rand(5, 4).to_sparse(), whole(5))), DtypeError, 'torch.sparse_coo'),
        (lambda: fitted((rand(5, 4), whole(5).to('meta'))), DtypeError, 'on meta'),
        (lambda: fitted(valid=3), ArgumentError, 'valid is int', 'TensorDataset'),
        (lambda: fitted(epochs=-1), RangeError, 'epochs is -1', '0 or more'),
        (lambda: fitted(epochs=1.5), ArgumentError, 'epochs is 1.5', 'whole number'),
        (lambda: fitted(batch_size=0), RangeError, 'batch_size is 0', '1 or more'),
        (lambda: fitted(epochs=True), ArgumentError, 'epochs is True', 'whole number'),
        (lambda: fitted(seed=-1), RangeError, 'seed is -1', '0 or more'),
        (lambda: fitted(valid=(rand(0, 4), whole(0))), ShapeError, 'valid has', '[0, 0]'),
        (lambda: fitted(history={}), ArgumentError, 'history is dict', 'want a History'),
        (lambda: fitted(opt=torch.optim.SGD([rand(2)], lr=1)), ArgumentError,
         'torch.optim.sgd.SGD'),
        (lambda: fitted(opt=SGD([rand(2)], .1)), RangeError, 'optimizer', 'model'),
        (lambda: fit(net()[0], None, (rand(5, 4), whole(5)), 1), ArgumentError, 'opt is',
         'NoneType', 'want SGD or Adam'),
        (lambda: fit(one := Lin(rand(4, 3), zeros(3)), SGD(one.parameters(), .1),
                     (rand(5, 4), whole(5)), 1), ArgumentError, 'model is Lin', 'want a Model'),
        (lambda: fit(*by_loss(NumberMse()), 1, progress=False), DtypeError, 'the loss is ',
         'want a tensor of one number'),
        (lambda: fit(*by_loss(ColumnLoss()), 1, progress=False), DtypeError,
         'the loss is of shape (5, 3)', 'want a tensor of one number'),
        *((lambda history=history: fitted(history=history), RangeError, *words)
          for history, *words in HISTORIES)],
    'plot_history': [((None,), ArgumentError, 'history is NoneType', 'want a History'),
                     ((History(),), RangeError, 'history has 0 epochs', '1 or more'),
                     *(((history,), RangeError, *words) for history, *words in HISTORIES)],
    'save_state': [
        (lambda: save_state(FOLDER/'a', net()[0], net()[1], History()), RangeError, 'params[0]'),
        (lambda: save_state(FOLDER/'a', *net(), 3), ArgumentError, 'history is int', 'History'),
        ((None, net()[0]), ArgumentError, 'path is None', 'want a str or Path'),
        ((FOLDER/'a', None), ArgumentError, 'model is NoneType', 'want a Module'),
        *((lambda history=history: save_state(FOLDER/'a', *net(), history), RangeError, *words)
          for history, *words in HISTORIES)],
    'load_state': [
        (lambda: load_state(written(lambda raw: b'other'), *net()), FileError, 'state', 'damaged'),
        (lambda: load_state(FOLDER/'none', *net()), FileError, 'there is no file'),
        (lambda: load_state(written(lambda raw: raw[:-1]), *net()), FileError, 'state', 'damaged'),
        (lambda: load_state(written(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), *net()),
         FileError, 'damaged', 'checksum'),
        (lambda: load_state(written(), net()[0], net()[1]), RangeError, 'params[0]'),
        (lambda: load_state(written(), *net(Adam)), FileError, 'SGD', 'Adam'),
        ((None, net()[0]), ArgumentError, 'path is None', 'want a str or Path')],
    'conv2d': WINDOWS,
    'conv2d_grad': [((x, arrived(rand(1, 3, 4, 4)), *rest), *says)
                    for (x, *rest), *says in WINDOWS],
    'max_pool2d': POOLS, 'avg_pool2d': POOLS,
    **dict.fromkeys(['max_pool2d_grad', 'avg_pool2d_grad'], [
        ((WINDOW[0], arrived(rand(1, 2, 2, 2)), 0), RangeError, 'size is 0', 'want 1 or more')]),
    'Conv2d': [(lambda: Conv2d(*WINDOW[1:])(rand(2, 5, 5)), ShapeError, '(2, 5, 5)', '(N, C,'),
               (lambda: Conv2d(*WINDOW[1:], 0)(WINDOW[0]), RangeError, 'stride is 0')],
    'MaxPool2d': [(lambda: MaxPool2d(0)(WINDOW[0]), RangeError, 'size is 0')],
    'AvgPool2d': [(lambda: AvgPool2d(2, 0)(WINDOW[0]), RangeError, 'stride is 0')],
    'Flatten': [(lambda: Flatten()(rand(3)), ShapeError, '(3,)', '(N, d, ...)')],
    'flatten': [((rand(3),), ShapeError, '(3,)', '(N, d, ...)')],
    'flatten_grad': [((rand(3), arrived(rand(3, 1))), ShapeError, '(3,)', '(N, d, ...)')],
    'layer_norm': [((rand(2, 0), rand(0), rand(0)), ShapeError, '(2, 0)', '1 or more features'),
                   ((rand(2, 3), rand(3), rand(3), -1), RangeError, 'eps is -1', 'want 0 <= eps'),
                   ((rand(2, 3), rand(3), rand(3), '1'), ArgumentError, "eps is '1'", 'int or')],
    'rms_norm': [((rand(2, 0), rand(0)), ShapeError, '(2, 0)', '1 or more features'),
                 ((rand(2, 3), rand(3), math.nan), RangeError, 'eps is nan')],
    'batch_norm': [((rand(2, 3), rand(3), rand(3), math.inf), RangeError, 'eps is inf'),
                   ((rand(2, 0), rand(0), rand(0)), ShapeError, '(2, 0)',
                    '0 number(s) per channel'),
                   *(((rand(*shape), rand(3), rand(3)), ShapeError, f'{n} number(s) per channel',
                      'want 2 or more') for n, shape in
                     [(1, (1, 3)), (0, (0, 3)), (0, (2, 3, 0))])],
    'batch_norm_grad': [((rand(1, 3), arrived(rand(1, 3)), rand(3), rand(3)), ShapeError,
                         '1 number(s) per channel')],
    'dropout': [((rand(3), rand(3) > 0, 1), RangeError, 'p is 1', 'want 0 <= p < 1'),
                ((rand(3), rand(3) > 0, -.1), RangeError, 'p is -0.1')],
    'dropout_grad': [((rand(3), arrived(rand(3)), rand(3) > 0, 1.), RangeError, 'p is 1.0')],
    **{n: [((0,), RangeError, f'{n}: {a} is 0', 'want 1 or more'),
           ((2.5,), ArgumentError, f'{n}: {a} is 2.5'), ((3, -1), RangeError, f'{n}: eps is -1')]
       for n, a in [('LayerNorm', 'd'), ('RMSNorm', 'd')]},
    'BatchNorm': [((0,), RangeError, 'C is 0', 'want 1 or more'),
                  ((3, -1), RangeError, 'eps is -1'),
                  ((3, 0., 2), RangeError, 'momentum is 2'),
                  ((3, 0., 1.005), RangeError, 'momentum is 1.005', 'want 0 <= momentum <= 1'),
                  (lambda: BatchNorm(3)(rand(4, 2)), ShapeError, '(4, 2)', '(N, C, ...)'),
                  (lambda: BatchNorm(3).eval()(rand(4, 2)), ShapeError, '(4, 2)', '(N, C, ...)'),
                  (lambda: BatchNorm(3)(rand(1, 3)), ShapeError, '1 number(s) per channel'),
                  (lambda: back_from(BatchNorm(3).eval(), rand(2, 3)), UpstreamError, 'arrived')],
    'Dropout': [((1,), RangeError, 'p is 1', '< 1'), (('a',), ArgumentError, "p is 'a'"),
                (lambda: Dropout()(3), DtypeError, 'inp is 3', WANT_TENSOR),
                (lambda: Dropout()(whole(3)), DtypeError, 'torch.int64', 'want a float'),
                (lambda: back_from(Dropout().eval(), rand(3)), UpstreamError, 'nothing has')],
    'Residual': [((Relu(), 3), ArgumentError, 'layer 1 is 3', 'want a Module'),
                 ((one, Lin(rand(3, 3), rand(3)), one), ReuseError,
                  'layer 2 (Relu) is layer 0 again'),
                 (tied(w, w)[0], ReuseError, 'parameter 2.w', 'common with parameter 0.w'),
                 ((Relu,), ArgumentError, 'layer 0 is <class'),
                 (lambda: Residual(Lin(rand(3, 1), rand(1)))(rand(2, 3)), ShapeError, '(2, 1)'),
                 (lambda: back_from(Residual(Relu()), rand(3)), UpstreamError, 'nothing has')],
    'embedding': ROWS_OF_A_TABLE,
    'embedding_grad': [((idx, arrived(rand(*idx.shape, 2)), w), *says)
                       for (idx, w), *says in ROWS_OF_A_TABLE],
    'Embedding': [(lambda: Embedding(rand(4))(whole(3)), ShapeError, '(4,)', '(V, d)'),
                  *called(Embedding(rand(4, 2)), [((whole(3) + 4,), RangeError, 'idx holds 4'),
                                                  ((rand(3),), DtypeError, 'torch.float32')])],
    'names': [(lambda: _names_from(FOLDER), FileError, 'names.txt.gz', 'missing or damaged')],
    'rnn': STEPS, 'rnn_grad': back_rows(STEPS), 'lstm': GATES, 'lstm_grad': back_rows(GATES),
    'RNN': [(lambda: RNN(*CELL[2:])(3), DtypeError, 'x is 3', WANT_TENSOR),
            (lambda: RNN(*CELL[2:])(rand(2, 5, 2)), ShapeError, '(2, 5, 2)', '(N, T, d)'),
            (lambda: RNN(*CELL[2:])(CELL[0], rand(4)), ShapeError, 'h0 (4,)', '(N, m)'),
            (lambda: RNN(None, *CELL[3:])(CELL[0]), DtypeError, 'w_x is None', WANT_TENSOR),
            (lambda: RNN(CELL[2], 3, CELL[4])(CELL[0]), DtypeError, 'w_h is 3', WANT_TENSOR),
            (lambda: RNN(CELL[2], rand(()), CELL[4])(CELL[0]), ShapeError, 'w_h ()', '(m, m)')],
    'LSTM': [(lambda: LSTM(*LONG[3:])(3), DtypeError, 'x is 3', WANT_TENSOR),
             (lambda: LSTM(*LONG[3:])(LONG[0], rand(2, 4), rand(4)), ShapeError, 'c0 (4,)'),
             (lambda: LSTM(None, None, None)(LONG[0]), DtypeError, 'w_x is None', WANT_TENSOR),
             (lambda: LSTM(LONG[3], None, LONG[5])(LONG[0]), DtypeError, 'w_h is', WANT_TENSOR)],
    'clip_grads': [
        ((rand(3), 1.), ArgumentError, 'one tensor', 'want a list'),
        (([], 1.), RangeError, 'empty'),
        (([rand(3)], 1.), UpstreamError, 'params[0] (3,) has no gradient', 'run backward'),
        (([arrived(rand(3), rand(2))], 1.), ShapeError, 'params[0].g is (2,)', '(3,)'),
        (([arrived(rand(3))], -1), RangeError, 'most is -1', '0 <='),
        (([arrived(rand(3))], math.inf), RangeError, 'most is inf'),
        (([arrived(rand(3))], 'a'), ArgumentError, "most is 'a'", 'int or float'),
        *((([arrived(rand(3), rand(3) * bad)], 1.), DivergenceError, f'gradient is {bad}',
           'no longer finite') for bad in (math.nan, math.inf))],
    'Var': [((3,), DtypeError, 'data is 3', WANT_TENSOR), ((whole(3),), DtypeError, 'torch.int64'),
            (lambda: Var(rand(3)).backward(), UpstreamError, 'nothing has arrived', '(3,)'),
            (lambda: Var(rand(3)).backward(rand(2)), ShapeError, '(2,)', 'want (3,)'),
            (lambda: Var(rand(3)).backward(rand(3).double()), DtypeError, 'torch.float64'),
            (lambda: Var(rand(3)) + Var(rand(1)), ShapeError, '(1,)', 'want equal shapes'),
            (lambda: Var(rand(3)) * 2, DtypeError, 'b is 2', WANT_TENSOR),
            (lambda: Var(rand(3) - 1).move(torch.relu), ArgumentError, 'relu', 'more than move'),
            (lambda: Var(rand(3)).move(lambda t: t / 1), ArgumentError, 'more than move'),
            (lambda: Var(rand(3)).move(lambda t: t.clone().fill_(1)), ArgumentError, 'more than'),
            (lambda: record(mse, Var(rand(3)), Var(rand(3))).backward(), ShapeError,
             'mse gives None for argument 1', 'a plain tensor'),
            (lambda: record(torch.clone, Var(rand(3)), back=lambda out, x: setattr(
                x, 'g', rand(1))).backward(rand(3)), ShapeError, 'clone gives (1,)', 'want (3,)'),
            (lambda: stepped(Var(rand(3))), OrderError, 'argument 0 of relu',
             'changed in place')],
    'record': [((3, Var(rand(3))), ArgumentError, 'no gradient of 3 is known'),
               ((torch.relu, Var(rand(3))), ArgumentError, 'no gradient of relu', 'want back='),
               ((relu, rand(3)), ArgumentError, 'no argument of relu is a Var'),
               (lambda: record(relu, Var(rand(3)), back=3), ArgumentError, 'back is 3',
                'want a function'),
               (lambda: record(torch.argmax, Var(rand(3)), back=print), DtypeError, 'argmax',
                'out is torch.int64, want a float')],
    'check_adjoint': [
        ((relu, lambda inp: None, rand(3)), ArgumentError, 'a parameter named out'),
        ((relu, relu_grad, rand(3), 4), ArgumentError, "names ['inp'], want 2 inputs"),
        ((relu, relu_grad, 4), DtypeError, 'no input is a float tensor'),
        ((relu, relu_grad, rand(3, 3).to_sparse()), DtypeError, 'inp is a sparse_coo', 'dense'),
        ((torch.argmax, relu_grad, rand(3)), DtypeError, 'forward returns', 'tensor of floats'),
        ((relu, 4, rand(3)), ArgumentError, 'backward is 4', 'want a function'),
        ((Lin, lin_grad, rand(3)), ArgumentError, 'forward is the class Lin', 'an instance'),
        ((relu, relu_grad, rand(0, 3)), CheckError, 'inp has no entries'),
        ((lambda x: x * torch.rand(3), relu_grad, rand(3)), CheckError, 'forward is random'),
        ((lambda x: x.add_(1), relu_grad, rand(3)), CheckError, 'forward wrote into inp'),
        ((relu, lambda inp, out: setattr(inp, 'g', -out.g), rand(3)), CheckError,
         'inp.g is wrong')],
    'hvp': [((lambda x: x, [rand(3)], []), ShapeError, 'vs has 0 tensors', 'want 1'),
            ((lambda x: x, [rand(3)], [rand(1)]), ShapeError, 'v0 (1,)', 'equal shapes'),
            ((lambda x: 3, [rand(3)], [rand(3)]), ArgumentError, 'gives 3', 'want a Var'),
            (lambda: hvp(squared_loss, [rand(3)], [rand(3)]), ArgumentError,
             'mse is not the last operation')],
    'cost': [((3,), ArgumentError, 'f is 3', 'want a function')],
    'costs': [((Lin(rand(4, 3), rand(3)), rand(5, 4), rand(5, 3)), ArgumentError, 'model is Lin',
               'want a Model')],
    'LossScale': [
        ((rand(3),), ArgumentError, 'one tensor', 'want a list'),
        (([whole(3)],), DtypeError, 'params[0]', 'float'),
        (([x := rand(3).half(), x],), ReuseError, 'params[1]', 'params[0] again'),
        (([rand(3).half()], 2.**16), RangeError, 'scale is 65536.0', 'scale < 65504'),
        (([rand(3).half()], 0), RangeError, 'scale is 0', '<= scale'),
        (([rand(3).half()], '2'), ArgumentError, "scale is '2'", 'want an int or float'),
        (([rand(3).half()], 2., 0), RangeError, 'every is 0', 'want 1 or more'),
        (lambda: LossScale([rand(3).half()]).start(rand(3)), ShapeError, '(3,)', 'want ()'),
        (lambda: LossScale([rand(3).half()]).start(3.), DtypeError, 'loss is 3.0', WANT_TENSOR),
        (lambda: LossScale([rand(3).half()]).unscale(), UpstreamError, 'params[0] (3,)',
         'run backward first'),
        (lambda: gone(rand(3)), ShapeError, 'torch.float32', 'torch.float16'),
        (lambda: gone(rand(3).half() * math.inf, times=20), DivergenceError, 'no longer finite',
         'smaller lr')],
    'checkpoint': [
        (lambda: checkpoint(lambda v: 3, Var(rand(3))), ArgumentError, 'gives 3', 'want a Var'),
        (lambda: checkpoint(lambda v: v.data, Var(rand(3))), ArgumentError, 'want a Var'),
        (lambda: leaning(Var(rand(3))), ReuseError, 'computed outside', 'among the arguments'),
        (lambda: checkpoint(restless, Var(rand(3))).backward(rand(3)), CheckError,
         'restless gives different numbers', 'when rerun')],
    'together': [(lambda: entered(together(0)), RangeError, 'seconds is 0'),
                 (lambda: entered(together('1')), ArgumentError, "seconds is '1'")],
    'share': [((3,), DtypeError, 'x is 3', WANT_TENSOR),
              ((torch.tensor(3.),), ShapeError, 'x is one number', 'want (N, ...)'),
              ((rand(3).to_sparse(),), DtypeError, 'x is a sparse_coo tensor')],
    'all_mean': [(([rand(3)], 0), RangeError, 'no rank has an example', 'want 1 or more'),
                 (([rand(3)], -1), RangeError, 'n is -1', 'want 0 or more'),
                 (([rand(3)], 1.5), ArgumentError, 'n is 1.5', 'whole number'),
                 (([rand(3)], 1, 0), RangeError, 'bucket is 0', 'want 1 or more'),
                 (([rand(3), 4], 1), DtypeError, 'tensors[1] is 4', WANT_TENSOR)],
    'reduce_grads': [
        ((rand(3), 1), ArgumentError, 'params is one tensor'),
        (([rand(3)], 1), UpstreamError, 'params[0] (3,) has no gradient', 'backward'),
        (([arrived(rand(3), rand(2))], 1), ShapeError, 'params[0].g is (2,)', 'want (3,)'),
        (([arrived(rand(3))], 0), RangeError, 'no rank has an example'),
        (([arrived(rand(3))], 1, 0), RangeError, 'bucket is 0'),
        (([arrived(rand(3))], True), ArgumentError, 'n is True', 'whole number')],
    'Parallel': [((Relu(),), ArgumentError, 'model is Relu', 'want a Model'),
                 (lambda: Parallel(net()[0])(3, whole(2)), DtypeError, 'x is 3', WANT_TENSOR),
                 (lambda: Parallel(net()[0]).backward(), OrderError, 'backward before forward')],
    'Sharded': [((SGD, rand(3)), ArgumentError, 'params is one tensor'),
                ((torch.optim.SGD, [rand(3)]), ArgumentError, 'torch.optim', 'want SGD, Adam or'),
                ((SGD, [rand(3), double(3)]), DtypeError, 'several dtypes', 'want one'),
                (lambda: Sharded(SGD, [rand(3)], lr=.1).step(1), UpstreamError, 'has no gradient'),
                (lambda: Sharded(SGD, [rand(3)], lr=.1).step(0), RangeError, 'no rank has'),
                (lambda: Sharded(SGD, [rand(3)], lr=-1), RangeError, 'lr is -1')],
    'Block': [((0,), RangeError, 'width is 0', '1 or more'),
              ((4, 1, 'batch'), RangeError, "norm is 'batch'"),
              ((4, 1, None), RangeError, "norm is None, want 'layer' or 'rms'"),
              ((4, 1, 'layer', 1.), RangeError, 'dropout is 1.0', '< 1'),
              (lambda: Block(4)(rand(2, 3)), ShapeError, '(2, 3)', '(..., d)'),
              (lambda: Block(4)(rand(2, 4)), ShapeError, '(2, 4)', '(N, T, 4)'),
              (lambda: back_from(Block(4), rand(2, 3, 4)), UpstreamError, 'nothing has')],
    'GPT': [*(((*[4]*k, 0, *[4]*(3 - k), 1), RangeError, f'{n} is 0', 'want 1 or more')
              for k, n in enumerate(['vocab', 'context', 'width'])),
            ((4, 4, 4, 2, 0), RangeError, 'layers is 0'),
            ((4, 4, 4, 2, 1.), ArgumentError, 'layers is 1.0'),
            ((4, 4, 4, 2, 1, 'no'), ArgumentError, "tied is 'no'", 'want a bool'),
            ((4, 4, 4, 2, 1, True, -1), RangeError, 'dropout is -1'),
            ((4, 4, 4, 2, 1, True, 0., 'none'), RangeError, "norm is 'none'"),
            (lambda: TINY(whole(2, 6)), ShapeError, '(2, 6)', '1 to 5 symbols'),
            (lambda: TINY(whole(2, 0)), ShapeError, '(2, 0)', '1 to 5 symbols'),
            (lambda: TINY(whole(5)), ShapeError, '(5,)', '(N, T)'),
            (lambda: TINY(rand(2, 5)), DtypeError, 'torch.float32', 'torch.int64'),
            (lambda: back_from(TINY, whole(2, 3)), UpstreamError, 'nothing has')],
    'AdamW': [(([rand(2)], -1), RangeError, 'lr is -1'), (([],), RangeError, 'empty'),
              (([rand(2)], .1, (.9, .99), 1e-8, -1), RangeError, 'weight_decay is -1'),
              (([rand(2)], .1, (.9, .99), 1e-8, '1'), ArgumentError, "weight_decay is '1'"),
              (([x := rand(2), x],), ReuseError, 'params[1] is params[0] again')],
    'cosine': [((0, 0, 1.), RangeError, 'steps is 0'), ((-1, 9, 1.), RangeError, 'step is -1'),
               ((0, 9, -1.), RangeError, 'high is -1'),
               ((0, 9, 1., 'a'), ArgumentError, "low is 'a'"),
               ((0, 9, 1., 0., 10), RangeError, 'warmup is 10', 'at most 9')],
    'windows': [((whole(9), whole(1), 0), RangeError, 'length is 0'),
                ((whole(9), whole(1) + 6, 3), RangeError, 'starts go from 6 to 6', 'want 0 to 5'),
                ((whole(9), whole(1) - 1, 3), RangeError, 'starts go from -1'),
                ((whole(3), whole(1), 3), RangeError, 'length is 3', 'less than the 3 symbols'),
                ((rand(9), whole(1), 3), DtypeError, 'text is torch.float32', 'torch.int64'),
                ((whole(9), [0], 3), DtypeError, 'starts is [0]', WANT_TENSOR),
                ((whole(9), whole(1, 1), 3), ShapeError, 'starts has shape (1, 1)', '(n,)')],
    'text_loss': [*(((gpt, whole(9)), ArgumentError, f'gpt is {type(gpt).__name__}', 'want a GPT')
                    for gpt in (None, net()[0])),
                  *((lambda n=n: text_loss(TINY, whole(n)), ShapeError, f'({n},)', 'want 6 or more')
                    for n in (0, 3, 5)),
                  (lambda: text_loss(TINY, whole(9), 0), RangeError, 'batch_size is 0'),
                  (lambda: text_loss(TINY, 'text'), DtypeError, "text is 'text'", WANT_TENSOR)],
    'sample': [*(((gpt, whole(2), 3), ArgumentError, f'gpt is {type(gpt).__name__}', 'want a GPT')
                 for gpt in (None, net()[0])),
               *((lambda how=how: sample(TINY, **{'idx': whole(2), 'n': 3, **how}), error, words)
                 for how, error, words in [
        (dict(n=-1), RangeError, 'n is -1'), (dict(top_k=0), RangeError, 'top_k is 0'),
        (dict(temperature=-1), RangeError, 'temperature is -1'),
        (dict(seed=-1), RangeError, 'seed is -1'), (dict(idx=whole(0)), ShapeError, '(0,)'),
        (dict(idx='text'), DtypeError, "idx is 'text'"), (dict(idx=rand(2)), DtypeError, 'float32'),
        (dict(idx=whole(1, 2)), ShapeError, '(1, 2)')]),
               *((lambda bad=bad: sample(filled(GPT(4, 4, 4, 2, 1), bad), whole(2), 3),
                  DivergenceError, f'the best score is {bad}') for bad in (math.nan, math.inf))],
    'attention': LOOKS,
    'attention_grad': [((q, arrived(rand(2, 3, 6)), *rest), *says)
                       for (q, *rest), *says in LOOKS],
    'attention_blocks': IN_BLOCKS,
    'attention_blocks_grad': [((q, arrived(rand(2, 3, 6)), *rest), *says)
                              for (q, *rest), *says in IN_BLOCKS],
    'Attention': [((0,), RangeError, 'width is 0', 'want 1 or more'),
                  ((6, 0), RangeError, 'heads is 0', 'want 1 or more'),
                  ((6, 4), ShapeError, 'width 6', '4 heads', 'multiple'),
                  ((6, 3, 1), ArgumentError, 'causal is 1', 'want a bool'),
                  *called(Attention(6, 3), [((3,), DtypeError, 'inp is 3', WANT_TENSOR),
                                            ((rand(5, 6),), ShapeError, '(5, 6)', '(N, T, 6)'),
                                            ((rand(2, 5, 4),), ShapeError, '(N, T, 6)')])],
    'gelu': [((rand(3), 'tanh'), ArgumentError, "tanh is 'tanh'", 'want a bool')],
    'gelu_grad': [((rand(3), arrived(rand(3)), 1), ArgumentError, 'tanh is 1', 'want a bool')],
    'Gelu': [(('none',), ArgumentError, "tanh is 'none'", 'want a bool')],
    'Silu': [(lambda: Silu()(3), DtypeError, 'x is 3', WANT_TENSOR)],
    'encode': [(('abc', 'ab'), RangeError, "text holds 'c'", "want symbols of 'ab'"),
               ((3, 'ab'), ArgumentError, 'text is 3', 'want a str'),
               (('ab', ['a', 'b']), ArgumentError, "symbols is ['a', 'b']", 'want a str'),
               (('a', 'aba'), RangeError, "symbols is 'aba'", 'each of them once')],
    'decode': [((whole(3) + 2, 'ab'), RangeError, 'idx holds 2', 'want 0 to 1'),
               ((whole(3) - 1, 'ab'), RangeError, 'idx holds -1', 'want 0 to 1'),
               ((rand(3), 'ab'), DtypeError, 'idx is torch.float32', 'want a tensor of int64'),
               (([0, 1], 'ab'), DtypeError, 'idx is [0, 1]', 'want a tensor of int64'),
               ((whole(3), None), ArgumentError, 'symbols is None', 'want a str'),
               ((whole(2, 3), 'ab'), ShapeError, 'idx has shape (2, 3)', 'want (n,)')],
    'shakespeare': [(lambda: _plays_from(FOLDER), FileError, 'shakespeare.txt.gz', 'missing or')],
    'read_text': [((FOLDER/'nothing.txt',), FileError, 'there is no file', 'nothing.txt'),
                  ((FOLDER,), FileError, 'is not a plain file'),
                  ((3,), ArgumentError, 'path is 3', 'want a str or Path'),
                  (lambda: read_text(written(lambda raw: b'short')), FileError, 'has 5 characters'),
                  ((__file__, 8), ArgumentError, 'encoding is 8', 'want a str'),
                  ((__file__, 'klingon'), RangeError, 'unknown encoding: klingon')],
    'fits': [
        (('f', 'x N', 3), DtypeError, 'x is 3', WANT_TENSOR),
        (('f', 'x N d, w d'), ArgumentError, 'f: 0 tensors, want 2: x and w'),
        (('f', 'x N d, w d', rand(2, 3)), ArgumentError, '1 tensors, want 2'),
        (('f', 'x N', x, x), ArgumentError, '2 tensors, want 1: x'),
        (('f', 'x N, y N int64 | x N, y N M', rand(3), whole(3, 4)), DtypeError, 'y torch.int64'),
        (('f', 'inp N, out N, q N', x := rand(3), x, x), ReuseError, 'inp and q', 'q.clone()'),
        (('f', 'x N', torch.ones(0, device='meta')), DtypeError, 'x is a meta tensor', 'dense'),
        (('f', 'x N', torch.nested.nested_tensor([rand(2), rand(3)], layout=torch.jagged)),
         DtypeError, 'a nested tensor')],
    'Op': [(('gain', relu, back, torch.relu, list), ArgumentError, 'backward of gain is',
            'named out') for back in (lambda inp: None, 3)],
    'progress': [((chapter,), RangeError, f'no chapter {chapter!r}', 'want one of 00, 01, ')
                 for chapter in ('99', 'zz', '04.9', 'None')],
    'keep_progress': [((3,), ArgumentError, 'path is 3', 'want a str or Path')],
    **{name: [(('77.7', *more), RangeError, "'77.7'", 'want one of'),
              ((['04.2'], *more), RangeError, "['04.2']", "like '04.1'")] for name, more in
       {'diagnose': [1], 'check': [1], 'hint': [], 'solution': []}.items()},
    'exercise_cells': NOTEBOOKS,
    'grade': [*NOTEBOOKS, ((FOLDER/'a', 'a'), RangeError, "seconds is 'a'", 'want more than 0'),
              ((FOLDER/'a', 10, 3), ArgumentError, 'exercises is 3', 'want a str or Path')],
}
ROWS = [(name, *row) for name, rows in REFUSALS.items() for row in rows]

RECORDED = {f.__name__ for op in OPS.values() for f in (op.forward, op.backward)}

@pytest.mark.parametrize('name', PUBLIC)
def test_every_public_name_has_its_rows(name):
    says = f'{name}: give it a record (Op) in its chapter, rows in REFUSALS, or a reason in NOTHING'
    assert bool(REFUSALS.get(name) or name in RECORDED) != (name in NOTHING), says

def test_rows_are_of_public_names(): assert {*REFUSALS, *NOTHING} <= {*PUBLIC}

@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}-{row[2].__name__}-{row[3]}')
def test_refused(row):
    name, args, error, *words = row
    with pytest.raises(error) as e:
        args() if callable(args) else globals()[name](*args)
    said = str(e.value)
    assert e.type is error and all(word in said for word in (SAYS.get(name, name), *words)), said
    assert said.endswith(f' (clinic: {error.entry})')

# ---- what is raised is written down

NAMED = re.compile(r'\b(?:as|[Ss]ee|what)\s+`(\w+)')

def all_written(thing, seen):
    "All that the docstrings say of it, of its parameters, and of what they refer to."
    if thing in seen: return ''
    seen.add(thing)
    docs = [f'{d}' for d in docments(thing).values() if d]
    for c in inspect.getmro(thing) if inspect.isclass(thing) else [thing]:
        if c.__module__.startswith('backprop_nb'):
            docs += [f.__doc__ or '' for f in (c, *vars(c).values()) if callable(f)]
    named = {n for d in docs for n in NAMED.findall(d)}
    return ' '.join(docs + [all_written(globals()[n], seen) for n in sorted(named & {*PUBLIC})])

@pytest.mark.parametrize('name', REFUSALS)
def test_docstrings_say_what_is_raised(name):
    says = all_written(globals()[name], set())
    for error, words in {row[1]: row[2:] for row in REFUSALS[name]}.items():
        kinds = {c.__name__ for c in error.__mro__ if issubclass(c, Exception)} - {
            'Exception', 'ClinicError'}
        assert any(kind in says for kind in kinds), f'{name}: {error.__name__} {words}'

# ---- numbers of any size, paths of any kind

NUMBERS = {  # what is asked for a number, by the name that it has there
    'two_moons: noise': lambda x: two_moons(9, x), 'Dropout: p': Dropout,
    'dropout: p': lambda x: dropout(rand(3), rand(3) > 0, x),
    'Adam: lr': lambda x: Adam([rand(3)], x),
    'Adam: eps': lambda x: Adam([rand(3)], .1, (0, 0), x),
    'Adam: betas[1]': lambda x: Adam([rand(3)], .1, (0, x)),
    'AdamW: weight_decay': lambda x: AdamW([rand(3)], weight_decay=x),
    'SGD: weight_decay': lambda x: SGD([rand(3)], .1, 0., x),
    'SGD: momentum': lambda x: SGD([rand(3)], .1, x), 'LayerNorm: eps': lambda x: LayerNorm(3, x),
    'rms_norm: eps': lambda x: rms_norm(rand(2, 3), rand(3), x),
    'BatchNorm: momentum': lambda x: BatchNorm(3, 0., x),
    'GPT: dropout': lambda x: GPT(4, 4, 4, 2, 1, True, x),
    'cosine: high': lambda x: cosine(0, 9, x), 'cosine: low': lambda x: cosine(0, 9, 1., x),
    'clip_grads: most': lambda x: clip_grads([arrived(rand(3))], x),
    'sample: temperature': lambda x: sample(TINY, whole(2), 3, x)}

@pytest.mark.parametrize('name', NUMBERS)
def test_what_is_too_large_for_a_float(name):
    for huge in 10**400, -10**400, Fraction(10**400, 3):
        says(RangeError, f'{name} is too large, want at most 1.8e+308', NUMBERS[name], huge)

PATHS = {  # what is asked for a path
    'save_state: path': lambda p: save_state(p, net()[0]),
    'mnist: folder': lambda p: mnist(True, p),
    'load_state: path': lambda p: load_state(p, net()[0]), 'read_text: path': read_text,
    'grade: path': grade, 'grade: exercises': lambda p: grade(FOLDER/'a.ipynb', 10, p),
    'keep_progress: path': keep_progress}

@pytest.mark.parametrize('bad', [3, 1.5, b'x', ['a']], ids=repr)
@pytest.mark.parametrize('name', PATHS)
def test_what_is_no_path(name, bad):
    says(ArgumentError, f'{name} is {bad!r}, want a str or Path', PATHS[name], bad)

def test_what_is_refused_is_not_entered():
    before = {**OPS}
    with pytest.raises(ArgumentError): Op('relu', relu, lambda inp: None, torch.relu, list)
    assert OPS == before

# ---- operations on Values: the message names the operation

VALUES = [
    (lambda: Value(-1).log(), RangeError, 'log of -1', 'positive number'),
    (lambda: Value(0).log(), RangeError, 'log of 0', 'positive number'),
    (lambda: Value(-1) / 0, DivisionError, '-1 / 0', 'division by zero'),
    (lambda: 1 / Value(0), DivisionError, '1 / 0', 'division by zero'),
    (lambda: Value(0)**-1, DivisionError, '0 ** -1', 'division by zero'),
    (lambda: Value(-1)**.5, RangeError, '-1 ** 0.5', 'fractional power')]

@pytest.mark.parametrize('row', VALUES, ids=lambda row: row[2])
def test_values_refused(row):
    run, error, *words = row
    with pytest.raises(error) as e: run()
    assert e.type is error and all(word in str(e.value) for word in words)

# ---- a range: its ends are taken, what lies beyond them is not

P, SIZE = ([0, .999], [-.001, 1]), ([1], [0])
ENDS = [  # what is asked, a function of one number, the ends, what lies beyond
    ('Dropout', Dropout, *P), ('Block', lambda p: Block(4, dropout=p), *P),
    ('dropout', lambda p: dropout(rand(3), rand(3) > .5, p), *P),
    ('dropout_grad', lambda p: dropout_grad(rand(3), arrived(rand(3)), rand(3) > .5, p), *P),
    ('LayerNorm', LayerNorm, *SIZE), ('RMSNorm', RMSNorm, *SIZE), ('BatchNorm', BatchNorm, *SIZE),
    ('BatchNorm', lambda m: BatchNorm(3, momentum=m), [0, 1], [-.001, 1.02]),
    ('Attention', Attention, *SIZE), ('Attention', lambda n: Attention(6, n), [1, 6], [0]),
    ('attention_blocks', lambda n: attention_blocks(*QKV, True, n), *SIZE), ('Block', Block, *SIZE),
    *(('GPT', lambda n, k=k: GPT(*[4]*k, n, *[4]*(2 - k), 1, 1), *SIZE) for k in range(3)),
    ('GPT', lambda n: GPT(4, 4, 4, 1, n), *SIZE), ('cosine', lambda n: cosine(0, n, 1.), *SIZE),
    ('cosine', lambda n: cosine(0, 9, 1., warmup=n), [0, 9], [-1, 10]),
    ('windows', lambda n: windows(whole(9), whole(1), n), [1, 8], [0, 9]),
    ('windows', lambda n: windows(whole(9), whole(1) + n, 3), [0, 5], [-1, 6]),
    ('text_loss', lambda n: text_loss(TINY, whole(9), n), *SIZE),
    ('sample', lambda n: sample(TINY, whole(2), n), [0], [-1]),
    ('sample', lambda n: sample(TINY, whole(2), 3, top_k=n), *SIZE),
    ('decode', lambda n: decode(whole(1) + n, 'ab'), [0, 1], [-1, 2]),
    ('embedding', lambda n: embedding(whole(1) + n, rand(2, 3)), [0, 1], [-1, 2])]

@pytest.mark.parametrize('row', ENDS, ids=lambda row: row[0])
def test_ends_of_a_range(row):
    name, call, ends, beyond = row
    for x in ends: call(x)
    for x in beyond:
        with pytest.raises(RangeError, match=name): call(x)

# ---- what the records say: the letters that a recipe gives to its tensors must fit, and one dtype

class Recipe(Draw):
    """Inputs of which tensor number `bad` has one axis more, or only one where any number may stand
    in front, or axis `axis` one longer; `axes` are those of all tensors that were asked for."""
    def __init__(self, bad=None, axis=None):
        super().__init__(torch.float32)
        self.axes, self.bad, self.axis, self.free = [], bad, axis, []
    def pick(self, *options):
        if 'N T' in f'{options[-1]}': self.free += options
        return options[0]
    def spoiled(self, axes, made):
        self.axes.append(axes.split())
        if len(self.axes) - 1 != self.bad: return made
        if self.axis is None: return made[0] if axes in self.free else made[None]
        return torch.cat([made, made.narrow(self.axis, 0, 1)], self.axis)
    def __call__(self, axes, *change): return self.spoiled(axes, super().__call__(axes, *change))
    def labels(self, axes, classes): return self.spoiled(axes, super().labels(axes, classes))

def recipe(op, *bad):
    r = Recipe(*bad)
    return op.inputs(r), r.axes

def misshapen(op):
    "Inputs that do not fit: an axis too many, or another length where a letter stands twice."
    axes = recipe(op)[1]
    letters = [a for tensor in axes for a in tensor]
    for k, tensor in enumerate(axes):
        if '...' in tensor: continue
        yield recipe(op, k)[0]
        for j, a in enumerate(tensor):
            if a.isdigit() or letters.count(a) > 1: yield recipe(op, k, j)[0]

def tensors(op, inputs):
    "Places and names of the tensors among the inputs."
    return [(k, n) for k, (n, x) in enumerate(zip(op.names(), inputs)) if torch.is_tensor(x)]

def sparse_and_such(x):
    "Tensors without a place in memory for each number."
    yield 'sparse_coo', x.to_sparse()
    yield 'meta', x.to('meta')
    if x.is_floating_point() and x.dim(): yield '_mkldnn', x.to_mkldnn()

def mistaken(op):
    "Inputs of which one is no tensor, or of another dtype, with the error wanted."
    inputs = recipe(op)[0]
    def but(k, x): return [*inputs[:k], x, *inputs[k + 1:]]
    for k, n in tensors(op, inputs):
        if signature(op.backward).parameters[n].default is not None:    # it may be left out
            yield but(k, None), 'is None, want a tensor'
        yield but(k, inputs[k].tolist()), 'want a tensor'
        yield but(k, inputs[k].cfloat()), 'torch.complex64'
        for how, bad in sparse_and_such(inputs[k]):
            yield but(k, bad), f' is a {how} tensor, want a dense one'
        if k in op.wrt(inputs): yield but(k, inputs[k].long()), 'torch.int64'
        elif not inputs[k].is_floating_point(): yield but(k, inputs[k].float()), 'torch.float32'
        floats = sum(inputs[k].is_floating_point() for k, _ in tensors(op, inputs))
        if inputs[k].is_floating_point() and floats > 1:
            yield but(k, inputs[k].double()), 'torch.float64'

def with_out(op, inputs=None, change=lambda out: out):
    "Inputs, and an output at which a gradient has arrived, changed."
    good = recipe(op)[0]
    out = arrived(op.forward(*good).clone())
    return change(out), *(good if inputs is None else inputs)

def outs(op):
    "Outputs that do not fit, with the error wanted."
    double = with_out(op, change=lambda out: arrived(out.double()))
    yield double, DtypeError, 'torch.float64'
    yield with_out(op, change=lambda out: arrived(out, out.g.double())), DtypeError, 'torch.float64'
    yield with_out(op, change=lambda out: arrived(out, out.g[None])), ShapeError, 'out.g has shape'
    yield with_out(op, change=lambda out: 3), DtypeError, 'out is 3, want a tensor'
    for how, bad in sparse_and_such(with_out(op)[0]):
        says = f'out is a {how} tensor, want a dense one'
        yield with_out(op, change=lambda out: arrived(bad, out.g)), DtypeError, says
    if not with_out(op)[0].dim(): return               # a loss
    yield with_out(op, change=lambda out: out.clone()), UpstreamError, 'nothing has arrived'
    for k in range(with_out(op)[0].dim()):
        longer = with_out(op, change=lambda out: arrived(torch.cat([out, out.narrow(k, 0, 1)], k)))
        yield longer, ShapeError, 'out'

def says(error, words, call, *args):
    with pytest.raises(error) as e: call(*args)
    assert e.type is error and words in str(e.value), e.value
    assert str(e.value).endswith(f' (clinic: {error.entry})')

@pytest.mark.parametrize('op', OPS.values(), ids=OPS)
def test_record_refuses(op):
    count = 0
    for inputs in misshapen(op):
        says(ShapeError, 'shape', op.forward, *inputs)
        says(ShapeError, 'shape', op.back, *with_out(op, inputs))
        count += 1
    for inputs, words in mistaken(op):
        says(DtypeError, words, op.forward, *inputs)
        says(DtypeError, words, op.back, *with_out(op, inputs))
        count += 1
    for args, *wanted in outs(op) if op.name != 'forward_and_backward' else []:
        says(*wanted, op.back, *args)
        count += 1
    assert count > 3

@pytest.mark.parametrize('op', OPS.values(), ids=OPS)
def test_upstream_gradient_is_dense(op):
    if op.name == 'forward_and_backward': pytest.skip('has none')
    for how, bad in sparse_and_such(with_out(op)[0].g):
        args = with_out(op, change=lambda out: arrived(out, bad))
        says(DtypeError, f'out.g is a {how} tensor, want a dense one', op.back, *args)

@pytest.mark.parametrize('op', OPS.values(), ids=OPS)
def test_one_tensor_in_two_roles(op):
    "Its gradient would be a sum of two: refused on the way back, and welcome on the way there."
    inputs = recipe(op)[0]
    for k, other in combinations(op.wrt(inputs), 2):
        twice = [*inputs]
        twice[other] = twice[k]
        a, b = op.names()[k], op.names()[other]
        name = op.name if op.name == 'forward_and_backward' else op.backward.__name__
        words = f'{name}: {a} and {b} are one tensor; its gradient is the sum of both shares'
        says(ReuseError, words, op.back, *with_out(op, twice))

def test_one_tensor_twice_where_it_may_be():
    x, b = rand(3, 3), rand(3)
    assert torch.equal(lin(x, x, b), torch.addmm(b, x, x))
    assert conv2d(WINDOW[1], WINDOW[1], WINDOW[2]).shape == (3, 3, 1, 1)
    mse_grad(x, x)
    assert torch.equal(x.g, zeros(3, 3))
    lin_grad(x, arrived(lin(x, x.t(), b)), x.t(), b)   # a view has a `.g` of its own
    assert torch.allclose(x.g, torch.ones(3, 3) @ x)

@pytest.mark.parametrize('op', OPS.values(), ids=OPS)
def test_refusal_names_the_function(op):
    if op.name == 'forward_and_backward': pytest.skip('its parts do')
    for call, name, args in [(op.forward, op.forward.__name__, recipe(op)[0]),
                             (op.back, op.backward.__name__, with_out(op))]:
        with pytest.raises(DtypeError, match=f'^{name}: '): call(*[None for _ in args])
