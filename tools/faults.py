"""The faults that can be planted in the exported cells of a notebook, one small change each."""
import ast, builtins, copy, difflib
from typing import NamedTuple

class Fault(NamedTuple):
    notebook: str
    cell: int      # its place among the code cells that run
    function: str  # the definition that holds it
    kind: str
    source: str    # the cell with the fault
    diff: str      # the lines that differ
    draws: bool    # in code that only draws?
    def __str__(self): return f'{self.notebook}, {self.function}: {self.kind}\n{self.diff}'

OPERATORS = {ast.Add: '-', ast.Sub: '+', ast.Mult: '/', ast.Div: '*', ast.FloorDiv: '/',
             ast.Mod: '//', ast.Pow: '*', ast.MatMult: '*', ast.BitAnd: '|', ast.BitOr: '&'}
COMPARISONS = {ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.GtE], ast.Gt: [ast.GtE, ast.Lt],
               ast.GtE: [ast.Gt, ast.LtE], ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq],
               ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In]}
PAIRS = {  # functions and methods that are taken for each other
    'sum, mean, max, min': 'sum/mean max/min amax/amin argmax/argmin maximum/minimum any/all '
                           'clamp_min/clamp_max',
    'operator': 'add/sub add_/sub_ mul/div mul_/div_', 'comparison': 'lt/le gt/ge eq/ne',
    'constant': 'zeros/ones zeros_like/ones_like new_zeros/new_ones'}
CALLS = {name: (kind, other) for kind, pairs in PAIRS.items() for pair in pairs.split()
         for name, other in (pair.split('/'), pair.split('/')[::-1])}
TURNS = {'t', 'T', 'mT', 'transpose', 'permute', 'flip'}
PRODUCTS = {'mm', 'bmm', 'matmul', 'addmm', 'baddbmm'}

def changes(node):
    "The faults that fit in the place of one node of a syntax tree: (kind, text instead of it)."
    text = ast.unparse
    def but(**fields):
        new = copy.copy(node)
        vars(new).update(fields)
        return text(new)
    def turned(x): return isinstance(x, ast.Call) and getattr(x.func, 'attr', '') in TURNS
    def product(a, b, build):
        if not turned(a): yield 'transpose', build(ast.Attribute(a, 'mT'), b)
        if not turned(b): yield 'transpose', build(a, ast.Attribute(b, 'mT'))
        yield 'operands of @ swapped', build(b, a)
    match node:
        case ast.BinOp(a, op, b):
            if new := OPERATORS.get(type(op)): yield 'operator', f'({text(a)}) {new} ({text(b)})'
            if isinstance(op, ast.MatMult):
                yield from product(a, b, lambda a, b: but(left=a, right=b))
        case ast.UnaryOp(ast.USub(), x): yield 'sign', text(x)
        case ast.UnaryOp(ast.Not(), x): yield 'operator', text(x)
        case ast.BoolOp(ast.And()): yield 'operator', but(op=ast.Or())
        case ast.BoolOp(ast.Or()): yield 'operator', but(op=ast.And())
        case ast.Compare(_, ops):
            for k, op in enumerate(ops):
                for new in COMPARISONS[type(op)]:
                    yield 'comparison', but(ops=[*ops[:k], new(), *ops[k+1:]])
        case ast.Constant(bool(x)): yield 'constant', str(not x)
        case ast.Constant(int(x)): yield from (('constant', str(n)) for n in (x + 1, x - 1))
        case ast.Constant(float(x)): yield from (('constant', str(n)) for n in (2*x or 1., x/2))
        case ast.Attribute(x, name) if name in TURNS - {'t', 'flip'}: yield 'transpose', text(x)
        case ast.Call(ast.Name('upstream'), [out, *_]):
            yield 'upstream dropped', f'({text(out)}).new_ones(({text(out)}).shape)'
        case ast.Call(ast.Name(name) | ast.Attribute(_, name) as f, args):
            kind, other = CALLS.get(name, ('', ''))
            if kind and isinstance(f, ast.Attribute):
                yield kind, but(func=ast.Attribute(f.value, other))
            elif hasattr(builtins, other): yield kind, but(func=ast.Name(other))
            if name in TURNS and isinstance(f, ast.Attribute):
                yield 'transpose', text(args[0] if text(f.value) == 'torch' else f.value)
            if name in PRODUCTS and len(args) > 1:
                yield from product(*args[-2:], lambda *two: but(args=[*args[:-2], *two]))
        case ast.Assign([*_, ast.Attribute(x, 'g')], value):
            x, new = f'{text(x)}.g', text(value)
            yield 'gradient not written', 'pass'
            yield 'sign', f'{x} = -({new})'
            have = f'getattr({x[:-2]}, "g", None) is not None'
            yield 'gradient added', f'{x} = {x} + ({new}) if {have} else ({new})'
        case ast.AugAssign(x, op, value) if type(op) in OPERATORS:
            yield 'operator', f'{text(x)} {OPERATORS[type(op)]}= {text(value)}'
            if text(x).endswith('.g'): yield 'gradient not added', f'{text(x)} = {text(value)}'

