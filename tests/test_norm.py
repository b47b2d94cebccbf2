"""Norms and dropout beside what their chapter holds: entry by entry against the functions that
autograd calls, modules in `fit`, the slips of the field, and what six checks in common use miss."""
import copy
import pytest, torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.testing import assert_close
from backprop_nb.all import *

OWN = torch.ops.aten

def drawn(*shapes, dtype=torch.float64): return [torch.randn(s, dtype=dtype) for s in shapes]

def arrived(out):
    out.g = torch.randn_like(out)
    return out

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

# ---- against aten, with the default eps, float32 and float64

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize('shape', [(7,), (1, 7), (4, 7), (2, 3, 7), (2, 3, 4, 7), (0, 7), (3, 1)])
def test_layer_norm_as_aten(shape, dtype):
    x, w, b = drawn(shape, shape[-1:], shape[-1:], dtype=dtype)
    theirs, mean, r = torch.native_layer_norm(x, shape[-1:], w, b, 1e-5)
    out = arrived(layer_norm(x, w, b))
    assert_close(out, theirs)
    layer_norm_grad(x, out, w, b)
    want = OWN.native_layer_norm_backward(out.g, x, shape[-1:], mean, r, w, b, [True]*3)
    for t, g in zip((x, w, b), want): assert_close(t.g, g, rtol=1e-4, atol=1e-5)

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize('shape', [(2, 7), (6, 7), (2, 5, 3), (1, 5, 3), (4, 3, 5, 6), (2, 3, 1, 1),
                                   (2, 3, 2, 3, 2)])
def test_batch_norm_as_aten(shape, dtype):
    x, w, b = drawn(shape, shape[1:2], shape[1:2], dtype=dtype)
    x = x * torch.arange(1, len(x) + 1).view(-1, *[1]*(len(shape) - 1))     # no column is flat
    theirs, mean, r = torch.native_batch_norm(x, w, b, None, None, True, 0., 1e-5)
    out = arrived(batch_norm(x, w, b))
    assert_close(out, theirs)
    batch_norm_grad(x, out, w, b)
    want = OWN.native_batch_norm_backward(out.g, x, w, None, None, mean, r, True, 1e-5, [True]*3)
    for t, g in zip((x, w, b), want): assert_close(t.g, g, rtol=1e-3, atol=1e-4)

@pytest.mark.parametrize('shape', [(7,), (4, 7), (2, 3, 7)])
def test_rms_norm_as_torch(shape):
    x, w = drawn(shape, 7)
    leaves = [t.clone().requires_grad_() for t in (x, w)]
    theirs, out = F.rms_norm(leaves[0], (7,), leaves[1], 1e-6), arrived(rms_norm(x, w))
    assert_close(out, theirs.detach())
    rms_norm_grad(x, out, w)
    for t, g in zip((x, w), torch.autograd.grad(theirs, leaves, out.g)): assert_close(t.g, g)

def test_layer_norm_grad_in_forward_mode():
    "How the gradient changes in a direction, beside a difference: `hvp` goes this way."
    x, w, b, along, up = drawn((4, 5), 5, 5, (4, 5), (4, 5))
    def grad_at(x):
        out = layer_norm(x, w, b)
        out.g = up
        layer_norm_grad(x, out, w, b)
        return x.g
    change = (grad_at(x + 1e-5*along) - grad_at(x - 1e-5*along)) / 2e-5
    with forward_ad.dual_level():
        moved = forward_ad.unpack_dual(grad_at(forward_ad.make_dual(x, along))).tangent
    assert_close(moved, change, rtol=1e-5, atol=1e-7)

def test_dropout_as_aten():
    x, mask = *drawn((5, 4)), torch.rand(5, 4) >= 0.3
    out = arrived(dropout(x, mask, 0.3))
    dropout_grad(x, out, mask, 0.3)
    assert_close(x.g, OWN.native_dropout_backward(out.g, mask, 1/0.7))

def test_what_is_dropped_is_multiplied_by_0():
    "An infinite number that is dropped becomes nan, there and back, as in torch."
    x, mask = torch.full((40,), torch.inf), torch.arange(40) % 2 > 0
    out = dropout(x, mask, .5)
    out.g = x
    dropout_grad(x, out, mask, .5)
    assert all(torch.equal(t.isnan(), ~mask) for t in (out, x.g))
    assert F.dropout(x, .5).isnan().any()

@pytest.mark.parametrize('far', [0., 100., 1e4])
def test_far_from_zero(far):
    "In float32 a row that lies far from 0 loses no more digits than torch's own."
    x, w, b, up = drawn((6, 50), 50, 50, (6, 50), dtype=torch.float32)
    x = x + far
    grads = []
    for dtype in torch.float32, torch.float64:
        leaves = [t.to(dtype).requires_grad_() for t in (x, w, b)]
        out = F.layer_norm(leaves[0], (50,), *leaves[1:])
        grads.append(torch.autograd.grad(out, leaves, up.to(dtype))[0])
    out = layer_norm(x, w, b); out.g = up
    layer_norm_grad(x, out, w, b)
    theirs, truth = grads
    off, limit = ((g.double() - truth).abs().max() for g in (x.g, theirs))
    assert off <= 3*limit + 1e-6

