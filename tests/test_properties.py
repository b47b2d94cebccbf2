"""Every operation against autograd of torch's own function, whatever comes in: shapes with 0 or 1
example, float32 and float64, any strides, zeros, ties, tiny and large numbers, any upstream."""
import math
from typing import Callable, NamedTuple
import pytest, torch
import torch.nn.functional as F
from hypothesis import Phase, given, settings, strategies as st
from backprop_nb.binary import (
    bce, bce_grad, bce_with_logits, bce_with_logits_grad, sigmoid, sigmoid_grad)
from backprop_nb.conv import (avg_pool2d, avg_pool2d_grad, conv2d, conv2d_grad, flatten,
                              flatten_grad, max_pool2d, max_pool2d_grad)
from backprop_nb.linear import lin, lin_grad
from backprop_nb.mse import mse, mse_grad
from backprop_nb.network import forward_and_backward
from backprop_nb.relu import relu, relu_grad
from backprop_nb.softmax import (cross_entropy, cross_entropy_grad, log_softmax, log_softmax_grad,
                                 nll, nll_grad, softmax, softmax_grad)
from backprop_nb.training import SGD, Adam

# ---- what comes in

VALUES = {'normal': lambda x: x, 'zero': lambda x: 0*x, 'whole': lambda x: x.round(),  # ties
          'tiny': lambda x: 1e-12*x, 'large': lambda x: 1000*x, 'wide': lambda x: x * 10**(2*x)}

def plain(x): return x
def transposed(x): return x.mT.contiguous().mT if x.dim() > 1 else x
def inside_out(x): return x.permute(axes := tuple(range(x.dim()))[::-1]).contiguous().permute(axes)
def sliced(x): return torch.stack([x, x + 1], -1).flatten(-2)[..., ::2] if x.dim() else x
def shifted(x): return torch.cat([x.new_ones(3), x.flatten()])[3:].view(x.shape)
def expanded(x): return x[:1].expand(x.shape) if x.dim() and len(x) else x
LAYOUTS = plain, transposed, inside_out, sliced, shifted, expanded

many = st.sampled_from([0, 1, 2, 3, 8])  # examples
few = st.integers(1, 4)                  # features
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**16)

def randn(seed, shape): return torch.randn(shape, generator=torch.Generator().manual_seed(seed),
                                           dtype=torch.float64)

@st.composite
def tensors(draw, shape, dtype, change=lambda x: x):
    "A tensor of the shape, its values changed by a function, in some memory layout."
    x = VALUES[draw(st.sampled_from([*VALUES]))](randn(draw(seeds), shape))
    return draw(st.sampled_from(LAYOUTS))(change(x).to(dtype))

@st.composite
def some(draw, least=0, change=lambda x: x):
    "Inputs of an operation that works entry by entry."
    shape = draw(st.lists(st.integers(0, 4), min_size=least, max_size=4))
    return draw(tensors(shape, draw(dtypes), change)),

@st.composite
def rows(draw):
    "Inputs (N, C)."
    return draw(tensors((draw(many), draw(few)), draw(dtypes))),

@st.composite
def pairs(draw, change=lambda x: x, soft=lambda x: x):
    "Predictions and targets: (N, 1) and (N,), or two equal shapes; targets may be whole."
    n, m, dtype = draw(many), draw(few), draw(dtypes)
    a, b = draw(st.sampled_from([((n, 1), (n,)), ((n, m), (n, m)), ((n,), (n,)), ((), ())]))
    y = draw(tensors(b, dtype, soft))
    return draw(tensors(a, dtype, change)), y.round().long() if draw(st.booleans()) else y

@st.composite
def labelled(draw):
    "Scores (N, C) and labels (N,)."
    (x,), seed = draw(rows()), draw(seeds)
    y = torch.randint(x.shape[1], x.shape[:1], generator=torch.Generator().manual_seed(seed))
    return x, draw(st.sampled_from(LAYOUTS))(y)

@st.composite
def layer(draw):
    "Inputs, weights and biases of a linear layer."
    (x,), m = draw(rows()), draw(few)
    return x, draw(tensors((x.shape[1], m), x.dtype)), draw(tensors((m,), x.dtype))

@st.composite
def net(draw):
    "Inputs, four parameters and targets of the network with one hidden layer."
    x, w1, b1 = draw(layer())
    m, out = len(b1), draw(few)
    shape = (len(x),) if out == 1 and draw(st.booleans()) else (len(x), out)
    rest = [draw(tensors(s, x.dtype)) for s in ((m, out), (out,), shape)]
    return x, w1, b1, *rest

