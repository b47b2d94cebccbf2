"""Costs beside PyTorch's own counter and beside what can be counted by hand; each planted fault of
the counter is seen. The scale of a loss: the same steps as without, left out where something is
infinite, and never a gradient that still has the scale in it."""
import math
import pytest, torch
from test_properties import Nth
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from backprop_nb import cost as module
from backprop_nb.all import *

every = pytest.mark.parametrize('name', OPS)

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

def by_torch(f, *args):
    with FlopCounterMode(display=False, custom_mapping=OWN) as counter: f(*args)
    return counter.get_total_flops()

def pairs(q, k, v, *args, out_shape=None, **how):
    return 2 * math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
OWN = {getattr(torch.ops.aten, n): pairs for n in ['_scaled_dot_product_flash_attention_for_cpu']
       if hasattr(torch.ops.aten, n)}

# ---- the counter

@every
def test_products_as_torch_counts_them(name):
    op = OPS[name]
    for n in range(4):
        xs = op.inputs(Nth(n))
        out = op.forward(*xs).clone()
        out.g = torch.randn_like(out)
        assert cost(op.forward, *xs).products == by_torch(op.forward, *xs)
        assert cost(op.back, out, *xs).products == by_torch(op.back, out, *xs)

@pytest.mark.parametrize('f, bytes, others', [
    (lambda x: x + x, 3*80, 20), (lambda x: x.exp(), 2*80, 20), (lambda x: x.sum(), 84, 20),
    (lambda x: x.view(4, 5).t()[1:], 0, 0), (lambda x: x.clone().mul_(2), 4*80, 40),
    (lambda x: torch.empty(7), 0, 0), (lambda x: x.double(), 80 + 160, 20),
    (lambda x: torch.cat([x, x]), 4*80, 40), (lambda x: x[[0, 2]], 80 + 16 + 32, 20)])
def test_bytes_and_others(f, bytes, others):
    "Read once, written once; a view moves nothing, and empty memory is not written."
    c = cost(f, torch.randn(5, 4))
    assert (c.bytes, c.others, c.products) == (bytes, others, 0)

def test_kept_and_peak():
    "Bytes of new tensors: at the end, and the most at one time."
    x = torch.randn(100)
    assert cost(lambda: x * 2)[3:] == (400, 400)
    assert cost(lambda: (x * 2).exp())[3:] == (400, 800)
    assert cost(lambda: ((x * 2).exp() * 3).sqrt())[3:] == (400, 800)
    assert cost(lambda: (x * 2).exp_().sum().item())[3:] == (0, 404)
    assert cost(lambda: x.view(10, 10).t())[3:] == (0, 0)
    assert cost(lambda: (x * 2)[:10])[3:] == (400, 400)         # a view holds all of its memory
    held = []
    assert cost(lambda: held.append(x * 2))[3:] == (400, 400)
    assert cost(held.clear)[3:] == (0, 0)

def test_what_is_held_elsewhere_lives_on():
    memo = {}
    def f(): memo['y'] = torch.ones(50); return torch.ones(5)
    assert cost(f).kept == 220 and memo['y'].sum() == 50

@pytest.mark.parametrize('fault', [
    lambda m: m.setattr(module, '_of_attention', lambda q, k, v, *_, **__: 0),
    lambda m: m.setattr(module, '_formulas', dict),
    lambda m: m.setattr(module, '_memory_of', lambda t: t.clone().untyped_storage()),
    lambda m: m.setattr(module._Counts, 'held', lambda self: 0)])
def test_a_fault_is_seen(fault, monkeypatch):
    q = torch.randn(2, 3, 10, 8)
    x, w, b = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)
    def right():
        return (cost(attention, q, q, q).products == 2*6*100*16 and
                cost(lin, x, w, b) == (120, 0, 200, 60, 60) and cost(x.view, 20).bytes == 0)
    assert right()
    fault(monkeypatch)
    assert not right()

