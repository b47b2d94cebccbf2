"""`check_grads` for everything that people hold in their hands: what it refuses, what it must not,
what it says, and that it leaves everything as it was."""
import re
import numpy as np
import pytest, torch
from backprop_nb.all import *
from backprop_nb.operation import OPS, Draw

def said(*args, **how):
    "What `check_grads` says; empty where it passes."
    try: check_grads(*args, **how)
    except Exception as e: return f'{type(e).__name__}: {e}'
    return ''

def square(x): return x**2
def square_grad(inp, out): inp.g = out.g * 2*inp
def wrong_grad(inp, out): inp.g = out.g * inp
def lin_of(d, m): return Lin(torch.randn(d, m), torch.randn(m))

# ---- all operations, in every dtype, size and mode

@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', [n for n in OPS if n != 'forward_and_backward'])
def test_right_gradients_pass(name, dtype):
    torch.manual_seed(0)
    op = OPS[name]
    if name == 'max_pool2d' and dtype.itemsize == 2: pytest.skip('many of its entries are equal')
    for _ in range(3):
        draw = Draw(dtype)
        if name.startswith('attention'):        # 6 small matrices in place of 1,716 large ones
            draw.sizes.update(rest1=3, rest2=1, rest3=2, T=7, S=5)
        inputs = op.inputs(draw)
        wrt = ' '.join(op.names()[k] for k in op.wrt(inputs))
        check_grads(op.forward, op.backward, *inputs, wrt=wrt)

MODES = {'no_grad': torch.no_grad, 'inference_mode': torch.inference_mode,
         'enable_grad': torch.enable_grad, 'off': lambda: torch.set_grad_enabled(False)}

@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('made_inside', [True, False])
def test_modes_in_which_autograd_does_not_watch(mode, made_inside):
    x, layer = torch.randn(5, 4), lin_of(4, 3)
    with MODES[mode]():
        if made_inside: x = torch.randn(2, 5, 3)
        check_grads(relu, relu_grad, x)
        assert 'is wrong' in said(relu, wrong_grad, x)
        assert 'autograd' not in said(relu, wrong_grad, x)
        check_grads(layer, torch.randn(5, 4))

# ---- modules

class Sloppy(Lin):
    def __init__(self, w, b, what): super().__init__(w, b); self.what = what
    def bwd(self, out, inp):
        super().bwd(out, inp)
        if self.what == 'sign': self.w.g = -self.w.g
        if self.what == 'mean': self.b.g = out.g.mean(0)
        if self.what == 'none': del self.b.g
        if self.what == 'input': inp.g = 2*inp.g

@pytest.mark.parametrize('what, words', [
    ('sign', 'w.g is wrong'), ('mean', 'b.g is wrong'), ('none', 'b'), ('input', 'inp.g is wrong')])
@pytest.mark.parametrize('call', [
    lambda l, x: said(l, x), lambda l, x: said(l.forward, l.bwd, x),
    lambda l, x: said(l, l.bwd, x)])
def test_parameters_of_a_module_are_checked(what, words, call):
    layer = Sloppy(torch.randn(4, 3), torch.randn(3), what)
    assert words in call(layer, torch.randn(5, 4)) != ''
    assert call(lin_of(4, 3), torch.randn(5, 4)) == ''

def test_a_model_that_has_been_called_is_checked_like_a_fresh_one():
    "What it remembers of the call before is neither looked at nor lost."
    model, data = Model(mlp(4, 3, 2), CrossEntropy()), (torch.randn(5, 4), torch.randint(2, (5,)))
    loss = model(*data)
    check_grads(model, *data)
    model.backward()                                        # of the call before
    check_grads(model, *data)
    assert model.out is loss
    model.layers[0].bwd = lambda out, inp: setattr(inp, 'g', None)
    assert 'was not overwritten' in said(model, *data)

def test_what_stands_before_out_may_be_given_by_name():
    p, y = torch.randn(5, 3), torch.randn(5, 3)
    check_grads(mse, mse_grad, p, targ=y)
    check_grads(lambda inp: inp**2, square_grad, inp=p)
    assert 'is wrong' in said(lambda inp: inp**2, wrong_grad, inp=p)

class Moved(Module):
    "A way back that does to `.g`, or to a buffer, what it should not."
    not_learned = 'mean'
    def __init__(self, what): self.what, self.mean = what, torch.zeros(3)
    def forward(self, inp): return inp * 2
    def bwd(self, out, inp):
        inp.g = out.g * 2
        if self.what == 'buffer': self.mean += 1
        if self.what == 'number': inp.g = 3.

@pytest.mark.parametrize('what, says', [
    ('', ''), ('buffer', 'backward wrote into mean'), ('number', 'inp.g is 3.0, want a tensor')])
def test_what_a_way_back_may_not_do(what, says):
    assert says in said(Moved(what), torch.randn(5, 3)) and bool(says) == bool(
        said(Moved(what), torch.randn(5, 3)))

