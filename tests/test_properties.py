"""Every operation against autograd of torch's own function, whatever comes in: shapes with 0 or 1
example, float32 and float64, any strides, zeros, ties, tiny and large numbers, any upstream. And
numbers that are not finite, half floats, leaves of autograd, whole numbers and targets of any kind.
"""
import math
from inspect import signature
from typing import NamedTuple
import numpy as np, pytest, torch
from hypothesis import Phase, given, settings, strategies as st
from torch import nn
import backprop_nb.all
from backprop_nb.operation import OPS, Draw, by_autograd, by_hand
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
rests = st.lists(st.integers(0, 4), max_size=3)  # the axes of `...`
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**16)

def randn(seed, shape): return torch.randn(shape, generator=torch.Generator().manual_seed(seed),
                                           dtype=torch.float64)

@st.composite
def tensors(draw, shape, dtype, change=lambda x: x):
    "A tensor of the shape, its values changed by a function, in some memory layout."
    x = VALUES[draw(st.sampled_from([*VALUES]))](randn(draw(seeds), shape))
    return draw(st.sampled_from(LAYOUTS))(change(x).to(dtype))

class Drawn(Draw):
    "A recipe's sizes, choices and numbers, drawn by hypothesis."
    def __init__(self, draw):
        super().__init__(draw(dtypes))
        self.draw, self.rest = draw, None
        torch.manual_seed(draw(seeds))          # for recipes that draw a mask by themselves
    def size(self, letter, most=4):
        "Up to `most`; as many examples as there may be, none among them."
        if letter not in self.sizes:
            self.sizes[letter] = self.draw(many if letter == 'N' else st.integers(1, most))
        return self.sizes[letter]
    def shape(self, axes):
        if '...' not in axes: return super().shape(axes)
        if self.rest is None: self.rest = self.draw(rests)
        before, after = axes.split('...')
        return [*super().shape(before), *self.rest, *super().shape(after)]
    def pick(self, *options): return self.draw(st.sampled_from(options))
    def __call__(self, axes, change=lambda x: x):
        return self.draw(tensors(self.shape(axes), self.how['dtype'], change))
    def labels(self, axes, classes):
        generator = torch.Generator().manual_seed(self.draw(seeds))
        y = torch.randint(self.size(classes), self.shape(axes), generator=generator)
        return self.draw(st.sampled_from(LAYOUTS))(y)

@st.composite
def inputs(draw, op): return op.inputs(Drawn(draw))

# ---- the property

def agree(got, want, what, *sizes, rtol=0.):
    "The same shape, dtype and values, apart from rounding in sums of numbers as large as `sizes`."
    info = torch.finfo(want.dtype)
    big = [t.abs().max().item() for t in (want, *sizes) if t.numel()]
    atol = 50*info.eps * max((n for n in big if math.isfinite(n)), default=0.) + info.tiny
    torch.testing.assert_close(got, want, rtol=max(rtol, 20*info.eps), atol=atol, equal_nan=True,
                               msg=lambda m: f'{what}: {m}')

def positive(x): return x.abs() if isinstance(x, torch.Tensor) and x.is_floating_point() else x

def check(op, inputs, seed, layout):
    "The property: value and gradients are those of autograd, and nothing else is written."
    given = []
    def up(out):
        given.append(layout(randn(seed, out.shape).to(out.dtype)))
        return given[-1]
    own, wrt = [x for x in inputs if isinstance(x, torch.Tensor)], op.wrt(inputs)
    want, grads = by_autograd(op, inputs, up)
    size, bounds = by_autograd(op, [*map(positive, inputs)], lambda out: up(out).abs())
    kept = [x.clone() for x in own]
    stale = [torch.full_like(inputs[k], math.nan) for k in wrt]
    for k, g in zip(wrt, stale): inputs[k].g = g
    out, got = by_hand(op, inputs, up)
    agree(out, want, 'value', size, op.cancels * inputs[0], rtol=op.rtol)
    for x, before in zip(own, kept): assert torch.equal(x, before), 'an input was written into'
    assert out.g is given[-1] and torch.equal(out.g, up(out)), 'upstream was written into'
    for k, g, true, bound, old in zip(wrt, got, grads, bounds, stale):
        assert isinstance(g, torch.Tensor) and g is not old, f'{op.names()[k]} got no gradient'
        agree(g, true, f'{op.names()[k]}.g', bound, op.cancels * out.g, rtol=op.rtol)

def holds(op, **how):
    "Try the property of an operation on many inputs."
    @settings(**how)
    @given(inputs(op), seeds, st.sampled_from(LAYOUTS))
    def on_many(inputs, seed, layout): check(op, inputs, seed, layout)
    on_many()