def test_attention_is_counted_whatever_kernel_runs():
    "With and without a mask, for sizes and dtypes that go to several kernels."
    for dtype in torch.float32, torch.float64, torch.bfloat16:
        for shape, mask in ((2, 3, 10, 8), None), ((2, 3, 10, 8), torch.ones(10, 10).bool().tril()):
            q, k, v = torch.randn(3, *shape).to(dtype)
            assert cost(attention, q, k, v, mask).products == 2*6*100*16

def test_an_error_comes_through_and_leaves_nothing():
    with pytest.raises(ShapeError): cost(lin, torch.randn(5, 3), torch.randn(4, 3), torch.randn(3))
    assert cost(lambda: torch.ones(3)).kept == 12

# ---- layers of a model

def test_costs_add_up_to_those_of_the_model():
    model, x, targ = Model(mlp(9, 7, 5, 4), CrossEntropy()), torch.randn(6, 9), torch.arange(6) % 4
    there, back = zip(*costs(model, x, targ).values())
    whole = cost(model, x, targ), cost(model.backward)
    for parts, c in zip((there, back), whole):
        assert sum(p.products for p in parts) == c.products
        assert sum(p.bytes for p in parts) == c.bytes
    assert [c.products for c in there] == [2*6*63, 0, 2*6*35, 0, 2*6*20, 0]
    assert [c.products for c in back] == [2*6*63, 0, 4*6*35, 0, 4*6*20, 0]
    assert [*costs(model, x, targ)] == ['0 Lin', '1 Relu', '2 Lin', '3 Relu', '4 Lin', 'loss']

def test_costs_leaves_the_model_as_it_was():
    layers = [Flatten(), Lin(torch.randn(6, 5), torch.zeros(5)), BatchNorm(5)]
    model, x, targ = Model(layers, Mse()), torch.randn(4, 2, 3), torch.randn(4, 5)
    model(x, targ)
    outs, state = [m.out for m in model.modules()], {n: t.clone() for n, t in model.state().items()}
    rows = costs(model, x + 1, targ)
    assert all(m.out is out for m, out in zip(model.modules(), outs))
    for n, t in model.state().items(): assert torch.equal(t, state[n])
    assert rows['0 Flatten'][1] == (0, 0, 0, 0, 0)          # nobody asks for what is before it
    model.backward()                                        # of the pass before

# ---- the scale of a loss

def pair(dtype=torch.float16, **how):
    model = Model(mlp(9, 7, 4), CrossEntropy())
    for p in model.parameters(): p.data = p.data.to(dtype)
    return model, LossScale(model.parameters(), **how)

def data(): return torch.randn(6, 9), torch.arange(6) % 4

def went(model, scaled, x, targ):
    loss = model(x.to(model.parameters()[0].dtype), targ)
    scaled.start(loss)
    model.backward()
    return scaled.unscale()

@pytest.mark.parametrize('scale', [1., 2.**7, 2.**14])
def test_unscaled_gradients_are_those_of_the_loss(scale):
    model, scaled = pair(scale=scale)
    exact = Model([Lin(*[p.double() for p in model.parameters()[:2]]), Relu(),
                   Lin(*[p.double() for p in model.parameters()[2:]])], CrossEntropy())
    x, targ = data()
    assert went(model, scaled, x, targ)
    exact(x.half().double(), targ); exact.backward()
    for m, p in zip(scaled.masters, exact.parameters()):
        assert m.dtype is m.g.dtype is torch.float32
        assert_close(m.g.double(), p.g, rtol=0, atol=3e-3 * p.g.abs().max().item())

def test_small_gradients_survive():
    "A gradient of 2^-30 of the loss: lost without a scale, right to all digits with one."
    for scale, want in (1., 0.), (2.**12, 2.**-30):
        w = torch.ones(1, dtype=torch.float16)
        scaled = LossScale([w], scale)
        loss = w.sum()
        scaled.start(loss)
        w.g = loss.g * torch.tensor([2.**-15]).half() * torch.tensor(2.**-15).half()
        assert scaled.unscale() and scaled.masters[0].g.item() == want