class Chain(Module):
    def __init__(self, *layers): self.layers = layers
    def forward(self, inp):
        for layer in self.layers: inp = layer(inp)
        return inp
    def bwd(self, out, inp):
        for layer in reversed(self.layers): layer.backward()

def test_modules_in_modules_and_whole_models():
    check_grads(Chain(lin_of(4, 3), Relu(), Chain(lin_of(3, 5), Sigmoid())), torch.randn(6, 4))
    bad = Chain(lin_of(4, 3), Chain(Relu(), Sloppy(torch.randn(3, 5), torch.randn(5), 'sign')))
    assert 'layers.1.layers.1.w.g is wrong' in said(bad, torch.randn(6, 4))
    x, y = torch.randn(6, 4), torch.randint(5, (6,))
    check_grads(Model([lin_of(4, 3), Relu(), lin_of(3, 5)], CrossEntropy()), x, y)
    assert 'layers.0.layers.1.layers.1.w.g' in said(Model([bad], CrossEntropy()), x, y)
    check_grads(Model([lin_of(4, 1)], Mse()), x, torch.randn(6))

def test_everything_is_put_back():
    layer = Chain(lin_of(4, 3), Relu())
    layer(torch.randn(5, 4))
    w = layer.layers[0].w
    w.g = old = torch.randn(4, 3)
    held = [(m, dict(vars(m))) for m in layer.modules()]
    kept, data, where = w.clone(), w.data_ptr(), w.dtype
    x = torch.randn(6, 4, requires_grad=True)
    check_grads(layer, x)
    for m, before in held: assert vars(m) == before
    assert torch.equal(w, kept) and (w.data_ptr(), w.dtype, w.g is old) == (data, where, True)
    assert not hasattr(x, 'g') and x.requires_grad and not w.requires_grad
    bad = Sloppy(w, torch.randn(3), 'sign')
    assert said(bad, torch.randn(5, 4)) and torch.equal(w, kept) and w.dtype == where

def test_parameters_that_autograd_watches():
    w, b = (torch.nn.Parameter(torch.randn(s)) for s in ((4, 3), (3,)))
    check_grads(Lin(w, b), torch.randn(5, 4))
    assert w.requires_grad and w.dtype == torch.float32

def test_a_class_is_no_module():
    assert 'forward is the class Relu, want an instance' in said(Relu, torch.randn(3))

# ---- what autograd cannot see

def by_numpy(x): return torch.from_numpy(np.square(x.numpy()))
def detached(x): return (x.detach()**2)
def half_hidden(x): return x * x.detach()
def by_item(x): return torch.stack([torch.tensor(v.item()**2, dtype=x.dtype) for v in x])

@pytest.mark.parametrize('forward', [by_numpy, detached, half_hidden, by_item])
def test_where_autograd_cannot_look(forward, capsys):
    x = torch.randn(7)
    check_grads(forward, square_grad, x)
    assert 'autograd cannot look into forward' in capsys.readouterr().out
    assert 'finite differences' in (s := said(forward, wrong_grad, x)) and 'autograd could not' in s

def test_an_input_that_does_not_matter(capsys):
    def first(x, c): return x**2
    def right(inp, out, c): square_grad(inp, out); c.g = torch.zeros_like(c)
    def wrong(inp, out, c): square_grad(inp, out); c.g = torch.ones_like(c)
    check_grads(first, right, torch.randn(3), torch.randn(2))
    assert capsys.readouterr().out == ''
    assert 'c.g is wrong' in said(first, wrong, torch.randn(3), torch.randn(2))
    def hidden(x): return torch.from_numpy(3*x.numpy())
    def zero(inp, out): inp.g = torch.zeros_like(inp)
    assert 'inp.g is wrong' in said(hidden, zero, torch.randn(3))

# ---- kinks, edges, nan, randomness, nothing

def test_kinks_are_named():
    digit = mnist().train[:1][0]
    for args in [(relu, relu_grad, digit), (relu, relu_grad, torch.zeros(3)),
                 (max_pool2d, max_pool2d_grad, digit.view(1, 1, 28, 28), 2)]:
        assert 'kink' in (s := said(*args)) and 'randn_like' in s and 'is wrong' not in s
        check_grads(*args[:2], args[2] + 0.01*torch.randn_like(args[2]), *args[3:])

def test_a_wrong_gradient_is_called_wrong_among_kinks():
    x = torch.cat([torch.zeros(50), torch.randn(50)])
    def more(inp, out): inp.g = out.g * (inp > 0) * 1.01
    def outside(inp, out): inp.g = out.g * torch.where(inp == 0, -1., (inp > 0).to(inp.dtype))
    for slip in more, outside: assert 'inp.g is wrong' in said(relu, slip, x)

def test_a_kink_between_the_two_points():
    check_grads(relu, relu_grad, torch.tensor([2e-6, -3e-6, 1.]))

