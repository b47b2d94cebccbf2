"""Attention against torch, entry by entry; its laws, in blocks, in heads; the slips of the field
planted, and which of the checks in common use would let them pass."""
import math
import pytest, torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.testing import assert_close
from backprop_nb.attention import (Attention, Gelu, Silu, attention, attention_blocks,
                                   attention_blocks_grad, attention_grad, gelu, gelu_grad, silu,
                                   silu_grad)
from backprop_nb.gradcheck import check_grads
from backprop_nb.operation import OPS, Draw

def double(*shape): return torch.randn(shape, dtype=torch.float64)

def inputs(*front, T=5, S=7, d=4, e=6):
    return [double(*front, *s) for s in ((T, d), (S, d), (S, e))]

def causal(T, S=None): return torch.ones(T, S or T, dtype=torch.bool).tril()

def by_hand(args, up, mask=None, backward=attention_grad):
    out = attention(*args, mask)
    out.g = up
    backward(args[0], out, *args[1:], mask)
    return out, [t.g for t in args]

def by_torch(args, up, mask=None, **how):
    leaves = [t.clone().requires_grad_() for t in args]
    out = F.scaled_dot_product_attention(*leaves, mask, **how)
    return out.detach(), torch.autograd.grad(out, leaves, up)

MASKS = {'none': lambda T, S: None, 'causal': causal, 'all': lambda T, S: causal(T, S) | True,
         'row': lambda T, S: (torch.arange(S) != S - 1)[None] | (S == 1),
         'random': lambda T, S: (torch.rand(T, S) > .5) | (torch.arange(S) == 0),
         'each': lambda T, S: (torch.rand(2, 1, T, S) > .5) | (torch.arange(S) == 0)}

@pytest.mark.parametrize('sizes', [(5, 7, 4, 6), (1, 1, 1, 1), (1, 9, 3, 2), (9, 1, 2, 3),
                                   (8, 8, 4, 4)], ids=str)
@pytest.mark.parametrize('name', MASKS)
def test_as_torch_entry_by_entry(name, sizes):
    torch.manual_seed(0)
    T, S, d, e = sizes
    args, up, mask = inputs(2, 3, **dict(zip('TSde', sizes))), double(2, 3, T, e), MASKS[name](T, S)
    (out, got), (want, grads) = by_hand(args, up, mask), by_torch(args, up, mask)
    assert_close(out, want, rtol=1e-12, atol=1e-13)
    for g, true in zip(got, grads): assert_close(g, true, rtol=1e-9, atol=1e-12)

@pytest.mark.parametrize('front', [(), (2,), (2, 3), (2, 1, 3), (0,), (3, 0)], ids=str)
def test_any_axes_in_front(front):
    args, up = inputs(*front), double(*front, 5, 6)
    (out, got), (want, grads) = by_hand(args, up, causal(5, 7)), by_torch(args, up, causal(5, 7))
    assert_close(out, want)
    for g, true in zip(got, grads): assert_close(g, true)

@pytest.mark.parametrize('front', [(), (2, 3)], ids=str)
def test_nothing_to_see(front):
    "Zeros, and no gradient from there; everything else as if the query were not there."
    mask = causal(5, 7)
    mask[2] = False
    args, up = inputs(*front), double(*front, 5, 6)
    out, (q_g, k_g, v_g) = by_hand(args, up, mask)
    assert not out[..., 2, :].any() and not q_g[..., 2, :].any()
    rest = [0, 1, 3, 4]
    others = [args[0][..., rest, :].clone(), *(t.clone() for t in args[1:])]
    less, grads = by_hand(others, up[..., rest, :], mask[rest])
    for a, b in zip((out[..., rest, :], q_g[..., rest, :], k_g, v_g), (less, *grads)):
        assert_close(a, b)
    for t in by_hand(args, up, mask & False)[1]: assert not t.any()

@pytest.mark.parametrize('S', [0, 3])
def test_no_keys_or_no_queries(S):
    args = inputs(2, T=3 - S, S=S)
    out, got = by_hand(args, double(2, 3 - S, 6))
    assert out.shape == (2, 3 - S, 6) and not out.any()
    assert all(g.shape == t.shape and not g.any() for g, t in zip(got, args))

def test_a_mask_that_broadcasts():
    "A mask for the keys alone, or the queries alone, is what its table would be."
    args, up = inputs(2, 3), double(2, 3, 5, 6)
    row, column = (torch.arange(7) < 4)[None], torch.arange(5)[:, None] < 3
    for small in row, column, torch.rand(2, 1, 1, 7) > .3, torch.rand(3, 5, 7) > .3:
        table = small.expand(2, 3, 5, 7).clone()
        for a, b in zip(by_hand(args, up, small), by_hand(args, up, table)):
            assert all(map(torch.equal, a, b))

