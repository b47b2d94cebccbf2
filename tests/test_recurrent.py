"""Recurrent layers against torch, entry by entry; the slips of the field planted, and which of the
checks in common use would let them pass."""
import pytest, torch
from torch import nn
from torch.testing import assert_close
from backprop_nb.all import (LSTM, RNN, Model, Mse, check_grads, clip_grads, lstm, lstm_grad, rnn,
                             rnn_grad)

def double(*shape): return torch.randn(shape, dtype=torch.float64)

def inputs(k, N=3, T=4, d=5, m=2):
    "x, the states and the weights of rnn (k = 1) or lstm (k = 4)."
    states = [double(N, m) for _ in range(1 if k == 1 else 2)]
    return [double(N, T, d), *states, double(d, k*m), double(m, k*m), double(k*m)]

PAIRS = {1: (rnn, rnn_grad, RNN, nn.RNN), 4: (lstm, lstm_grad, LSTM, nn.LSTM)}

def by_hand(k, backward, inputs, up):
    out = PAIRS[k][0](*inputs)
    out.g = up
    backward(inputs[0], out, *inputs[1:])
    return out, [t.g for t in inputs]

def by_torch(k, inputs, up):
    "Output and gradients of torch's own module with the same weights."
    x, *states, w_x, w_h, b = leaves = [t.clone().requires_grad_() for t in inputs]
    net = PAIRS[k][3](x.shape[2], len(w_h), batch_first=True).double()
    params = dict(zip(net.state_dict(), [w_x.t(), w_h.t(), b, torch.zeros_like(b)]))
    first = [s[None] for s in states]
    out, _ = torch.func.functional_call(net, params, (x, first[0] if k == 1 else first))
    return out.detach(), torch.autograd.grad(out, leaves, up)

@pytest.mark.parametrize('sizes', [(3, 4, 5, 2), (1, 1, 1, 1), (2, 9, 1, 4), (5, 3, 2, 7)])
@pytest.mark.parametrize('k', PAIRS)
def test_as_torch_entry_by_entry(k, sizes):
    torch.manual_seed(0)
    args, up = inputs(k, *sizes), double(sizes[0], sizes[1], sizes[3])
    (out, got), (want, grads) = by_hand(k, PAIRS[k][1], args, up), by_torch(k, args, up)
    assert_close(out, want, rtol=1e-12, atol=1e-14)
    for g, true in zip(got, grads): assert_close(g, true, rtol=1e-9, atol=1e-12)

@pytest.mark.parametrize('k', PAIRS)
def test_module(k):
    "States that are not given are zeros; the input's gradient may be left out."
    x, *states, w_x, w_h, b = inputs(k)
    layer = PAIRS[k][2](w_x, w_h, b)
    zeros = [torch.zeros_like(s) for s in states]
    assert torch.equal(layer(x), layer.forward(x, *zeros))
    layer.out.g = up = double(3, 4, 2)
    layer.backward(input_grad=False)
    assert x.g is None
    _, want = by_hand(k, PAIRS[k][1], [x.clone(), *zeros, w_x.clone(), w_h.clone(), b.clone()], up)
    for p, g in zip(layer.parameters(), want[-3:]): assert torch.equal(p.g, g)

def test_what_is_kept_for_the_way_back():
    "Gates and cells in training alone; without them, and after a change, the gradient is the same."
    torch.manual_seed(0)
    x, *_, w_x, w_h, b = inputs(4)
    layer, grads = LSTM(w_x, w_h, b), []
    for training in True, False:
        out = layer.train(training)(x)
        assert hasattr(out, 'kept') is training
        out.g = torch.ones_like(out)
        layer.backward()
        grads.append([t.g for t in (x, w_x, w_h, b)])
    for g, h in zip(*grads): assert torch.equal(g, h)
    model = Model([layer.train()], Mse())
    assert not hasattr(model.predict(x), 'kept') and layer.training
    assert not hasattr(lstm(x, *inputs(4)[1:], keep=False), 'kept')

def test_steps_of_other_numbers_are_not_used():
    "What was kept before an input changed in place is computed anew."
    args, up, grads = inputs(4), double(3, 4, 2), []
    before = lstm(*args).kept
    args[0].mul_(2)
    for kept in ((), None, None), before:
        out = lstm(*args, keep=False)
        out.g, out.kept = up, kept
        lstm_grad(args[0], out, *args[1:])
        grads.append([t.g for t in args])
    for g, h in zip(*grads): assert torch.equal(g, h)

@pytest.mark.parametrize('k', PAIRS)
def test_pieces_make_the_whole(k):
    "A sequence in two pieces, the gradient of the states handed over, has the gradient of one."
    torch.manual_seed(0)
    (x, h0, *_, w_x, w_h, b), up = inputs(1, T=7), double(3, 7, 2)
    _, want = by_hand(1, rnn_grad, [x, h0, w_x, w_h, b], up)
    out = rnn(x, h0, w_x, w_h, b)
    first, second, cut = out[:, :3].clone(), out[:, 3:].clone(), out[:, 2].clone()
    second.g, first.g = up[:, 3:], up[:, :3].clone()
    rnn_grad(x[:, 3:], second, cut, w_x, w_h, b)
    late = [w_x.g, w_h.g, b.g]
    first.g[:, -1] += cut.g
    rnn_grad(x[:, :3], first, h0, w_x, w_h, b)
    for g, more, true in zip(late, (w_x, w_h, b), want[2:]): assert_close(g + more.g, true)
    assert_close(h0.g, want[1])