def test_curved_functions_have_no_kinks():
    def steep(x): return torch.exp(20*x)
    def steep_grad(inp, out): inp.g = out.g * 20 * torch.exp(20*inp)
    def slip(inp, out): inp.g = out.g * 21 * torch.exp(20*inp)
    check_grads(steep, steep_grad, torch.rand(5))
    assert 'is wrong' in (s := said(steep, slip, torch.rand(5))) and 'kink' not in s

def test_edges():
    s = said(bce, bce_grad, torch.tensor([[0.], [1.]]), torch.tensor([0, 1]))
    assert 'at the edge' in s and 'kink' in s and 'values from -6' not in s

def test_nan():
    x = torch.tensor([torch.nan, 1., -2.])
    check_grads(relu, relu_grad, x)
    assert 'is wrong' in said(relu, wrong_grad, x)
    def spoils(inp, out): relu_grad(inp, out); inp[0] = 1.
    assert 'wrote into inp' in said(relu, spoils, x)
    check_grads(softmax, softmax_grad, torch.tensor([[-torch.inf]*3, [1., 2., 3.]]))

class Drop(Module):
    def forward(self, inp):
        self.mask = torch.rand_like(inp) < 0.5 if self.training else torch.ones_like(inp)
        return inp * self.mask
    def bwd(self, out, inp): inp.g = out.g * self.mask

def test_random_functions_are_named():
    x = torch.randn(6, 3)
    for args in (Drop(), x), (lambda x: x * torch.randn(()), square_grad, x):
        assert 'forward is random' in said(*args)
    check_grads(Drop().eval(), x)

@pytest.mark.parametrize('args', [
    (relu, wrong_grad, torch.randn(0, 3)), (mse, mse_grad, torch.zeros(0, 1), torch.zeros(0)),
    (lambda: lin_of(4, 3))])
def test_nothing_compared(args):
    if callable(args):
        check_grads(args(), torch.randn(0, 4))         # the parameters have entries
        assert 'nothing has been compared' in said(args(), torch.randn(0, 4), wrt='inp')
    else: assert 'nothing has been compared' in said(*args)

# ---- many entries

def test_many_entries_are_sampled(capsys):
    calls = [0]
    def counted(x): calls[0] += 1; return x**2
    check_grads(counted, square_grad, torch.randn(100, 30))
    assert '2,000 of 3,000 entries' in capsys.readouterr().out and calls[0] < 9000
    check_grads(square, square_grad, torch.randn(100, 20))
    check_grads(square, square_grad, torch.randn(100, 21), every=True)
    assert capsys.readouterr().out == ''

def test_every_tensor_has_its_share(capsys):
    check_grads(lin_of(300, 300), torch.randn(2, 300))
    assert ' of 90,900 entries' in capsys.readouterr().out
    for what in 'sign', 'mean', 'input':
        bad = Sloppy(torch.randn(300, 300), torch.randn(300), what)
        assert 'is wrong' in said(bad, torch.randn(2, 300))

def test_autograd_is_compared_at_all_entries():
    def one_off(inp, out): square_grad(inp, out); inp.g[77, 77] *= 1.5
    assert 'wrong at [77, 77]' in said(square, one_off, torch.randn(100, 100))

def test_the_sample_leaves_the_random_state_alone():
    def drawn(n):
        torch.manual_seed(3); check_grads(square, square_grad, torch.randn(n))
        return torch.rand(1)
    assert drawn(2001) != drawn(2000) and torch.equal(drawn(2001), drawn(2001))

# ---- arguments and outputs

def test_keywords():
    x, w, b = torch.randn(2, 3, 7, 6), torch.randn(2, 3, 2, 3), torch.randn(2)
    check_grads(conv2d, conv2d_grad, x, w, b, stride=2, padding=1)
    def forgets(inp, out, w, b, stride=1, padding=0): conv2d_grad(inp, out, w, b, 2, 1); b.g = 2*b.g
    assert 'b.g is wrong' in said(conv2d, forgets, x, w, b, stride=2, padding=1)

@pytest.mark.parametrize('forward, words', [
    (lambda x: (x, x), 'returns tuple'), (lambda x: x.sum().item(), 'returns float'),
    (lambda x: x.round().long(), 'returns torch.int64'), (lambda x: None, 'returns NoneType')])
def test_outputs_that_cannot_be_checked(forward, words):
    assert words in (s := said(forward, square_grad, torch.randn(3))) and 'want one tensor' in s

@pytest.mark.parametrize('args', [(3, square_grad, torch.randn(3)), (square, 3, torch.randn(3)),
                                  (square, None, torch.randn(3))])
def test_what_is_no_function(args): assert 'want a function' in said(*args)

# ---- what got through once

def hides_what_it_adds(inp, out): inp.g = inp.g.nan_to_num() + out.g * 2*inp
def clamps(inp, out): inp.g = out.g.clamp(-1000, 1000) * 2*inp
def right_in_double(inp, out): inp.g = out.g * inp * (2 if inp.dtype == torch.float64 else 3)
def narrow(inp, out): inp.g = (out.g.half() * 2*inp.half()).to(inp.dtype)