def test_masters_keep_steps_that_are_too_small_to_see():
    w = torch.ones(1, dtype=torch.bfloat16)
    scaled = LossScale([w])
    opt = SGD(scaled.masters, 1.)
    for _ in range(8):
        w.g = torch.full_like(w, 2.**-10 * scaled.scale)
        assert scaled.unscale()
        opt.step(); scaled.put_back()
    assert scaled.masters[0].item() == 1 - 2.**-7 and w.item() == 1 - 2.**-7
    assert (torch.ones(1).bfloat16() - 2.**-10).item() == 1

def test_a_step_is_left_out_and_the_scale_halved():
    for bad in math.inf, -math.inf, math.nan:
        w = torch.ones(3).half()
        scaled = LossScale([w], 2.**10, every=3)
        w.g = torch.tensor([1., bad, 1.]).half()
        assert not scaled.unscale() and scaled.scale == 2.**9
        assert scaled.masters[0].g is None and w.g is None

def test_the_scale_doubles_after_good_steps_in_a_row():
    w = torch.ones(3).half()
    scaled = LossScale([w], 2.**12, every=3)
    seen = []
    for good in [1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]:
        w.g = torch.full_like(w, 1. if good else math.inf)
        assert scaled.unscale() == bool(good)
        seen.append(math.log2(scaled.scale))
    assert seen == [12, 12, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15]
    for _ in range(9): w.g = torch.ones_like(w); scaled.unscale()
    assert scaled.scale == 2.**15                           # 2^16 is not a float16

def test_training_as_in_float32():
    x, targ = data()
    torch.manual_seed(1); half, scaled = pair(scale=2.**10)
    torch.manual_seed(1); wide, _ = pair(torch.float32)
    for p, m in zip(wide.parameters(), scaled.masters): p.copy_(m)
    a, b = SGD(scaled.masters, .3), SGD(wide.parameters(), .3)
    for _ in range(20):
        assert went(half, scaled, x, targ)
        clip_grads(scaled.masters, .5); a.step(); scaled.put_back()
        wide(x, targ); wide.backward(); clip_grads(wide.parameters(), .5); b.step()
    for p, m in zip(wide.parameters(), scaled.masters): assert_close(m, p, rtol=0, atol=2e-2)

def test_clipped_first_is_another_gradient():
    "The slip: everything is as long as what is allowed, divided by the scale."
    x, targ = data()
    lengths = []
    for first in False, True:
        model, scaled = pair()
        loss = model(x.half(), targ)
        scaled.start(loss); model.backward()
        if first: clip_grads(model.parameters(), 1.)
        assert scaled.unscale()
        lengths.append(clip_grads(scaled.masters, 1.))
    assert lengths[0] > .05 and abs(lengths[1] * scaled.scale - 1) < .02

def test_masters_have_gradients_only_in_between():
    model, scaled = pair()
    x, targ = data()
    with pytest.raises(UpstreamError): clip_grads(scaled.masters, 1.)
    assert went(model, scaled, x, targ)
    clip_grads(scaled.masters, 1.)
    with pytest.raises(UpstreamError): scaled.unscale()             # there is nothing new
    scaled.put_back()
    with pytest.raises(UpstreamError): SGD(scaled.masters, .1).step()

def test_no_end_without_a_word():
    w = torch.ones(2).half()
    scaled = LossScale([w], 1.)
    with pytest.raises(DivergenceError, match='no longer finite at any scale'):
        for _ in range(30):
            w.g = torch.full_like(w, math.nan)
            scaled.unscale()

def test_gradients_are_linear_in_what_arrives():
    "Of every operation, to the last bit for a power of two: what the scale rests on."
    for op in OPS.values():
        xs = op.inputs(Nth(1))
        if op.name == 'forward_and_backward': continue
        out = op.forward(*xs).clone()
        up = torch.randn_like(out)
        found = []
        for s in 1., 2.**9:
            out.g = s * up
            op.back(out, *xs)
            found.append([xs[k].g / s for k in op.wrt(xs)])
        for a, b in zip(*found): assert_close(a, b, rtol=1e-12, atol=1e-12)

def test_a_first_layer_costs_half():
    x, w, b = torch.randn(5, 4), torch.randn(4, 3), torch.randn(3)
    z = lin(x, w, b); z.g = torch.randn_like(z)
    assert cost(lin_grad, x, z, w, b, False).products == cost(lin, x, w, b).products