def test_inputs_are_left_alone():
    args, up, mask = inputs(2), double(2, 5, 6), causal(5, 7)
    mask[0] = False
    kept = [t.clone() for t in (*args, up, mask)]
    by_hand(args, up, mask)
    assert all(map(torch.equal, (*args, up, mask), kept))

# ---- laws

def test_laws():
    torch.manual_seed(0)
    args, up, mask = inputs(2, 3, T=6, S=6), double(2, 3, 6, 6), causal(6)
    out, (q_g, k_g, v_g) = by_hand(args, up, mask)
    assert_close(k_g.sum(-2), torch.zeros(2, 3, 4).double(), rtol=0, atol=1e-12)  # a keys' bias
    assert_close(v_g.sum(-2), up.sum(-2))                       # a values' bias is seen by all
    bias = double(4)
    assert_close(attention(args[0], args[1] + bias, args[2], mask), out)
    dots = [(t * g).sum() for t, g in zip(args[:2], (q_g, k_g))]
    assert_close(dots[0], dots[1])          # q and k stand in the scores as a product
    assert_close((args[2] * v_g).sum((-2, -1)), (up * out).sum((-2, -1)))   # linear in the values
    order = torch.randperm(6)
    moved = [args[0], args[1][..., order, :], args[2][..., order, :]]
    assert_close(attention(*moved, mask[:, order]), out)

def test_one_key_takes_it_all():
    args, up = inputs(2, S=1), double(2, 5, 6)
    out, (q_g, k_g, v_g) = by_hand(args, up)
    assert_close(out, args[2].expand_as(out))
    for g in q_g, k_g: assert_close(g, torch.zeros_like(g), rtol=0, atol=1e-14)
    assert_close(v_g, up.sum(-2, keepdim=True))

# ---- in blocks

def by_blocks(args, up, size):
    out = attention_blocks(*args, True, size)
    out.g = up
    attention_blocks_grad(args[0], out, *args[1:], True, size)
    return out, *(t.g for t in args)

@pytest.mark.parametrize('size', [1, 2, 3, 5, 7, 100])
@pytest.mark.parametrize('see_back', [True, False])
@pytest.mark.parametrize('T, S', [(7, 7), (5, 9), (9, 5), (1, 6), (6, 1)])
def test_blocks(T, S, see_back, size):
    torch.manual_seed(0)
    args, up = inputs(2, 3, T=T, S=S), double(2, 3, T, 6)
    want, grads = by_torch(args, up, causal(T, S) if see_back else None)
    out = attention_blocks(*args, see_back, size)
    assert_close(out, want, rtol=1e-12, atol=1e-13)
    Z = (args[0] @ args[1].mT / 2).masked_fill(~causal(T, S) & see_back, -math.inf)
    assert_close(out.lse, Z.logsumexp(-1, keepdim=True))
    for bare in False, True:
        if bare: out = out.clone()                          # without its lse
        out.g = up
        attention_blocks_grad(args[0], out, *args[1:], see_back, size)
        for t, true in zip(args, grads): assert_close(t.g, true, rtol=1e-9, atol=1e-12)

def test_blocks_of_nothing():
    for T, S in (0, 3), (3, 0), (0, 0):
        args = inputs(2, T=T, S=S)
        out = attention_blocks(*args)
        out.g = torch.ones_like(out)
        attention_blocks_grad(args[0], out, *args[1:])
        assert out.shape == (2, T, 6) and not out.any()
        assert all(t.g.shape == t.shape and not t.g.any() for t in args)

@pytest.mark.parametrize('size', [1, 2, 4, 100])
def test_blocks_of_later_keys_are_not_touched(size):
    "Keys beyond the last query's block may be anything; theirs is a gradient of 0."
    args, up = inputs(2, T=4, S=8), double(2, 4, 6)
    (_, *wanted), last = by_blocks([t[:, :4].clone() for t in args], up, size), min(8, max(4, size))
    for t in args[1:]: t[:, last:] = math.nan
    (out, q_g, k_g, v_g) = by_blocks(args, up, size)
    assert out.isfinite().all()
    for got, want in zip((q_g, k_g[:, :4], v_g[:, :4]), wanted): assert_close(got, want)
    assert not k_g[:, 4:].any() and not v_g[:, 4:].any()

class Last(Draw):
    def pick(self, *options): return options[-1]