@st.composite
def images(draw, least=1):
    "Images (N, C, H, W)."
    shape = draw(st.sampled_from([0, 1, 2, 4])), draw(st.sampled_from([1, 2, 3, 8, 20]))
    size = draw(st.integers(least, 7)), draw(st.integers(least, 7))
    return draw(tensors((*shape, *size), draw(dtypes))),

@st.composite
def filtered(draw):
    "Images, filters, biases, stride and padding."
    (x,), padding, f = draw(images()), draw(st.integers(0, 2)), draw(few)
    k = [draw(st.integers(1, min(4, n + 2*padding))) for n in x.shape[2:]]
    w, b = draw(tensors((f, x.shape[1], *k), x.dtype)), draw(tensors((f,), x.dtype))
    return x, w, b, draw(st.integers(1, 3)), padding

@st.composite
def pooled(draw):
    "Images, size and stride of a window."
    x, = draw(images())
    size = draw(st.integers(1, min(x.shape[2:])))
    return x, size, draw(st.sampled_from([None, 1, 2, 3]))

# ---- the operations

class Op(NamedTuple):
    forward: Callable   # of the inputs
    backward: Callable  # of the output, whose `.g` it reads, and the inputs, whose `.g` it writes
    truth: Callable     # torch's own function
    inputs: st.SearchStrategy
    wrt: int = 1        # how many of the inputs get a gradient: the first ones
    near: float = 0     # 1: value and gradient are differences of numbers like inputs and upstream
    rtol: float = 0     # as far as torch itself is away from the formula
    up: bool = True     # is there an upstream gradient? else it is 1

def loss(forward, backward, truth, inputs, **how):
    return Op(forward, lambda out, x, y: backward(x, y, out),
              lambda x, y: truth(x, y.reshape(x.shape).to(x.dtype)), inputs, **how)

def labels(forward, backward, truth, **how):
    return Op(forward, lambda out, x, y: backward(x, y, out), truth, labelled(), **how)

def single(forward, backward, truth, inputs, **how):
    return Op(forward, lambda out, x, *args: backward(x, out, *args), truth, inputs, **how)

def network(x, w1, b1, w2, b2, y): return forward_and_backward(x, y, w1, b1, w2, b2)

def value_of_network(*inputs): return network(*(x.clone() for x in inputs))

def true_network(x, w1, b1, w2, b2, y):
    out = torch.addmm(b2, torch.addmm(b1, x, w1).relu(), w2)
    return F.mse_loss(out, y.reshape(out.shape))

OPS = {
    'mse': loss(mse, mse_grad, F.mse_loss, pairs()),
    'relu': single(relu, relu_grad, F.relu, some()),
    'lin': Op(lin, lambda out, x, w, b: lin_grad(x, out, w, b),
              lambda x, w, b: F.linear(x, w.t(), b), layer(), 3),
    'forward_and_backward': Op(value_of_network, lambda out, *inputs: network(*inputs),
                               true_network, net(), 5, up=False),
    'sigmoid': single(sigmoid, sigmoid_grad, torch.sigmoid, some()),
    'bce': loss(bce, bce_grad, F.binary_cross_entropy, pairs(torch.sigmoid, torch.sigmoid),
                rtol=1e-8),  # torch's least divisor is 1e-12 in float32
    'bce_with_logits': loss(bce_with_logits, bce_with_logits_grad,
                            F.binary_cross_entropy_with_logits, pairs(soft=torch.sigmoid), near=1),
    'softmax': single(softmax, softmax_grad, lambda x: F.softmax(x, 1), rows(), near=1),
    'log_softmax': single(log_softmax, log_softmax_grad, lambda x: F.log_softmax(x, 1), rows(),
                          near=1),
    'nll': labels(nll, nll_grad, F.nll_loss),
    'cross_entropy': labels(cross_entropy, cross_entropy_grad, F.cross_entropy, near=1),
    'conv2d': Op(conv2d, lambda out, x, w, b, *how: conv2d_grad(x, out, w, b, *how), F.conv2d,
                 filtered(), 3),
    'max_pool2d': single(max_pool2d, max_pool2d_grad, F.max_pool2d, pooled()),
    'avg_pool2d': single(avg_pool2d, avg_pool2d_grad, F.avg_pool2d, pooled()),
    'flatten': single(flatten, flatten_grad, lambda x: x.flatten(1), some(least=2)),
}