# ---- modules: modes, buffers, training

def net(*layers):
    return Model([Lin(kaiming(20, 8), torch.zeros(8)), *layers, Lin(kaiming(8, 3), torch.zeros(3))],
                 CrossEntropy())

def data(n=96): return torch.randn(n, 20), torch.arange(n) % 3

def same(a, b): return all(map(torch.equal, a.state().values(), b.state().values()))

@pytest.mark.parametrize('shape', [(6, 8), (4, 8, 3), (4, 8, 3, 2)])
def test_batch_norm_module_as_torch(shape):
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    ours, theirs = BatchNorm(8), kind(8)
    ours.w.copy_(torch.rand(8)); theirs.weight.data.copy_(ours.w)
    for training in True, True, False, True:
        x = torch.randn(shape) * 2 + 3
        ours.train(training); theirs.train(training)
        leaf = x.clone().requires_grad_()
        out, want = arrived(ours(x)), theirs(leaf)
        ours.backward()
        grads = torch.autograd.grad(want, [leaf, *theirs.parameters()], out.g)
        assert_close(out, want.detach())
        for g, h in zip((x.g, ours.w.g, ours.b.g), grads): assert_close(g, h, rtol=1e-4, atol=1e-5)
        assert_close(ours.mean, theirs.running_mean); assert_close(ours.var, theirs.running_var)

def test_running_statistics_move_in_training_alone():
    layer, x = BatchNorm(8), torch.randn(6, 8)
    layer.eval()(x)
    assert torch.equal(layer.mean, torch.zeros(8)) and torch.equal(layer.var, torch.ones(8))
    model, (x, y) = net(BatchNorm(8)), data()
    model.predict(x); accuracy(model, (x, y))
    assert torch.equal(model.layers[1].mean, torch.zeros(8)) and model.training
    model(x, y)
    assert model.layers[1].mean.ne(0).all()

def test_mode_of_the_forward_pass_counts_on_the_way_back():
    layer, x = BatchNorm(8), torch.randn(6, 8)
    out = arrived(layer(x)); layer.backward(); want = x.g
    layer(x).g = out.g
    layer.eval().backward()
    assert_close(x.g, want)

def test_statistics_of_the_forward_pass_count_on_the_way_back():
    layer, x = BatchNorm(8).eval(), torch.randn(6, 8)
    out = arrived(layer(x)); layer.backward(); want = x.g
    out.g = out.g.clone()
    layer.mean.add_(1); layer.var.mul_(4)
    layer.backward()
    assert_close(x.g, want)

@pytest.mark.parametrize('layers', [lambda: [BatchNorm(8), Relu()], lambda: [LayerNorm(8), Relu()],
    lambda: [RMSNorm(8)], lambda: [Residual(BatchNorm(8), Lin(kaiming(8, 8), torch.zeros(8)))],
    lambda: [Residual(Residual(LayerNorm(8)), Relu())]])
def test_whole_model_as_autograd(layers):
    model, (x, y) = net(*layers()), data(9)
    for training in True, False:
        check_grads(model.train(training), x, y)

@pytest.mark.parametrize('layers', [lambda: [BatchNorm(8), Dropout(0.2)], lambda: [Dropout(0.2)]])
def test_stop_and_go_on(tmp_path, layers):
    "The masks come from torch's random numbers; with the same ones, the same weights."
    def start():
        torch.manual_seed(1)
        model = net(*layers())
        return model, SGD(model.parameters(), 0.1, 0.9), data()
    model, opt, train = start()
    once = fit(model, opt, train, 1, train, 16, progress=False)
    save_state(tmp_path/'a', model, opt, once); drawn_so_far = torch.get_rng_state()
    whole = fit(model, opt, train, 1, train, 16, history=once, progress=False)
    again, opt2, train = start()
    for t in again.state().values(): t.fill_(0.5)
    history = load_state(tmp_path/'a', again, opt2)
    torch.set_rng_state(drawn_so_far)
    fit(again, opt2, train, 1, train, 16, history=history, progress=False)
    assert same(model, again) and history == whole

def test_an_epoch_undone_puts_running_statistics_back():
    model, (x, y) = net(BatchNorm(8)), data()
    before = copy.deepcopy(model)
    x[40] = torch.nan
    with pytest.raises(FloatingPointError):
        fit(model, SGD(model.parameters(), 0.1), (x, y), 1, batch_size=16, progress=False)
    assert same(model, before)

def test_dropout_in_use_changes_nothing():
    x = torch.randn(5, 4)
    layer = Dropout(0.9).eval()
    out = arrived(layer(x)); layer.backward()
    assert out is not x and torch.equal(out, x)
    assert torch.equal(x.g, out.g) and x.g is not out.g

def test_dropout_keeps_what_is_drawn_from_p_on(monkeypatch):
    "So that p is how probable it is to be dropped, and with p of 0 nothing ever is."
    monkeypatch.setattr(torch, 'rand', lambda *shape, **how: torch.tensor([0., .25, .5, .75]))
    for p, kept in (.5, [0, 0, 2, 2]), (0, [1]*4): assert Dropout(p)(torch.ones(4)).tolist() == kept