def test_the_record_draws_both_ways():
    "The tests on random inputs are of blocks that look back only, and of others."
    assert {OPS['attention_blocks'].inputs(draw())[3] for draw in (Draw, Last)} == {True, False}

def test_blocks_far_out():
    "Scores of a thousand, which no power of e holds."
    args = [100 * t for t in inputs(T=6, S=6)]
    assert_close(attention_blocks(*args, True, 2), attention(*args, causal(6)))

# ---- heads

def theirs(layer):
    net = nn.MultiheadAttention(layer.width, layer.heads, batch_first=True).double()
    with torch.no_grad():
        for p, value in zip(net.parameters(), layer.parameters()): p.copy_(value.t())
    return net

def doubled(layer):
    for l in layer.qkv, layer.proj: l.w, l.b = double(*l.w.shape), double(*l.b.shape)
    return layer

@pytest.mark.parametrize('N, T, width, heads', [(2, 5, 6, 3), (1, 1, 4, 2), (3, 7, 5, 1),
                                                (2, 3, 4, 4), (0, 3, 4, 2)])
@pytest.mark.parametrize('see_back', [True, False])
def test_heads_as_torch(N, T, width, heads, see_back):
    torch.manual_seed(0)
    layer = doubled(Attention(width, heads, see_back))
    net, x, up = theirs(layer), double(N, T, width), double(N, T, width)
    leaf = x.clone().requires_grad_()
    out, _ = net(leaf, leaf, leaf, attn_mask=~causal(T) if see_back else None, need_weights=False)
    grads = torch.autograd.grad(out, [leaf, *net.parameters()], up)
    assert_close(layer(x), out.detach())
    layer.out.g = up
    layer.backward()
    for t, g in zip((x, *layer.parameters()), grads):
        assert_close(t.g, g.t() if g.dim() == 2 else g)
    first = [p.g for p in layer.parameters()]
    layer.backward(input_grad=False)
    assert x.g is None and all(map(torch.equal, first, [p.g for p in layer.parameters()]))
    assert_close(layer.qkv.b.g[width:2*width], torch.zeros(width).double(), rtol=0, atol=1e-12)

def test_what_is_learned():
    layer = Attention(6, 3)
    assert [n for n, _ in layer.named_parameters()] == ['qkv.w', 'qkv.b', 'proj.w', 'proj.b']
    assert [tuple(p.shape) for p in layer.parameters()] == [(6, 18), (18,), (6, 6), (6,)]
    layer(torch.randn(2, 5, 6))
    assert layer.num_parameters() == 6*18 + 18 + 36 + 6 and not layer.buffers()
    torch.manual_seed(0)
    big = Attention(256)
    for l in big.qkv, big.proj:
        assert not l.b.any() and abs(l.w.std() * 16 - 1) < .02

def test_no_step_sees_a_later_one():
    layer, x = Attention(6, 3), torch.randn(2, 5, 6)
    other = x.clone()
    other[:, 3:] += 1
    one, two = layer(x), layer(other)
    assert_close(one[:, :3], two[:, :3], rtol=0, atol=0)
    assert not torch.allclose(one[:, 3:], two[:, 3:])
    for k in range(5):                                      # and so no gradient goes there
        layer(x).g = F.one_hot(torch.tensor(k), 5).float()[None, :, None].expand(2, 5, 6)
        layer.backward()
        assert not x.g[:, k + 1:].any() and x.g[:, :k + 1].abs().sum((0, 2)).all()

# ---- activations

ACTIVATIONS = [(gelu, gelu_grad, (False,), torch.ops.aten.gelu_backward, {'approximate': 'none'}),
               (gelu, gelu_grad, (True,), torch.ops.aten.gelu_backward, {'approximate': 'tanh'}),
               (silu, silu_grad, (), torch.ops.aten.silu_backward, {})]

@pytest.mark.parametrize('f, f_grad, how, aten, kind', ACTIVATIONS, ids=['gelu', 'tanh', 'silu'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_activation_as_aten(f, f_grad, how, aten, kind, dtype):
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.zeros(1)]).to(dtype)
    out = f(x, *how)
    out.g = up = torch.randn_like(x)
    f_grad(x, out, *how)
    atol = 2e-6 if dtype is torch.float32 else 1e-14
    assert_close(x.g, aten(up, x, **kind), rtol=1e-5, atol=atol)