@pytest.mark.parametrize('slip', [hides_what_it_adds, clamps, right_in_double, narrow])
def test_what_got_through_once(slip): assert 'inp.g' in said(square, slip, torch.randn(5, 3))

def test_gradients_that_are_0_by_cancelling():
    "The sum of a normalised row does not depend on it: rounding is all that is left."
    def normal(x): return ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)).sum(1)
    def nothing(inp, out): inp.g = torch.zeros_like(inp)
    check_grads(normal, nothing, torch.randn(4, 6))

# ---- what a judge must not be led astray by

def test_a_small_slip_among_hundreds_of_kinks():
    "In real digits most entries are kinks, with errors larger than that of the slip."
    digit = mnist().train[:1][0]
    def tenth_off(inp, out): inp.g = out.g * (inp > 0) * 0.9
    assert 'inp.g is wrong' in said(relu, tenth_off, digit)

def test_a_kink_or_an_edge_in_one_tensor_hides_nothing_in_another():
    def both(x, c): return relu(x) + c**2
    def slip(inp, out, c): relu_grad(inp, out); c.g = 3*c*out.g
    assert 'c.g is wrong' in said(both, slip, torch.zeros(3), torch.randn(3))
    def closed(p, c):
        if (p < 0).any(): raise ValueError('p below 0')
        return p + c**2
    def slip(p, out, c): p.g = out.g.clone(); c.g = 3*c*out.g
    assert 'c.g is wrong' in said(closed, slip, torch.zeros(3), torch.randn(3))

def test_ties_in_windows_that_overlap_are_kinks():
    "One entry wins in one window and loses in another: its gradient is beside both slopes."
    digit = mnist().train[:1][0].view(1, 1, 28, 28)
    assert 'kink' in (s := said(max_pool2d, max_pool2d_grad, digit, 3, 1)) and 'wrong' not in s

def test_the_edge_where_forward_gives_nan():
    def root_grad(inp, out): inp.g = out.g / (2*inp.sqrt())
    s = said(torch.sqrt, root_grad, torch.tensor([0., 1.]))
    assert 'at the edge' in s and 'gives nan or inf' in s and 'autograd' not in s

def test_random_functions_that_agree_by_chance():
    def drop(x): return x * (torch.rand_like(x) < 0.5)
    def passes_on(inp, out): inp.g = out.g.clone()
    for seed in range(20):
        torch.manual_seed(seed)
        s = said(drop, passes_on, torch.randn(1))
        assert 'forward is random' in s or not s

@pytest.mark.parametrize('size', [1., 1e-6, 1e-14])
def test_small_gradients_are_judged_as_strictly(size):
    def small(x): return size * x**2
    def unseen(x): return torch.from_numpy(size * x.numpy()**2)
    def right(inp, out): inp.g = size * 2*inp * out.g
    def wrong(inp, out): inp.g = size * 2.001*inp * out.g
    for f in small, unseen:
        assert not said(f, right, torch.randn(4, 3))
        assert 'is wrong' in said(f, wrong, torch.randn(4, 3))

def test_five_digits_where_the_function_is_steep():
    def steep(x): return torch.from_numpy(np.exp(20*x.numpy()))
    def nearly(inp, out): inp.g = out.g * 20.001 * torch.exp(20*inp)
    assert 'is wrong' in said(steep, nearly, torch.rand(3))

def test_forward_writes_into_its_input():
    assert 'forward wrote into inp' in said(lambda x: x.clamp_(min=0), relu_grad, torch.randn(5))

def test_own_dtype_and_rounding():
    "Where nearly all digits cancel, as in one row of two classes, rounding is no fault."
    for dtype in torch.float16, torch.bfloat16, torch.float32:
        for seed in range(20):
            torch.manual_seed(seed)
            check_grads(softmax, softmax_grad, torch.randn(1, 2).to(dtype))
            check_grads(bce_with_logits, bce_with_logits_grad, torch.randn(1).to(dtype),
                        torch.rand(1).to(dtype))

# ---- arguments by name

def test_floats_given_by_name_are_checked():
    x, w, b = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)
    def slip(inp, out, w, b): lin_grad(inp, out, w, b); w.g = 2*w.g
    for dtype in torch.float32, torch.float64:
        x, w, b = x.to(dtype), w.to(dtype), b.to(dtype)
        check_grads(lin, lin_grad, x, w=w, b=b)
        assert 'w.g is wrong' in said(lin, slip, x, w=w, b=b)
        assert not hasattr(w, 'g')

@pytest.mark.parametrize('args, named, words', [
    ((relu, relu_grad, torch.randn(3)), dict(stride=2), "keyword argument 'stride'"),
    ((lin, lin_grad, torch.randn(5, 4)), {}, "argument: 'w'"),
    ((Relu(),), {}, "argument: 'inp'"), ((relu, torch.relu, torch.randn(3)), {}, 'named out')])