def places(node, function=''):
    "Where below `node` faults may be planted: (list or dict, key, name of the function)."
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)): function += '.'*bool(function) + node.name
    for field, value in list(vars(node).items()):
        if field in ('annotation', 'returns'): continue
        many = isinstance(value, list)
        for k, x in enumerate(value) if many else [(field, value)]:
            if not isinstance(x, ast.AST): continue
            if isinstance(x, (ast.Import, ast.ImportFrom, ast.Raise, ast.JoinedStr)): continue
            yield value if many else vars(node), k, function
            yield from places(x, function)

def drawing(units) -> set:
    """Those of the top-level statements of a module that only draw: they import matplotlib or use
    an `ax`, or they define a private name that only such statements use."""
    def names(unit):
        return {getattr(x, 'id', None) or x.arg for x in ast.walk(unit)
                if isinstance(x, (ast.Name, ast.arg))}
    def defined(unit):
        if isinstance(unit, (ast.FunctionDef, ast.ClassDef)): return {unit.name}
        stored = [x for x in ast.walk(unit) if isinstance(getattr(x, 'ctx', None), ast.Store)]
        return {x.id for x in stored if isinstance(x, ast.Name)}
    users = {u: {v for v in units if v is not u and names(v) & defined(u)} for u in units}
    private = {u for u in units if defined(u) and all(name[0] == '_' for name in defined(u))}
    draw = {u for u in units if 'ax' in names(u) or 'matplotlib' in ast.unparse(u)}
    while new := {u for u in private - draw if users[u] and users[u] <= draw}: draw |= new
    return draw

def bytecode(source):
    "What Python makes of `source`, without line numbers."
    def bare(code):
        return code.co_code, code.co_names, code.co_varnames, [
            bare(c) if hasattr(c, 'co_code') else repr(c) for c in code.co_consts]
    return bare(compile(source, '', 'exec'))

def faults(notebook, cells) -> list:
    "All faults that can be planted in the exported ones of the `cells` of a notebook."
    trees = {i: ast.parse(c) for i, c in enumerate(cells) if c.startswith('#| export')}
    draw = drawing([unit for t in trees.values() for unit in t.body])
    draw, found = {x for unit in draw for x in ast.walk(unit)}, []
    for i, tree in trees.items():
        good = ast.unparse(tree)
        seen = [bytecode(good)]
        for holder, k, function in places(tree):
            node = holder[k]
            for kind, new in changes(node):
                new = ast.parse(new).body[0]
                holder[k] = new.value if isinstance(node, ast.expr) else new
                bad = ast.unparse(tree)
                holder[k] = node
                if (made := bytecode(bad)) in seen: continue
                seen.append(made)
                lines = difflib.ndiff(good.split('\n'), bad.split('\n'))
                found.append(Fault(notebook, i, function or 'top level', kind, bad,
                                   '\n'.join(x for x in lines if x[0] in '+-'), node in draw))
    return found