# ---- slips of the field, and the checks in common use

def slip(change):
    def backward(inp, out, h0, w_x, w_h, b):
        rnn_grad(inp, out, h0, w_x, w_h, b)
        change(inp, out, h0, w_x, w_h, b)
    return backward

def shares(inp, out, g):
    "dL/dZ of each step as if the later ones did not exist."
    return g * (1 - out**2)

def befores(out, h0): return torch.cat([h0[:, None], out[:, :-1]], 1)
def product(a, D): return a.flatten(0, 1).t() @ D.flatten(0, 1)

def not_handed_on(inp, out, h0, w_x, w_h, b):
    D = shares(inp, out, out.g)
    w_x.g, w_h.g, b.g = product(inp, D), product(befores(out, h0), D), D.sum((0, 1))
    inp.g, h0.g = D @ w_x.t(), D[:, 0] @ w_h.t()
def last_step_only(inp, out, h0, w_x, w_h, b):
    D = shares(inp, out, out.g)[:, -1]
    w_h.g = befores(out, h0)[:, -1].t() @ D
def mean_over_time(inp, out, h0, w_x, w_h, b):
    for p in w_x, w_h, b: p.g = p.g / inp.shape[1]
def mean_over_examples(inp, out, h0, w_x, w_h, b):
    for p in w_x, w_h, b: p.g = p.g / len(inp)
def first_state_forgotten(inp, out, h0, w_x, w_h, b): h0.g = torch.zeros_like(h0)
def zero_for_first(inp, out, h0, w_x, w_h, b):
    D1 = h0.g @ torch.linalg.inv(w_h.t())
    w_h.g = w_h.g - h0.t() @ D1
def upstream_dropped(inp, out, h0, w_x, w_h, b):
    other = out.clone()
    other.g = torch.ones_like(out)
    rnn_grad(inp, other, h0, w_x, w_h, b)
def sign(inp, out, h0, w_x, w_h, b): b.g = -b.g
def not_turned(inp, out, h0, w_x, w_h, b):
    g = w_h.g
    rnn_grad(inp, out, h0, w_x, w_h.t().clone(), b)
    w_h.g = g
def percent_off(inp, out, h0, w_x, w_h, b): w_x.g = 1.005 * w_x.g
SLIPS = [not_handed_on, last_step_only, mean_over_time, mean_over_examples, first_state_forgotten,
         zero_for_first, upstream_dropped, sign, not_turned, percent_off]

def agrees(backward, change=lambda args: args, up=torch.randn_like, tol=1e-6, **sizes):
    "Does a check of this kind let the gradient pass?"
    torch.manual_seed(1)
    args = change(inputs(1, **sizes))
    out = rnn(*args)
    g = up(out)
    got, want = by_hand(1, backward, args, g)[1], by_torch(1, args, g)[1]
    return all(torch.allclose(a, b, rtol=0, atol=tol) for a, b in zip(got, want))

def h0_zero(args): return [args[0], torch.zeros_like(args[1]), *args[2:]]
def last_alone(out):
    return torch.cat([torch.zeros_like(out[:, 1:]), torch.ones_like(out[:, :1])], 1)
def small(args): return [0.05 * t for t in args]

COMMON = {  # a check in common use, and the slips that it lets pass
    'ones for upstream': (dict(up=torch.ones_like), {upstream_dropped}),
    'one step': (dict(T=1), {not_handed_on, last_step_only, mean_over_time}),
    'a first state of zeros': (dict(change=h0_zero), {zero_for_first}),
    'one example': (dict(N=1), {mean_over_examples}),
    'one unit': (dict(m=1), {not_turned}),
    'an absolute tolerance of 2e-2': (dict(tol=2e-2, change=small, up=last_alone), {
        last_step_only, first_state_forgotten, zero_for_first, not_turned, percent_off})}

@pytest.mark.parametrize('name', COMMON)
def test_what_a_common_check_lets_pass(name):
    how, want = COMMON[name]
    passed = {f for f in SLIPS if agrees(slip(f), **how)}
    assert passed == want, [f.__name__ for f in passed]

@pytest.mark.parametrize('change', SLIPS)
def test_ours_refuses_all(change):
    torch.manual_seed(1)
    with pytest.raises(AssertionError, match='is wrong'):
        check_grads(rnn, slip(change), *inputs(1))

def test_clip_as_torch():
    torch.manual_seed(0)
    p = double(2)
    p.g = g = torch.tensor([3., -4.]).double()
    assert clip_grads([p], 5) == 5 and p.g is g             # no longer than that
    for most in 0., 0.1, 3., 100.:
        ours, theirs = [[double(3, 2), double(5)] for _ in range(2)]
        for p, q in zip(ours, theirs): p.g = double(*p.shape); q.grad = p.g.clone()
        before = [p.g for p in ours]
        length = clip_grads(ours, most)
        assert_close(length, nn.utils.clip_grad_norm_(theirs, most).item())
        for p, q, g in zip(ours, theirs, before):
            assert_close(p.g, q.grad, rtol=1e-5, atol=1e-7)
            assert (p.g is g) == (length <= most)