@pytest.mark.parametrize('name', OPS)
def test_operation(name): holds(OPS[name])

def test_every_gradient_has_a_record():
    held = {op.backward for op in OPS.values()}
    names = vars(backprop_nb.all)
    lacking = [n for n, f in names.items() if n.endswith('_grad') and f not in held
               and n != 'numeric_grad']
    assert not lacking, f"add a record, Op('f', f, f_grad, torch's own f, inputs), for {lacking}"

# ---- it sees what it is there to see

def out_with(out, g):
    "The output as it is, with another gradient."
    out = out.clone()
    out.g = g
    return out

def upstream_dropped(op, out, *inputs): op.back(out_with(out, torch.ones_like(out)), *inputs)
def upstream_written(op, out, *inputs): op.back(out, *inputs); first(out.g).add_(1)
def input_written(op, out, *inputs): op.back(out, *inputs); first(inputs[0]).add_(1)
def nothing_written(op, out, *inputs): pass

def first(x):
    "The first number of a tensor, which can be written into even where strides are 0."
    return x.as_strided((min(x.numel(), 1),), (1,))

def grads_changed(change):
    "A backward whose gradients, each given with what stood there before, are changed."
    def faulty(op, out, *inputs):
        xs = [inputs[k] for k in op.wrt(inputs)]
        old = [x.g for x in xs]
        op.back(out, *inputs)
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

class Faulty(type(next(iter(OPS.values())))):
    "An operation with a fault in its gradient function."
    def __post_init__(self): pass  # not entered among the others

@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize('name', OPS)
def test_fault_is_seen(name, fault):
    op = OPS[name]
    faulty = Faulty(**vars(op))
    object.__setattr__(faulty, 'back', lambda *args: FAULTS[fault](op, *args))
    with pytest.raises(AssertionError): holds(faulty, phases=[Phase.generate])

# ---- what else comes in

class Nth(Draw):
    "Takes option number `n` of each choice; every other time sizes are small, as few channels are."
    def __init__(self, n, dtype=torch.float64, **sizes):
        super().__init__(dtype)
        torch.manual_seed(n)
        self.n, self.sizes = n, sizes
    def size(self, letter, most=13):
        return super().size(letter, min(most, 6) if self.n % 2 else most)
    def pick(self, *options):
        assert len({*options}) == len(options), f'one option twice: {options}'
        return options[self.n % len(options)]

def same_randn(out):
    "An upstream gradient that is the same whatever the strides of `out`."
    return randn(out.numel(), out.shape).to(out.dtype)

def parts(op, inputs, value, grads):
    "The results with their names: the value, and the gradient of each input."
    return zip(['value', *(f'{op.names()[k]}.g' for k in op.wrt(inputs))], [value, *grads])

def compare(op, inputs, got, want, what='', but=()):
    for (name, one), (_, other) in zip(parts(op, inputs, *got), parts(op, inputs, *want)):
        if name in but: continue
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9, equal_nan=True,
                                   msg=lambda m: f'{name} {what}: {m}')

def spoiled(x):
    "A tenth of the numbers infinite or nan."
    bad = torch.tensor([math.inf, -math.inf, math.nan], dtype=x.dtype)[torch.randint(3, x.shape)]
    return torch.where(torch.rand(x.shape) < (0.1 if x.dim() else 1), bad, x)

OWN = {  # where we are not like torch: (operation, what is spoiled), why, or the parts that differ
    ('bce', 'inp'): 'a probability is from 0 to 1, and anything else is refused',
    ('bce_with_logits', 'inp'): 'value',  # inf, for torch's inf - inf
    ('cross_entropy', 'upstream'): 'torch goes by log_softmax, which is inf - inf at the label',
    ('layer_norm', 'w'): 'three terms, of which two are infinite; torch adds them in another order',
    ('layer_norm', 'upstream'): 'the same',
    ('forward_and_backward', 'upstream'): 'it has none; the record multiplies by it at the end',
    ('attention', 'q'): 'q.g k.g v.g',  # torch: 0 for a row of which all scores are -inf, here nan
    ('attention', 'k'): 'q.g',  # the same
    ('attention', 'upstream'): 'k.g',  # r is a sum over features here, over keys there
    **{('attention_blocks', name): 'a weight is exp(z - lse), nan only where z is infinite; torch '
       'has nan in the whole row, or 0 where all scores are -inf' for name in ('q', 'k')},
    ('attention_blocks', 'v'): 'value q.g k.g',  # what nobody sees is left out; torch: 0 times it
    ('attention_blocks', 'upstream'): 'k.g v.g',  # the same, and r as above
    ('gelu', 'inp'): 'inp.g'}  # with tanh the slope is 0 or 1 far out; torch has 0 times inf