def test_arguments_that_backward_does_not_take(args, named, words):
    assert words in (s := said(*args, **named)) and 'check_grads: backward' in s

# ---- modules are put back, whatever they hold

class Plus(Module):
    def __init__(self, c): self.c = c
    def forward(self, inp): self.kept = inp; return inp + self.c
    def bwd(self, out, inp): inp.g = out.g.clone(); self.c.g = out.g.sum(0)

@pytest.mark.parametrize('make', [
    lambda: torch.randn(3), lambda: torch.randn(1).expand(3), lambda: torch.randn(3).double(),
    lambda: torch.zeros(1).double().expand(3), lambda: torch.randn(6)[::2]])
@pytest.mark.parametrize('right', [True, False])
def test_any_parameter_is_put_back(make, right):
    c = make()
    layer, x = Plus(c), torch.randn(5, 3).to(c.dtype)
    if not right: layer.bwd = lambda out, inp: (Plus.bwd(layer, out, inp), c.g.mul_(2))
    layer(x)
    before, data, strides = dict(vars(layer)), c.clone(), c.stride()
    assert bool(said(layer.forward, layer.bwd, x)) != right
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[k] is v for k, v in before.items())
    assert layer.c is c and not hasattr(c, 'g')
    assert torch.equal(c, data) and (c.dtype, c.stride()) == (data.dtype, strides)

def test_a_layer_without_tensors_is_put_back():
    layer, x = Relu(), torch.randn(5, 3)
    out = layer(x); before = dict(vars(layer))
    check_grads(layer, torch.randn(4, 2))
    assert layer.out is out and layer.args[0] is x and vars(layer).keys() == before.keys()
    out.g = torch.ones_like(out); layer.backward()
    assert x.g.shape == x.shape

def test_parameters_made_in_inference_mode(capsys):
    with torch.inference_mode(): layer = lin_of(4, 3)
    for _ in range(2): check_grads(layer, torch.randn(5, 4))
    assert 'autograd cannot look' in capsys.readouterr().out and layer.w.is_inference()
    bad = Sloppy(layer.w, layer.b, 'sign')
    assert 'w.g is wrong' in said(bad, torch.randn(5, 4)) and layer.w.dtype == torch.float32

# ---- the sample

def test_the_sample_is_2000_and_has_some_of_each(capsys):
    check_grads(Chain(lin_of(90, 50), Sigmoid(), lin_of(50, 3)), torch.randn(3, 90))
    assert 'at 2,000 of 4,973 entries' in capsys.readouterr().out
    moved = [set(), set()]
    def pair(x, c): return torch.cat([x**2, c**2])
    def unseen(x, c):
        for k, (t, t0) in enumerate(((x, x0), (c, c0))):
            at = (t.float() != t0).nonzero().flatten().tolist()
            if len(at) == 1: moved[k].update(at)
        return pair(x, c)
    def grads(inp, out, c): inp.g = 2*inp*out.g[:len(inp)]; c.g = 2*c*out.g[len(inp):]
    x0, c0 = torch.randn(5000), torch.randn(25)
    check_grads(unseen, grads, x0, c0)
    assert len(moved[0]) > 1900 and len(moved[1]) >= 20

def test_more_tensors_than_samples(capsys):
    class Many:
        def __init__(self): self.ps = {f'p{k}': torch.randn(1) for k in range(2100)}
        def forward(self, inp): return inp * torch.cat([*self.ps.values()])
        def bwd(self, out, inp):
            inp.g = out.g * torch.cat([*self.ps.values()])
            for k, p in enumerate(self.ps.values()): p.g = (out.g * inp)[k:k+1]
        def named_parameters(self): return [*self.ps.items()]
        def state(self): return self.ps
    check_grads(Many(), torch.randn(2100), wrt=' '.join(f'p{k}' for k in range(30)))
    assert capsys.readouterr().out == ''
    from backprop_nb.gradcheck import _shares
    for sizes in {n: 1 for n in range(2100)}, {1: 3000, 2: 1, 3: 2}, {n: 101 for n in range(20)}:
        took = _shares(sizes, 2000)
        assert all(0 < took[n] <= k for n, k in sizes.items())
        assert sum(took.values()) == max(2000, len(sizes))

# ---- whatever has a bwd is a module

def test_a_class_of_ones_own_that_is_no_module():
    class Scale:
        def __init__(self): self.w = torch.randn(3)
        def forward(self, inp): return inp * self.w
        def bwd(self, out, inp): inp.g = out.g * self.w; self.w.g = (out.g * inp).sum((0, 1))
    class Named(Scale):
        def named_parameters(self): return [('w', self.w)]
        def state(self): return {'w': self.w}
    class Wrong(Named):
        def bwd(self, out, inp): super().bwd(out, inp); self.w.g = self.w.g.flip(0)
    x = torch.randn(2, 5, 3)
    check_grads(Named(), x)
    assert 'w.g is wrong' in said(Wrong(), x) and not said(Wrong(), x, wrt='inp')
    plain = Scale()
    plain.w = plain.w.double()
    check_grads(plain, x.double())                     # without names, its input alone