# ---- the property

def agree(got, want, what, *sizes, rtol=0.):
    "The same shape, dtype and values, apart from rounding in sums of numbers as large as `sizes`."
    info = torch.finfo(want.dtype)
    big = [t.abs().max().item() for t in (want, *sizes) if t.numel()]
    atol = 50*info.eps * max((n for n in big if math.isfinite(n)), default=0.) + info.tiny
    torch.testing.assert_close(got, want, rtol=max(rtol, 20*info.eps), atol=atol, equal_nan=True,
                               msg=lambda m: f'{what}: {m}')

def differentiated(f, inputs, wrt, up):
    "Value and gradients for the first `wrt` inputs, by autograd, from the upstream `up(value)`."
    leaves = [x.detach().requires_grad_() for x in inputs[:wrt]]  # strides stay as they are
    out = f(*leaves, *inputs[wrt:])
    return out.detach(), torch.autograd.grad(out, leaves, up(out), materialize_grads=True)

def check(op, inputs, seed, layout):
    "The property: value and gradients are those of autograd, and nothing else is written."
    def up(out):
        return layout(randn(seed, out.shape).to(out.dtype)) if op.up else torch.ones_like(out)
    own = [x for x in inputs if isinstance(x, torch.Tensor)]
    kept, stale = [x.clone() for x in own], [torch.full_like(x, math.nan) for x in own[:op.wrt]]
    want, grads = differentiated(op.truth, inputs, op.wrt, up)
    size, grad_sizes = differentiated(op.truth, [*map(abs, own), *inputs[len(own):]], op.wrt,
                                      lambda out: up(out).abs())
    for x, g in zip(own, stale): x.g = g
    out = op.forward(*inputs).clone()  # it may be its own input
    agree(out, want, 'value', size, op.near * own[0], rtol=op.rtol)
    given = out.g = up(out)
    op.backward(out, *inputs)
    for x, before in zip(own, kept): assert torch.equal(x, before), 'an input was written into'
    assert out.g is given and torch.equal(given, up(out)), 'upstream was written into'
    for k, (x, g, bound, old) in enumerate(zip(own, grads, grad_sizes, stale)):
        assert isinstance(x.g, torch.Tensor) and x.g is not old, f'input {k} got no gradient'
        agree(x.g, g, f'gradient of input {k}', bound, op.near * given, rtol=op.rtol)

def holds(op, **how):
    "Try the property of an operation on many inputs."
    @settings(**how)
    @given(op.inputs, seeds, st.sampled_from(LAYOUTS))
    def on_many(inputs, seed, layout): check(op, inputs, seed, layout)
    on_many()

@pytest.mark.parametrize('name', OPS)
def test_operation(name): holds(OPS[name])

# ---- it sees what it is there to see

def out_with(out, g):
    "The output as it is, with another gradient."
    out = out.clone()
    out.g = g
    return out

def upstream_dropped(op, out, *inputs): op.backward(out_with(out, torch.ones_like(out)), *inputs)
def upstream_written(op, out, *inputs): op.backward(out, *inputs); first(out.g).add_(1)
def input_written(op, out, *inputs): op.backward(out, *inputs); first(inputs[0]).add_(1)
def nothing_written(op, out, *inputs): pass

def first(x):
    "The first number of a tensor, which can be written into even where strides are 0."
    return x.as_strided((min(x.numel(), 1),), (1,))

def grads_changed(change):
    "A backward whose gradients, each given with what stood there before, are changed."
    def faulty(op, out, *inputs):
        xs = inputs[:op.wrt]
        old = [x.g for x in xs]
        op.backward(out, *inputs)
        for x, g in zip(xs, old): x.g = change(x.g, g)
    return faulty

FAULTS = {
    'upstream dropped': upstream_dropped, 'upstream written': upstream_written,
    'input written': input_written, 'nothing written': nothing_written,
    'added': grads_changed(lambda g, old: old + g), 'sign': grads_changed(lambda g, old: -g),
    'transposed': grads_changed(lambda g, old: g.mT if g.dim() > 1 else g[None]),
    'another dtype': grads_changed(lambda g, old: g.float()),
    'a little off': grads_changed(lambda g, old: g * 1.001),
    'flipped': grads_changed(lambda g, old: g.flip(-1) if g.dim() else -g),
}