@pytest.mark.parametrize('f, f_grad, how, aten, kind', ACTIVATIONS, ids=['gelu', 'tanh', 'silu'])
def test_activation_far_out(f, f_grad, how, aten, kind):
    "0 on the far left, x on the far right; the slopes 0 and 1."
    for size in 1e2, 1e6, 1e15:
        x = torch.tensor([-size, size])
        out = f(x, *how)
        out.g = torch.tensor([3., 3.])
        f_grad(x, out, *how)
        assert_close(out, torch.tensor([0, size])); assert_close(x.g, torch.tensor([0., 3]))

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_gelu_grad_where_its_output_is_nothing(dtype):
    "Phi is out / x, but 1/2 at 0 and where x is so small that out has no digits left."
    tiny, eps = torch.finfo(dtype).tiny, torch.finfo(dtype).eps
    sizes = torch.tensor([0, tiny * eps, 3 * tiny * eps, tiny / 8, tiny, 1e-30], dtype=dtype)
    x = torch.cat([sizes, -sizes])
    out = gelu(x)
    out.g = torch.randn_like(x)
    gelu_grad(x, out)
    assert_close(x.g, out.g / 2)

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_gelu_grad_of_half_floats_has_all_digits(dtype):
    x = torch.linspace(-4, 4, 777).to(dtype)
    wide, (out, exact) = x.float(), (gelu(x), gelu(x.float()))
    out.g, exact.g = torch.ones_like(x), torch.ones_like(wide)
    gelu_grad(x, out); gelu_grad(wide, exact)
    assert torch.equal(x.g, wide.g.to(dtype))

def test_gelu_grad_has_a_slope_at_0():
    "That of Phi + x phi is (2 - x^2) phi, forward and through autograd, at 0 and close to it."
    x = torch.tensor([0., 1e-9, -1e-5, .3, -2]).double()
    want = (2 - x*x) * torch.exp(-x*x/2) / math.sqrt(2*math.pi)
    with forward_ad.dual_level():
        moving = forward_ad.make_dual(x, torch.ones_like(x))
        out = gelu(moving)
        out.g = torch.ones_like(x)
        gelu_grad(moving, out)
        assert_close(forward_ad.unpack_dual(moving.g).tangent, want, rtol=1e-12, atol=1e-14)
    leaf = x.clone().requires_grad_()
    out = gelu(leaf)
    out.g = torch.ones_like(x)
    gelu_grad(leaf, out)
    assert_close(torch.autograd.grad(leaf.g.sum(), leaf)[0], want, rtol=1e-12, atol=1e-14)

def test_activation_modules():
    x = double(3, 4)
    for layer, out in (Gelu(), gelu(x)), (Gelu(True), gelu(x, True)), (Silu(), silu(x)):
        assert torch.equal(layer(x), out) and not layer.parameters()
        check_grads(layer, double(3, 5))
    assert not torch.equal(gelu(x), gelu(x, True))

def test_forms_do_not_mix():
    for one in False, True:
        with pytest.raises(AssertionError, match='is wrong'):
            check_grads(lambda x: gelu(x, one), lambda inp, out: gelu_grad(inp, out, not one),
                        torch.tensor([-2., .5, 1.]))

# ---- slips of the field, and the checks in common use

def weights(q, k, mask):
    Z = q @ k.mT / math.sqrt(q.shape[-1])
    return (Z if mask is None else Z.masked_fill(~mask, -math.inf)).softmax(-1)

def slip(dZ_of=None, A_of=weights):
    def backward(q, out, k, v, mask=None):
        A = A_of(q, k, mask)
        dA = out.g @ v.mT
        dZ = dZ_of(A, dA, out) if dZ_of else A * (dA - (A * dA).sum(-1, keepdim=True))
        dZ = dZ / math.sqrt(q.shape[-1])
        q.g, k.g, v.g = dZ @ k, dZ.mT @ q, A.mT @ out.g
    return backward

def after(change):
    def backward(q, out, k, v, mask=None):
        attention_grad(q, out, k, v, mask)
        change(q, out, k, v, mask)
    return backward

def scale_lost(q, out, k, v, mask): q.g = q.g * math.sqrt(q.shape[-1])
def scale_twice(q, out, k, v, mask): k.g = k.g / math.sqrt(k.shape[-1])
def scale_of_values(q, out, k, v, mask):
    for t in q, k: t.g = t.g * math.sqrt(q.shape[-1] / v.shape[-1])
def upstream_dropped(q, out, k, v, mask):
    other = out.clone()
    other.g = torch.ones_like(out)
    attention_grad(q, other, k, v, mask)