# ---- gradients that are 0 by a law, with rounding in place of digits

class Centred(Module):
    def forward(self, inp): return inp - inp.mean(0)
    def bwd(self, out, inp): inp.g = out.g - out.g.mean(0)

class Soft(Module):
    def forward(self, inp): return softmax(inp)
    def bwd(self, out, inp): softmax_grad(inp, out)

class Sum(Module):
    def forward(self, inp): return inp.sum(-1)
    def bwd(self, out, inp): inp.g = out.g[:, None].expand(inp.shape).clone()

def shifted(x, c): return (x + c).softmax(1)
def shifted_grad(inp, out, c):
    inp.g = out * (out.g - (out.g * out).sum(1, keepdim=True))
    c.g = inp.g.sum(1, keepdim=True)
def twice_too_much(inp, out, c): shifted_grad(inp, out, c); inp.g = inp.g * (1 + 2e-5)

@pytest.mark.parametrize('seed', range(4))
def test_gradients_that_are_0_by_a_law(seed):
    torch.manual_seed(seed)
    check_grads(Model([lin_of(3, 4), Centred()], Mse()), torch.randn(6, 3), torch.randn(6, 4))
    check_grads(Model([Soft(), Sum()], Mse()), torch.randn(6, 3), torch.randn(6))
    check_grads(shifted, shifted_grad, torch.randn(4, 5), torch.randn(4, 1))
    assert 'inp.g is wrong' in said(shifted, twice_too_much, torch.randn(4, 5), torch.randn(4, 1))
    class Biased(Lin):
        def bwd(self, out, inp): super().bwd(out, inp); self.b.g = self.b.g + 1e-6
    layers = [Biased(torch.randn(3, 4), torch.randn(4)), Centred()]
    assert 'b.g is wrong' in said(Model(layers, Mse()), torch.randn(6, 3), torch.randn(6, 4))

def test_confident_scores():
    check_grads(cross_entropy, cross_entropy_grad, 8*torch.randn(150, 10),
                torch.randint(10, (150,)))
    check_grads(cross_entropy, cross_entropy_grad,
                torch.tensor([[50., -50, 0], [100, 0, 0]]), torch.tensor([0, 0]))

# ---- what hid from the check

@pytest.mark.parametrize('pair', [lambda a, b: (a, b), lambda a, b: [a, b],
                                  lambda a, b: {'a': a, 'b': [b]}])
@pytest.mark.parametrize('check', [check_grads, check_adjoint])
def test_tensors_inside_an_argument(check, pair):
    def back(inp, out, state): inp.g = out.g
    with pytest.raises(TypeError, match='the tensors in state would not be checked'):
        check(lambda inp, state: 1*inp, back, torch.randn(3), pair(torch.randn(3), torch.randn(3)))
    check_grads(lambda inp, state: 1*inp, back, torch.randn(3), pair(torch.randn(3), 2), wrt='inp')

def test_without_the_gradient_for_the_input():
    class Half(Lin):
        def bwd(self, out, inp):
            super().bwd(out, inp)
            if not self.input_grad: self.w.g = 2*self.w.g
    def made(kind): return kind(torch.randn(4, 3), torch.randn(3))
    for layer in made(Half), Model([made(Half), Relu()], Mse()):
        inputs = [torch.randn(5, 4), torch.randn(5, 3)][:1 + isinstance(layer, Model)]
        with pytest.raises(AssertionError, match='w.g differs where self.input_grad is False'):
            check_grads(layer, *inputs)
        assert 'input_grad' not in vars(layer)
    check_grads(made(Lin), torch.randn(5, 4))

def test_a_constant_in_float32_is_named():
    def leaky(inp): return torch.where(inp > 0, inp, .1*inp)
    def back(inp, out): inp.g = out.g * torch.where(inp > 0, 1., .1)
    def exact(inp, out): inp.g = torch.where(inp > 0, out.g, .1*out.g)
    for check in check_grads, check_adjoint:
        with pytest.raises(AssertionError, match='is some constant float32'):
            check(leaky, back, torch.randn(4, 5))
        check(leaky, exact, torch.randn(4, 5))
    with pytest.raises(AssertionError) as e:
        check_grads(leaky, lambda inp, out: setattr(inp, 'g', out.g), torch.randn(4, 5))
    assert 'float32' not in str(e.value)

def test_a_gradient_that_is_lost_in_the_dtype_of_the_inputs():
    def back(x, out):
        e = x.exp()
        x.g = out.g[:, None] * e / e.sum(1, keepdim=True)
    def safe(x, out): x.g = out.g[:, None] * x.softmax(1)
    x = torch.randn(3, 4) + 100                         # e^x is inf in float32, not in float64
    with pytest.raises(AssertionError, match=r'x.g differs .* float64: at \[0, 0\] it is nan, and'):
        check_grads(lambda x: x.logsumexp(1), back, x)
    check_grads(lambda x: x.logsumexp(1), safe, x)