@pytest.mark.parametrize('name', OPS)
def test_not_finite(name):
    "Infinite numbers and nan, in an input or in what arrives, do what they do in autograd."
    op = OPS[name]
    for n in range(90):
        inputs = op.inputs(Nth(n))
        k = [*op.wrt(inputs), None][n // 6 % (len(op.wrt(inputs)) + 1)]
        where = 'upstream' if k is None else op.names()[k]
        differs = OWN.get((name, where), '').split()
        if any(part != 'value' and part[-2:] != '.g' for part in differs): continue
        if k is not None: inputs[k] = spoiled(inputs[k])
        up = spoiled(same_randn(op.forward(*inputs))) if k is None else None
        got, want = (run(op, inputs, lambda out: same_randn(out) if up is None else up)
                     for run in (by_hand, by_autograd))
        compare(op, inputs, got, want, f'with {where} spoiled', differs)

@pytest.mark.parametrize('name', OPS)
def test_contiguous_as_torch(name):
    "Output and gradients lie in memory in one piece wherever torch's do, so that `view` works."
    op = OPS[name]
    for n in range(6):
        inputs = op.inputs(Nth(n))
        got, want = (run(op, inputs, same_randn) for run in (by_hand, by_autograd))
        got = op.forward(*inputs), got[1]
        for (what, ours), (_, theirs) in zip(parts(op, inputs, *got), parts(op, inputs, *want)):
            assert ours.is_contiguous() or not theirs.is_contiguous(), (what, ours.stride())

def as_dtype(xs, dtype):
    return [x.to(dtype) if torch.is_tensor(x) and x.is_floating_point() else x for x in xs]

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', OPS)
def test_half_as_exact_as_torch(name, dtype):
    "The largest error is at most 1.5 times that of autograd, and the rounding of one number."
    op = OPS[name]
    for n in range(18):
        wide = op.inputs(Nth(n, N=64, H=14, W=15))
        if len(op.names()) == 1: wide[0] *= 3                # scores of which one wins
        half = as_dtype(wide, dtype)
        exact = as_dtype(half, torch.float64)
        def up(out): return same_randn(out).to(dtype).to(out.dtype)
        truth = parts(op, half, *by_autograd(op, exact, up))
        got, want = (parts(op, half, *run(op, half, up)) for run in (by_hand, by_autograd))
        for (what, ours), (_, theirs), (_, true) in zip(got, want, truth):
            assert ours.dtype is dtype, what
            error, limit = (torch.dist(t.double(), true, math.inf) for t in (ours, theirs))
            limit = 1.5*limit + torch.finfo(dtype).eps * true.abs().max()
            assert error <= limit, f'{what}: off by {error:.2g}, want at most {limit:.2g}'

@pytest.mark.parametrize('name', OPS)
def test_leaves(name):
    "Tensors that autograd watches have the same gradients, and `.grad` stays empty."
    op = OPS[name]
    for n in range(12):
        inputs = op.inputs(Nth(n))
        leaves = [x.detach().requires_grad_() if k in op.wrt(inputs) else x
                  for k, x in enumerate(inputs)]
        out = op.forward(*leaves)
        out.g = same_randn(out)
        op.back(out, *leaves)
        grads = [leaves[k].g.detach() for k in op.wrt(inputs)]
        compare(op, inputs, (out.detach(), grads), by_hand(op, inputs, same_randn))
        assert all(leaves[k].grad is None for k in op.wrt(inputs))

@pytest.mark.parametrize('kind', [np.int64, np.uint8, torch.tensor])
@pytest.mark.parametrize('name', [n for n, op in OPS.items()
                                  if any(type(x) is int for x in op.inputs(Nth(0)))
                                  and n != 'attention_blocks'])             # has no module
def test_whole_numbers_of_any_kind(name, kind):
    "What Python takes for an index is a size, stride or padding, in functions and in modules."
    op, module = OPS[name], getattr(backprop_nb.all, ''.join(map(str.title, name.split('_'))).
                                    replace('2D', '2d'))
    for n in range(6):
        inputs = op.inputs(Nth(n))
        other = [kind(x) if type(x) is int else x for x in inputs]
        want = by_hand(op, inputs, same_randn)
        compare(op, inputs, by_hand(op, other, same_randn), want)
        layer = module(*other[1:])
        out = layer(inputs[0])
        out.g = same_randn(out)
        layer.backward()
        compare(op, inputs, (out, want[1]), want)
        assert inputs[0].g.equal(want[1][0])
        assert len(layer.parameters()) == (2 if name == 'conv2d' else 0)  # no size among them

@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize('name', [n for n, op in OPS.items() if 'targ' in op.names()
                                  and n not in ('nll', 'cross_entropy')])
def test_targets_of_any_kind(name, dtype):
    "True and False, and whole numbers, are targets of 1 and 0."
    op = OPS[name]
    at = op.names().index('targ')
    for n in range(8):
        inputs = op.inputs(Nth(n))
        one = [*inputs[:at], (inputs[at] > 0.5).to(dtype), *inputs[at + 1:]]
        other = [*inputs[:at], one[at].double(), *inputs[at + 1:]]
        compare(op, inputs, *(by_hand(op, xs, same_randn) for xs in (one, other)))

# ---- what the records draw

class Far(Nth):
    "A billion, above and below 0 by turns."
    def __call__(self, axes, change=plain):
        def far(x): return torch.full_like(x, 1e9) * (-1)**torch.arange(x.numel()).view(x.shape)
        return super().__call__(axes, lambda x: change(far(x)))

FREE = -math.inf, math.inf
def within(*ends): return [(-e, e) for e in ends]
LIMITS = {  # of the floats of a record: in large numbers a difference would be lost to rounding
    'bce': [(0, 1), (0, 1)], 'bce_with_logits': [FREE, (0, 1)],
    **dict.fromkeys(['layer_norm', 'batch_norm'], within(8, 3, 3)), 'rms_norm': within(8, 3),
    **dict.fromkeys(['attention', 'attention_blocks'], within(3, 3, 3)),
    'rnn': within(*[.5]*5), 'lstm': within(*[.5]*6)}

@pytest.mark.parametrize('name', OPS)
def test_numbers_go_to_their_limits(name):
    "As far as the record says, on both sides, or as far as they like; a mask hides half at most."
    tensors = [x for x in OPS[name].inputs(Far(0)) if torch.is_tensor(x)]
    floats = [x for x in tensors if x.is_floating_point() and x.numel() > 1]
    for x, ends in zip(floats, LIMITS.get(name, [FREE]*len(floats)), strict=True):
        near = torch.where(x.abs() > 1e7, x * math.inf, x)
        assert (near.min(), near.max()) == ends, near.aminmax()
    for x in tensors: assert x.dtype is not torch.bool or .45 < x.double().mean() < .75

def test_the_smallest_batch_with_a_spread_is_drawn():
    for N in 0, 1, 2: assert len(OPS['batch_norm'].inputs(Nth(0, N=N))[0]) == 2

# ---- what is not said

def defaults(f):
    "The values of the parameters that need not be given."
    return {n: p.default for n, p in signature(f).parameters.items() if p.default is not p.empty}

MODULES = {n.lower(): c for n, c in vars(backprop_nb.all).items()
           if isinstance(c, type) and issubclass(c, backprop_nb.all.Module)}

@pytest.mark.parametrize('name', OPS)
def test_defaults_are_the_same_there_and_back(name):
    "And in the module of that name."
    op, there = OPS[name], defaults(OPS[name].forward)
    for other in op.backward, MODULES.get(name.replace('_', ''), op.forward):
        both = there.keys() & defaults(other).keys()
        assert {n: there[n] for n in both} == {n: defaults(other)[n] for n in both}

UNSAID = {  # as in torch, where it has them
    'LayerNorm': dict(eps=nn.LayerNorm(1).eps), 'RMSNorm': dict(eps=1e-6),
    'BatchNorm': {n: getattr(nn.BatchNorm1d(1), n) for n in ('eps', 'momentum')},
    'Dropout': dict(p=nn.Dropout().p), 'Attention': dict(heads=1, causal=True),
    'attention_blocks': dict(causal=False, size=128), 'Gelu': dict(tanh=False),
    'Block': dict(heads=1, norm='layer', dropout=0.),
    'GPT': dict(tied=True, dropout=0., norm='layer'), 'cosine': dict(low=0., warmup=0),
    'text_loss': dict(batch_size=100), 'sample': dict(temperature=1., top_k=None, seed=0)}

@pytest.mark.parametrize('name', UNSAID)
def test_what_one_gets_unasked(name):
    assert defaults(getattr(backprop_nb.all, name)) == UNSAID[name]

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

def twice(opt, step):
    step()
    for p in opt.params: p.g = p.g.clone()           # or it would be refused
    step()
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
    torch.testing.assert_close(backprop_nb.all.bce_with_logits(z, y).double(), want,
                               rtol=1e-6, atol=1e-38)