def test_residual_refuses_to_broadcast():
    with pytest.raises(ShapeError): Residual(Lin(torch.ones(3, 1), torch.ones(1)))(torch.ones(4, 3))

# ---- slips of the field, and which of six checks in common use lets them pass

def pieces(inp, out, w):
    r = (inp.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt()
    return r, r * (inp - inp.mean(-1, keepdim=True)), out.g

def rest(inp, out, w, b):
    _, xhat, g = pieces(inp, out, w)
    rows = [*range(inp.dim() - 1)]
    w.g, b.g = (g * xhat).sum(rows), g.sum(rows)

def m(t): return t.mean(-1, keepdim=True)

def dx(change):
    def slip(inp, out, w, b):
        r, xhat, g = pieces(inp, out, w)
        rest(inp, out, w, b)
        inp.g = change(r, xhat, g, w)
    return slip

def one_number(inp, out, w, b):
    layer_norm_grad(inp, out, w, b)
    w.g = w.g.sum().expand(w.shape).clone()
def two_axes(inp, out, w, b):
    layer_norm_grad(inp, out, w, b)
    _, xhat, g = pieces(inp, out, w)
    w.g, b.g = (g * xhat).sum(0), g.sum(0)
def no_upstream(inp, out, w, b):
    ones = out.clone(); ones.g = torch.ones_like(out)
    layer_norm_grad(inp, ones, w, b)
def never_learns(inp, out, w, b):
    layer_norm_grad(inp, out, w, b)
    w.g = torch.zeros_like(w)
def last_rows_lost(inp, out, w, b):
    layer_norm_grad(inp, out, w, b)
    inp.g = torch.cat([inp.g[:-1], 0*inp.g[-1:]])

SLIPS = {
    'weight left out': dx(lambda r, xh, g, w: r * (g - m(g) - xh * m(g*xh))),
    'weight twice': dx(lambda r, xh, g, w: r * (g*w*w - m(g*w*w) - xh * m(g*w*w*xh))),
    'weight outside': dx(lambda r, xh, g, w: w * r * (g - m(g) - xh * m(g*xh))),
    'no way through mean and spread': dx(lambda r, xh, g, w: r*g*w),
    'no way through the mean': dx(lambda r, xh, g, w: r * (g*w - xh * m(g*w*xh))),
    'no way through the spread': dx(lambda r, xh, g, w: r * (g*w - m(g*w))),
    'upstream dropped': no_upstream, 'one number for all weights': one_number,
    'two axes assumed': two_axes, 'weight never learns': never_learns,
    'last rows lost': last_rows_lost}

def agrees(slip, shape=(2, 4, 5), w=None, up=torch.randn_like, atol=1e-8):
    "Do all gradients of a slip agree with autograd's, on inputs of this kind?"
    x, b = drawn(shape, 5)
    w = drawn(5)[0] if w is None else w
    leaves = [t.clone().requires_grad_() for t in (x, w, b)]
    value = F.layer_norm(leaves[0], (5,), *leaves[1:])
    out = value.detach().clone()
    out.g = up(out)
    slip(x, out, w, b)
    want = torch.autograd.grad(value, leaves, out.g)
    return all(t.g.shape == g.shape and torch.allclose(t.g, g, rtol=0, atol=atol)
               for t, g in zip((x, w, b), want))

def of_a_mean(out): return torch.randn_like(out) / 500              # in a loss that is a mean

CHECKS = {  # what it does otherwise than a good one, and what it lets pass
    '.sum().backward()': (dict(up=torch.ones_like), {'upstream dropped'}),
    'weights of 1': (dict(w=torch.ones(5).double()),
                     {'weight left out', 'weight twice', 'weight outside'}),
    'two axes': (dict(shape=(4, 5)), {'two axes assumed'}),
    'absolute tolerance 2e-2': (dict(up=of_a_mean), {*SLIPS} - {'upstream dropped',
                                                                'two axes assumed'}),
    'no repeated index': ({}, set()), 'one rank': ({}, set())}  # a norm has neither

@pytest.mark.parametrize('check', CHECKS)
def test_what_a_common_check_misses(check):
    how, want = CHECKS[check]
    atol = 2e-2 if 'tolerance' in check else 1e-8
    assert {name for name, slip in SLIPS.items() if agrees(slip, **how, atol=atol)} == want

def test_the_gradient_itself_passes_them_all():
    for how, _ in CHECKS.values(): assert agrees(layer_norm_grad, **how)

@pytest.mark.parametrize('name', SLIPS)
def test_ours_refuses(name):
    shapes = [(2, 4, 5)] if name == 'two axes assumed' else [(4, 5), (2, 4, 5)]
    for shape in shapes:
        said = refused(check_grads, layer_norm, SLIPS[name], *drawn(shape, 5, 5))
        assert said.startswith('CheckError') and ('is wrong' in said or 'has shape' in said)