# ---- a slip in the inputs' own dtype, beside something large

def far_mean(x): return ((x - 3)**2).mean()
def far_mean_grad(inp, out): inp.g = upstream(out) * 2*(inp - 3) / inp.numel()

@pytest.mark.parametrize('dtype, most', [(torch.float16, 1e4), (torch.float32, 1e8)])
@pytest.mark.parametrize('f, back', [(square, square_grad), (far_mean, far_mean_grad)])
def test_a_slip_in_the_own_dtype_beside_something_large(dtype, most, f, back):
    def slip(inp, out):
        back(inp, out)
        if inp.dtype != torch.float64: inp.g = -inp.g
    x = torch.randn(4, 13).to(dtype)
    check_grads(lambda x: f(x) + most, back, x)
    assert 'inp.g differs between torch.float' in said(lambda x: f(x) + most, slip, x)

def test_a_slip_in_the_own_dtype_beside_a_large_gradient():
    def sums(x, c): return (x**2).sum() + 1e6*c.sum()
    def back(x, out, c): x.g, c.g = upstream(out) * 2*x, upstream(out) * 1e6*torch.ones_like(c)
    def slip(x, out, c): back(x, out, c); x.g = x.g if x.dtype == torch.float64 else -x.g
    check_grads(sums, back, torch.randn(4, 3), torch.randn(5))
    assert 'x.g differs between torch.float' in said(sums, slip, torch.randn(4, 3), torch.randn(5))

def test_a_slip_in_small_entries_in_the_own_dtype():
    def slip(inp, out):
        square_grad(inp, out)
        if inp.dtype == torch.float32: inp.g[0] = -inp.g[0]
    x = torch.randn(4, 3)
    x[0] = 1e-4 * (1 + torch.rand(3))
    assert 'inp.g differs between torch.float32' in said(square, slip, x)

# ---- inputs of very different scale

def by_product(inp, w): return inp @ w
def by_numpy_product(inp, w): return torch.from_numpy(inp.detach().numpy() @ w.detach().numpy())
def product_grad(inp, out, w): inp.g, w.g = out.g @ w.t(), inp.t() @ out.g

@pytest.mark.parametrize('wrong, scale', [('inp', 1e9), ('w', 1e-9)])
def test_inputs_of_very_different_scale_hide_no_slip(wrong, scale):
    def slip(inp, out, w):
        product_grad(inp, out, w)
        t = dict(inp=inp, w=w)[wrong]
        t.g = -t.g
    pair = scale * torch.randn(4, 3), torch.randn(3, 2) / scale
    check_grads(by_product, product_grad, *pair)
    for check in check_grads, check_adjoint:
        with pytest.raises(AssertionError, match=f'{wrong}.g is wrong'):
            check(by_product, slip, *pair)

@pytest.mark.parametrize('scale', [1e5, 1e-5])
def test_numpy_on_inputs_of_different_scale(scale, capsys):
    pair = scale * torch.randn(4, 3), torch.randn(3, 2) / scale
    check_grads(by_numpy_product, product_grad, *pair)
    assert 'autograd cannot look into forward' in capsys.readouterr().out

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('scale', [1e-3, 1., 1e3, 1e6])
def test_one_feature_whose_gradient_is_0_by_nature(dtype, scale):
    for seed in range(6):
        torch.manual_seed(seed)
        x, w, b = scale * torch.randn(5, 1), torch.randn(1), torch.randn(1)
        for check in check_grads, check_adjoint:
            check(layer_norm, layer_norm_grad, x.to(dtype), w.to(dtype), b.to(dtype))

def test_a_bias_before_a_batch_norm():
    for seed in range(8):
        torch.manual_seed(seed)
        model = Model([lin_of(3, 5), BatchNorm(5)], Mse())
        check_grads(model, 1e-3*torch.randn(6, 3), torch.randn(6, 5))

def test_what_is_unsteady_is_not_rounding():
    "A backward that draws lots, or loses digits, would excuse its own error."
    def lots(inp, out): inp.g = out.g * 2*inp * (1 + 1e-6*torch.randn(()))
    def digits(inp, out): inp.g = out.g * ((inp + 1e-10)**2 - inp**2) / 1e-10
    for check in check_grads, check_adjoint:
        for slip in lots, digits:
            with pytest.raises(AssertionError, match='inp.g is wrong'):
                check(square, slip, torch.randn(4, 3))

# ---- nan and inf

def test_an_output_that_is_all_nan():
    def back(inp, out): inp.g = out.g * torch.nan
    assert 'nothing has been compared: all' in said(lambda x: x * torch.nan, back, torch.randn(3))

def test_a_mask_of_minus_infinity_is_no_edge():
    x = torch.randn(4, 3)
    x[1, 1] = -torch.inf
    def slip(inp, out): softmax_grad(inp, out); inp.g[1, 1] = 1.
    check_grads(softmax, softmax_grad, x)
    assert 'inp.g is wrong at [1, 1]' in said(softmax, slip, x)

