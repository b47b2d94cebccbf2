"""The two ways to a convolution's gradient for its input: which one is taken, and when."""
import timeit
import pytest, torch
from torch.testing import assert_close
from backprop_nb import conv
from backprop_nb.conv import conv2d, conv2d_grad
from backprop_nb.cost import cost

@pytest.fixture
def taken(monkeypatch):
    "The names of the ways that were taken; nothing is known of any shape."
    names = []
    def noted(name):
        way = getattr(conv, name)
        def also(*args): names.append(name[8:]); return way(*args)
        return also
    for name in '_x_grad_transposed', '_x_grad_shifts': monkeypatch.setattr(conv, name, noted(name))
    monkeypatch.setattr(conv, '_FASTER', {})
    return names

def x_grad(channels=3, dtype=torch.float64):
    "The input's gradient of a random convolution, and what autograd says."
    x, w = torch.randn(2, channels, 6, 5), torch.randn(4, channels, 3, 2)
    x, w, b = (t.to(dtype).requires_grad_() for t in (x, w, torch.randn(4)))
    truth = torch.conv2d(x, w, b, 2, 1)
    up = torch.randn_like(truth)
    want = torch.autograd.grad(truth, x, up)[0]
    x, w, b = (t.detach() for t in (x, w, b))
    out = conv2d(x, w, b, 2, 1)
    out.g = up
    conv2d_grad(x, out, w, b, 2, 1)
    return x.g, want

@pytest.mark.parametrize('times, way', [
    ((5., 1.), 'shifts'), ((1., 5.), 'transposed'), ((1., .9), 'transposed'), ((1., .7), 'shifts')])
def test_the_faster_way_is_taken(taken, monkeypatch, times, way):
    "A little faster is not enough: the next run might see it the other way round."
    told = iter(times)
    monkeypatch.setattr(timeit, 'repeat', lambda f, **how: [f() is None, next(told), 9.][1:])
    assert_close(*x_grad())
    assert taken == ['transposed', 'shifts', way]       # each once to be timed

def test_a_shape_is_measured_once(taken):
    x_grad()
    measured = len(taken)
    assert measured == 7 and taken.count('shifts') in (3, 4)
    assert_close(*x_grad())
    assert taken[measured:] == [taken[measured - 1]]
    x_grad(channels=2)
    assert len(taken) == measured + 1 + 7

@pytest.mark.parametrize('how', [dict(channels=8), dict(dtype=torch.bfloat16)])
def test_many_channels_and_half_floats_are_not_measured(taken, how):
    x_grad(**how)
    assert taken == ['transposed']

def test_who_wants_the_same_numbers_in_each_run_gets_them(taken):
    torch.use_deterministic_algorithms(True)
    try: assert_close(*x_grad())
    finally: torch.use_deterministic_algorithms(False)
    assert taken == ['transposed']

def test_the_filters_gradient_in_parts(monkeypatch):
    "Of 70 pictures in several parts, and of one that is larger than a part; half floats in one."
    calls, convolved = [], conv.F.conv2d
    def counted(x, *args): calls.append(x.dtype); return convolved(x, *args)
    monkeypatch.setattr(conv.F, 'conv2d', counted)
    for shape in (70, 3, 40, 33), (1, 2, 900, 700):
        x, w = torch.randn(shape).double(), torch.randn(20, shape[1], 3, 2).double()
        up = torch.randn_like(torch.conv2d(x, w, None, 1, 1))
        assert up.numel() > 2**20
        want = torch.nn.grad.conv2d_weight(x, w.shape, up, padding=1)
        assert_close(conv._w_grad_conv(x, up, w, 1, 1), want)
        conv._w_grad_conv(x.bfloat16(), up.bfloat16(), w.bfloat16(), 1, 1)
    assert calls == [torch.float64] * 2 + [torch.bfloat16] + [torch.float64, torch.bfloat16]

def test_who_counts_counts_what_is_chosen_alone(taken):
    x, w, b = torch.randn(4, 3, 9, 9), torch.randn(8, 3, 3, 3), torch.randn(8)
    out = conv2d(x, w, b)
    out.g = torch.randn_like(out)
    first, again = (cost(conv2d_grad, x, out, w, b) for _ in range(2))
    assert len(taken) == 8 and first == again and first.products > 0

def test_what_has_no_numbers_is_not_measured(taken):
    x, up, w = (torch.randn(s, device='meta') for s in ((4, 3, 9, 9), (4, 8, 7, 7), (8, 3, 3, 3)))
    assert conv._x_grad(x, up, w, 1, 0).shape == x.shape
    assert taken == ['transposed'] and not conv._FASTER

def test_gradients_lie_in_one_piece(taken):
    x, w, b = torch.randn(4, 3, 9, 8), torch.randn(8, 3, 3, 3), torch.randn(8)
    x = x.contiguous(memory_format=torch.channels_last)
    out = conv2d(x, w, b)
    out.g = torch.randn_like(out)
    for way in conv._x_grad_transposed, conv._x_grad_shifts:
        assert way(x, out.g, w, 1, 0).is_contiguous()

def test_what_changes_the_time_is_measured_anew(taken):
    x, w, up = torch.randn(2, 3, 6, 6), torch.randn(4, 3, 2, 2), torch.randn
    threads = torch.get_num_threads()
    for stride, padding, size in (1, 0, 5), (2, 0, 3), (2, 1, 4):
        conv._x_grad(x, up(2, 4, size, size), w, stride, padding)
    try:
        torch.set_num_threads(threads + 1)
        conv._x_grad(x, up(2, 4, 5, 5), w, 1, 0)
    finally: torch.set_num_threads(threads)
    assert len(conv._FASTER) == 4 and len(taken) == 4 * 7