@pytest.mark.parametrize('name, fault', [(name, fault) for name, op in OPS.items() for fault in FAULTS
                                         if op.up or 'upstream' not in fault])
def test_fault_is_seen(name, fault):
    op = OPS[name]
    faulty = op._replace(backward=lambda *args: FAULTS[fault](op, *args))
    with pytest.raises(AssertionError): holds(faulty, phases=[Phase.generate])

# ---- optimisers

class Descent(NamedTuple):
    starts: list  # of the parameters
    grads: list   # of all parameters for each step
    rates: list   # lr in each step

@st.composite
def descents(draw):
    dtype, rate = draw(dtypes), st.sampled_from([0., 1e-3, 0.1, 2.])
    shapes = draw(st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=3))
    def one(change=lambda x: x): return [change(draw(tensors(shape, dtype))) for shape in shapes]
    rates = draw(st.lists(rate, min_size=1, max_size=4))
    return Descent(one(torch.clone), [one() for _ in rates], rates)  # a clone has no strides of 0

def check_descent(ours, theirs, d):
    "After each step the parameters are those of torch's optimiser, and gradients stay as they are."
    mine, yours = [x.clone() for x in d.starts], [x.clone().requires_grad_() for x in d.starts]
    opt, true = ours(mine), theirs(yours)
    for step, (grads, rate) in enumerate(zip(d.grads, d.rates), 1):
        opt.lr = true.param_groups[0]['lr'] = rate
        for x, y, g in zip(mine, yours, grads): x.g, y.grad = g, g.clone()
        opt.step(); true.step()
        for x, y, *size in zip(mine, yours, d.starts, *d.grads[:step]):
            agree(x, y.detach(), f'parameter after step {step}', *size, torch.tensor(rate))
            assert torch.equal(x.g, y.grad), 'a gradient was written into'

def descends(theirs, cls, options, **how):
    @settings(**how)
    @given(descents(), st.fixed_dictionaries(options))
    def on_many(d, kw):
        check_descent(lambda ps: cls(ps, 0.1, **kw), lambda ps: theirs(ps, 0.1, **kw), d)
    on_many()

OPTIMISERS = {
    SGD: (torch.optim.SGD, dict(momentum=st.sampled_from([0., 0.5, 0.9]),
                                weight_decay=st.sampled_from([0., 0.01, 1.]))),
    Adam: (torch.optim.Adam, dict(betas=st.sampled_from([(0.9, 0.999), (0., 0.5), (0.8, 0.)]),
                                  eps=st.sampled_from([1e-8, 1e-3])))}

@pytest.mark.parametrize('cls', OPTIMISERS)
def test_optimiser(cls): descends(OPTIMISERS[cls][0], cls, OPTIMISERS[cls][1])

def twice(opt, step): step(); step()
def first_rate(opt, step): opt.lr = 0.1; step()
def forgetful(opt, step): step(); [t.zero_() for name in opt.moments for t in getattr(opt, name)]
def grads_written(opt, step): step(); [first(p.g).add_(1) for p in opt.params]
def last_left_out(opt, step):
    kept = opt.params[-1].clone()
    step(); opt.params[-1].copy_(kept)

@pytest.mark.parametrize('fault', [twice, first_rate, forgetful, grads_written, last_left_out])
@pytest.mark.parametrize('cls', OPTIMISERS)
def test_fault_of_optimiser_is_seen(cls, fault):
    faulty = type('Faulty', (cls,), {'step': lambda self: fault(self, super(faulty, self).step)})
    theirs, options = OPTIMISERS[cls]
    with pytest.raises(AssertionError): descends(theirs, faulty, options, phases=[Phase.generate])

# ---- what comparing with torch cannot show

@pytest.mark.parametrize('score, targ', [(20., 0.9999), (1e4, 1 - 2**-20), (-1e4, 2**-20),
                                         (-1e4, 1e-9), (80., 1.), (-80., 0.)])
def test_nothing_cancels_in_bce_with_logits(score, targ):
    "A large score and a soft target near its own side: six digits of a small loss are right."
    z, y = torch.tensor(score), torch.tensor(targ)
    size, wrong = z.double().abs(), (y if score < 0 else 1 - y).double()
    want = wrong * size + torch.log1p(torch.exp(-size))
    torch.testing.assert_close(bce_with_logits(z, y).double(), want, rtol=1e-6, atol=1e-38)
