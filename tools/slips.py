"""Plant every slip in every exercise; does the checker name it? `python tools/slips.py`.

A planted fault is a wrong function (or value): the solution with a row of its table in it, or with
its results changed, with the key that `diagnose` should give. One that changes no number in any
case of the exercise is left out."""
import inspect, sys
from collections import Counter
import torch
from torch import Tensor
from backprop_nb.checker import SLIPS, Function, Gradient, Paper, _but, _right, instead
from backprop_nb.exercises import EXERCISES, _open_books, diagnose

def load():
    "All exercises, by name."
    _open_books()
    return dict(sorted(EXERCISES.items()))

def only(k): return _but(slice(k, k + 1 or None))

def batch(args):
    "How many examples there are: the first size of the first tensor."
    return next((len(x) for x in args if isinstance(x, Tensor) and x.dim()), 1)

CHANGES = {  # key of the slip -> (gradient or result, number of examples) -> wrong one
    'sign': lambda t, N: -t,
    'twice': lambda t, N: 2 * t,
    'half': lambda t, N: t / 2,
    ('sum for mean', 'N'): lambda t, N: t * N,
    ('mean for sum', 'N'): lambda t, N: t / N,
    'transposed': lambda t, N: t.t() if t.dim() == 2 else t,
    'axis kept': lambda t, N: t[None],
    'axis lost': lambda t, N: t.squeeze(),
    'broadcast': lambda t, N: t - t.t() + t if t.dim() == 2 and t.shape[1] == 1 else t,
    'reversed': lambda t, N: t.flip(0) if t.dim() == 1 else t,
    'dtype': lambda t, N: t.float() if t.dtype == torch.float64 else t,
}

UPSTREAMS = {'upstream dropped': torch.ones_like, 'out for out.g': torch.clone,
             ('one example', 0): only(0),
             ('one example', -1): only(-1)}

def params(ex): return [*inspect.signature(ex.solution).parameters]
def at_out(ex): return params(ex).index('out')

def with_out(ex, args):
    "The arguments, with a loss that was left out, at which 1 arrives."
    if len(args) > at_out(ex): return args
    out = ex.forward(*args).clone()
    out.g,out.alone = torch.ones_like(out), True
    return *args, out

def named_inputs(ex, args):
    "The tensors among the arguments of a gradient function, by name, without `out`."
    return {n: x for n,x in zip(params(ex), args) if n != 'out' and isinstance(x, Tensor)}

def gradients(ex, args, upstream=None):
    "The gradients of the solution, written nowhere: {'x.g': tensor}."
    out = args[at_out(ex)]
    own = [x.clone() if isinstance(x, Tensor) else x for x in args]
    own[at_out(ex)].g = out.g if upstream is None else upstream(out)
    ex.solution(*own)
    return {f'{n}.g': x.g for n,x in named_inputs(ex, own).items() if hasattr(x, 'g')}

def gradient_plants(ex, n):
    "Wrong gradient functions: (key, function), wrong in the gradient `n`, such as 'w.g'."
    def wrong(make):
        def f(*args):
            args = with_out(ex, args)
            right = gradients(ex, args)
            for m,g in (right | {n: make(args, right)}).items():
                if g is not None: named_inputs(ex, args)[m[:-2]].g = g
        return f
    for key,change in CHANGES.items():
        yield key, wrong(lambda args, right, change=change: change(right[n], batch(args)))
    for key,up in UPSTREAMS.items():
        yield key, wrong(lambda args, right, up=up: right[n] if hasattr(
            args[at_out(ex)], 'alone') else gradients(ex, args, up)[n])
    if all(ex.forward(*ex.args(k)).shape == ex.numbers(ex.solution, k)[n].shape for k in cases(ex)):
        yield 'forward', wrong(lambda args, right: args[at_out(ex)].clone())
        yield 'local dropped', wrong(lambda args, right: args[at_out(ex)].g.clone())
    yield 'accumulates', wrong(lambda args, right: right[n] + named_inputs(ex, args)[n[:-2]].g)
    yield 'batch sum missing', wrong(lambda args, right: parts(ex, args, n))
    names = [*ex.numbers(ex.solution, 0)]
    if len(names) > 1: yield ('not written', n), wrong(lambda args, right: None)
    for m in names:
        if m != n: yield ('wrong input', m), wrong(lambda args, right, m=m: right[m])