def test_a_point_beyond_which_forward_is_not_defined():
    def back(x, out): x.g = out.g / (x*x - 1).sqrt()
    def half(x, out): back(x, out); x.g = x.g / 2
    def picky(x):
        if x.min() < 1.02: raise ValueError('too small')
        return x.acosh()
    for seed in range(6):
        torch.manual_seed(seed)
        x = 1.02 + .1*torch.rand(4, 3)
        for f in torch.acosh, picky:
            check_adjoint(f, back, x)
            with pytest.raises(AssertionError, match='x.g is wrong'): check_adjoint(f, half, x)

def test_complex_constants_are_called_targ():
    def turned(x, targ): return torch.view_as_real(torch.view_as_complex(x) * targ)
    def back(x, out, targ): x.g = turned(out.g.contiguous(), targ.conj())
    targ = torch.polar(torch.ones(4), torch.rand(4))
    for check in check_grads, check_adjoint: check(turned, back, torch.randn(5, 4, 2), targ)
    def named(x, out, c): back(x, out, c)
    with pytest.raises(TypeError, match='complex numbers in c .*the name targ for a constant'):
        check_grads(turned, named, torch.randn(5, 4, 2), targ)

# ---- what arrives in use

def seen_flat(inp, out): inp.g = (out.g.view(-1) * 2*inp.reshape(-1)).view(inp.shape)
def by_strides(inp, out): inp.g = torch.as_strided(out.g, out.shape, (out.shape[1], 1)) * 2*inp
def drops_very_small(inp, out): inp.g = out.g * (out.g.abs() > 1e-4) * 2*inp

@pytest.mark.parametrize('check', [check_grads, check_adjoint])
@pytest.mark.parametrize('slip, words', [
    (by_strides, 'inp.g is wrong .*not contiguous'),
    (drops_very_small, 'inp.g is wrong at .* backward gives 0, want .* out.g is small now')])
def test_an_upstream_gradient_that_is_small_and_not_contiguous(check, slip, words):
    check(square, square_grad, torch.randn(4, 3))
    with pytest.raises(AssertionError, match=words): check(square, slip, torch.randn(4, 3))

@pytest.mark.parametrize('check', [check_grads, check_adjoint])
def test_a_backward_that_stops_where_what_arrives_is_not_contiguous(check, capsys):
    check(square, seen_flat, torch.randn(4, 3))                     # right, so it is only said
    assert re.search('backward stops where out.g is not contiguous.*view', capsys.readouterr().out)
    def cut(inp, out): seen_flat(inp, out); inp.g = inp.g * (out.g.abs() > 1e-4)
    with pytest.raises(AssertionError, match='is wrong'): check(square, cut, torch.randn(4, 3))

@pytest.mark.parametrize('shape', [(), (4,), (4, 1), (1, 4), (4, 3), (2, 3, 4), (0, 3)])
def test_strided(shape):
    from backprop_nb.gradcheck import _strided
    t = torch.randn(shape)
    assert torch.equal(_strided(t), t)
    assert _strided(t).is_contiguous() == (t.numel() < 2)

class Once(Module):
    "It keeps what its first call was given."
    def forward(self, inp):
        if not hasattr(self, 'kept'): self.kept = inp
        return inp**2
    def bwd(self, out, inp): inp.g = out.g * 2*self.kept

@pytest.mark.parametrize('check', [check_grads, check_adjoint])
def test_a_module_that_goes_by_its_first_call(check):
    with pytest.raises(AssertionError, match='inp.g is wrong'): check(Once(), torch.randn(4, 3))

class Asks(Module):
    "It asks for its parameters on the way, and makes a note in lists and dicts."
    def __init__(self): self.w, self.notes, self.by = torch.randn(3), [], {}
    def forward(self, inp):
        self.notes.append(len(inp)); self.by[len(self.by)] = 1
        return inp * self.parameters()[0]
    def bwd(self, out, inp): inp.g, self.parameters()[0].g = out.g * self.w, (out.g * inp).sum(0)

@pytest.mark.parametrize('check', [check_grads, check_adjoint])
def test_a_module_that_asks_for_its_parameters_and_takes_notes(check):
    layer = Asks()
    check(layer, torch.randn(4, 3))
    assert layer.notes == [] and layer.by == {} and not {'args', 'out', '_noted'} & {*vars(layer)}
    layer(torch.randn(2, 3))
    assert layer.notes == [2]

@pytest.mark.parametrize('check', [check_grads, check_adjoint])
def test_out_by_name_alone(check):
    def back(inp, w, *, out): inp.g, w.g = out.g * w, (out.g * inp).sum(0)
    def slip(inp, w, *, out): back(inp, w, out=out); w.g = -w.g
    pair = torch.randn(4, 3), torch.randn(3)
    check(torch.mul, back, *pair)
    with pytest.raises(AssertionError, match='w.g is wrong'): check(torch.mul, slip, *pair)