def first_head_only(q, out, k, v, mask): k.g = k.g * (torch.arange(k.shape[1]) < 1)[:, None, None]
def sign(q, out, k, v, mask): k.g = -k.g
def mean_over_queries(q, out, k, v, mask): v.g = v.g / q.shape[-2]
def values_not_turned(q, out, k, v, mask):
    if q.shape[-2] == k.shape[-2]: v.g = weights(q, k, mask) @ out.g
    else: v.g = v.g + 1
def percent_off(q, out, k, v, mask): q.g = 1.005 * q.g

SLIPS = {  # what is done wrong
    'softmax as if elementwise': slip(lambda A, dA, out: A * (1 - A) * dA),
    'mean left out': slip(lambda A, dA, out: A * dA),
    'mean without weights': slip(lambda A, dA, out: A * (dA - dA.mean(-1, keepdim=True))),
    'mean over the queries': slip(lambda A, dA, out: A * (dA - (A * dA).sum(-2, keepdim=True))),
    'weights left out': slip(lambda A, dA, out: dA - (A * dA).sum(-1, keepdim=True)),
    'mask forgotten': slip(None, lambda q, k, mask: weights(q, k, None)),
    'softmax along the queries': slip(None, lambda q, k, mask: (
        q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9).softmax(-2)),
    **{f.__name__: after(f) for f in (
        scale_lost, scale_twice, scale_of_values, upstream_dropped, first_head_only, sign,
        mean_over_queries, values_not_turned, percent_off)}}

def agrees(backward, up=torch.randn_like, mask=causal(5, 7), tol=1e-6, small=1., front=(2, 3),
           **how):
    "Does a check of this kind let the gradient pass?"
    torch.manual_seed(1)
    args = [small * t for t in inputs(*front, **how)]
    if mask is not None: mask = mask[:args[0].shape[-2], :args[1].shape[-2]]
    up = up(attention(*args, mask))
    got, want = by_hand(args, up, mask, backward)[1], by_torch(args, up, mask)[1]
    return all(torch.allclose(a, b, rtol=0, atol=tol) for a, b in zip(got, want))

everything = causal(5, 7) | True
COMMON = {  # a check in common use, and the slips that it lets pass
    'ones for upstream': (dict(up=torch.ones_like), {'upstream_dropped'}),
    'no mask': (dict(mask=everything), {'mask forgotten'}),
    'one feature': (dict(d=1), {'scale_lost', 'scale_twice'}),
    'one query': (dict(T=1, mask=everything), {'mask forgotten', 'mean_over_queries'}),
    'features alike': (dict(d=6), {'scale_of_values'}),
    'one head': (dict(front=(2, 1)), {'first_head_only'}),
    'an absolute tolerance of 2e-2': (dict(tol=2e-2, small=.1), {
        'softmax as if elementwise', 'scale_lost', 'scale_twice', 'scale_of_values',
        'percent_off'})}

@pytest.mark.parametrize('name', COMMON)
def test_what_a_common_check_lets_pass(name):
    how, want = COMMON[name]
    passed = {n for n, f in SLIPS.items() if agrees(f, **how)}
    assert passed == want, passed

@pytest.mark.parametrize('name', SLIPS)
def test_ours_refuses_all(name):
    torch.manual_seed(1)
    with pytest.raises(AssertionError, match='is wrong'):
        check_grads(attention, SLIPS[name], *inputs(2, 3), causal(5, 7))

RIGHT = {  # other ways to write it, none of which is to be accused
    'weights kept, no mask on the way back': slip(),
    'masked once more': slip(lambda A, dA, out: (A * (dA - (A * dA).sum(-1, keepdim=True)))
                             .masked_fill(A == 0, 0)),
    'the mean from the output': slip(
        lambda A, dA, out: A * (dA - (out.g * out).sum(-1, keepdim=True))),
    'the whole Jacobian': slip(lambda A, dA, out: (
        (torch.diag_embed(A) - A[..., :, None] * A[..., None, :]) @ dA[..., None]).squeeze(-1)),
    'in blocks': lambda q, out, k, v, mask: attention_blocks_grad(q, out, k, v, True, 2),
    'masked before scaling': slip(None, lambda q, k, mask: (
        (q @ k.mT).masked_fill(~mask, -math.inf) / math.sqrt(q.shape[-1])).softmax(-1)),
    'queries scaled first': slip(None, lambda q, k, mask: (
        (q / math.sqrt(q.shape[-1])) @ k.mT).masked_fill(~mask, -math.inf).softmax(-1))}

@pytest.mark.parametrize('name', RIGHT)
def test_right_ways_pass(name):
    torch.manual_seed(1)
    check_grads(attention, RIGHT[name], *inputs(2, 3), causal(5, 7))