def parts(ex, args, n):
    "The part of each example in a sum over the batch; the gradient itself where it is not a sum."
    out = args[at_out(ex)]
    if not out.dim() or not len(out): return gradients(ex, args)[n]
    each = torch.stack([gradients(ex, args, only(k))[n] for k in range(len(out))])
    summed = n[:-2] != params(ex)[0]
    return each if summed and len(out) == batch(args) else gradients(ex, args)[n]

def behaviour_plants(ex):
    "Wrong ways to leave the right numbers."
    def into_upstream(*args):
        args = with_out(ex, args)
        ex.solution(*args)
        args[at_out(ex)].g.mul_(0.5)
    def into_grad(*args):
        args = with_out(ex, args)
        for n,g in gradients(ex, args).items(): named_inputs(ex, args)[n[:-2]].grad = g
    def into_input(*args):
        ex.solution(*args)
        args[0].add_(1)
    def returns(*args): return [*gradients(ex, with_out(ex, args)).values()][0]
    def raises(*args): raise ValueError('a mistake')
    yield ('wrote into an input', 'out.g'), into_upstream
    yield ('wrote into an input', params(ex)[0]), into_input
    yield 'returned', returns
    yield 'grad', into_grad
    yield 'raises', raises

def cases(ex): return range(len(ex.sizes))

def value_plants(ex):
    "Wrong values, where the question is for a value; those that are in the table come from there."
    right = ex.solution()
    rows = [instead(ex.solution, lines)() for lines, _ in ex.slips]
    for n,x in (right.items() if isinstance(right, dict) else [('', right)]):
        if isinstance(x, str): continue
        for key in 'sign', 'twice', 'half', 'reversed':
            wrong = CHANGES[key](torch.as_tensor(x, dtype=torch.float64), 1)
            wrong = {**right, n: wrong} if n else wrong
            if not any(same(ex, wrong, row, n) for row in rows): yield key, wrong

def same(ex, a, b, n):
    "Are two answers on paper the same, or the same under the name `n`?"
    a,b = ex.numbers(a, 0), ex.numbers(b, 0)
    return all(m in b and _right(ex, a[m], b[m]) for m in ([n] if n else a))

def function_plants(ex):
    "Wrong functions, where the answer is a function that returns something."
    def wrong(change):
        def f(*args):
            got = ex.solution(*args)
            return change(got, batch(args)) if isinstance(got, Tensor) else got
        return f
    for key,change in CHANGES.items(): yield key, wrong(change)
    def raises(*args): raise ValueError('a mistake')
    yield 'raises', raises

def changes_something(ex, f):
    "Is a planted answer wrong in some case?"
    for k in cases(ex):
        want = ex.numbers(ex.solution, k)
        try: got = ex.numbers(f, k)
        except Exception: return True
        if got.keys() != want.keys(): return True
        if not all(_right(ex, got[n], want[n]) for n in want): return True
    return False

def general(ex):
    "Faults of every exercise, as (key, answer)."
    if isinstance(ex, Paper): yield from value_plants(ex)
    if type(ex) is Function: yield from function_plants(ex)
    if isinstance(ex, Gradient):
        for n in ex.numbers(ex.solution, 0): yield from gradient_plants(ex, n)
        yield from behaviour_plants(ex)

def plants(ex):
    "All faults that make a wrong answer of this exercise, as (key or sentence, answer)."
    rows = [(says, instead(ex.solution, lines)) for lines, says in ex.slips]
    if isinstance(ex, Paper): rows = [(says, f()) for says, f in rows]
    return [(key, f) for key,f in [*general(ex), *rows] if changes_something(ex, f)]

def word(key): return key[0] if isinstance(key, tuple) else key

def named(ex, key, verdict):
    "Does the verdict name what was planted? A row that gives the same numbers is as good a name."
    said = [*map(word, verdict.slips)]
    if word(key) not in SLIPS: return key in verdict.text
    if said == [word(key)]: return True
    return len(said) == 1 and said[0] in [says for _, says in ex.slips]

def main():
    seen,right = Counter(),Counter()
    for name,ex in load().items():
        for key,f in plants(ex):
            kind = word(key) if word(key) in SLIPS else 'a row of a table'
            verdict = diagnose(name, f, search=False)
            ok = named(ex, key, verdict)
            seen[kind] += 1
            right[kind] += ok
            if not ok: print(f'{key} planted: {verdict}\n')
    for kind,k in sorted(seen.items()): print(f'{kind:30}{right[kind]:5} of {k:5} named')
    print(f'{"all":30}{right.total():5} of {seen.total():5}')
    return 0 if right == seen else 1

if __name__ == '__main__': sys.exit(main())
