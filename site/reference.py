"The reference of the package: every public name with its signature, its docments and its chapter."
import inspect, re
from importlib import import_module
from fastcore.docments import docments

def modules(notebooks) -> dict:
    "The module that each notebook of {name: notebook} exports, in their order: {module: name}."
    found = {}
    for name, nb in notebooks.items():
        for c in nb.cells:
            m = re.search(r'^#\| *default_exp +(\w+)$', c.source, re.M)
            if m and m[1] not in ('all', '__main__'): found[m[1]] = name
    return found

def public_names(modules) -> dict:
    "The public functions and classes of `modules` that say what they are: {name: full name}."
    def told(x): return (inspect.isfunction(x) or inspect.isclass(x)) and x.__doc__
    loaded = {m: import_module(f'backprop_nb.{m}') for m in modules}
    return {n: f'backprop_nb.{m}.{n}' for m, x in loaded.items() for n in x.__all__
            if told(getattr(x, n))}

def source(homes, titles) -> str:
    "The page as Markdown, a section for each module of `homes`, {module: notebook}."
    parts = ['# Reference',
             'Every public name of the package, in the order of the chapters; all but those of '
             '`grade` come with `from backprop_nb.all import *`. Shapes are in brackets; `N` is '
             'the number of examples.']
    for m, home in homes.items():
        if not import_module(f'backprop_nb.{m}').__all__: continue  # nothing public
        parts += [f'## {m}', f'Derived, defined and checked in [{titles[home]}]({home}.ipynb).',
                  f'```{{eval-rst}}\n.. automodule:: backprop_nb.{m}\n   :members:\n```']
    return '\n\n'.join(parts) + '\n'

def rst(text, names) -> str:
    """A docstring as reStructuredText: names in backticks are linked, other backticks are code, and
    so are short words in quotes."""
    text = re.sub(r"(?<![\w`])'([\w.]+)'(?![\w`])", r"`'\1'`", text)
    def code(m):
        if not m[1]: return '\\' + m[0]
        end = '\\ ' if m[2] else ''  # between markup and a letter
        return (f':py:obj:`{m[1]} <{names[m[1]]}>`' if m[1] in names else f'``{m[1]}``') + end
    return re.sub(r'`([^`]+)`(?=(\w?))|[*|_\\]', code, text)

def parameters(obj, names) -> list:
    "The docments of a function, or of a class's `__init__`, as a list of fields."
    f = obj.__init__ if inspect.isclass(obj) else obj
    try: docs = docments(f, full=True, args_kwargs=True)
    except (TypeError, ValueError, OSError): return []
    fields = [(':return:' if k == 'return' else f':param {k}:', ' '.join(d.docment.split()))
              for k, d in docs.items() if d.docment]
    return [f'{field} {rst(doc, names)}' for field, doc in fields]

def documented(homes, names, titles):
    "The handler of `autodoc-process-docstring`."
    def process(app, what, name, obj, options, lines):
        if what == 'module': lines[:] = []; return
        lines[:] = [rst(line, names) for line in lines]
        lines += ['', *(parameters(obj, names) if what != 'attribute' else [])]
        _, module, *rest = name.split('.')
        if len(rest) == 1 and what in ('function', 'class'):
            home = homes[module]
            lines += ['', f'Defined in `{titles[home]} <{home}.html#def-{rest[0]}>`__.', '']
    return process

def signed(app, what, name, obj, options, args, returns):
    "The signature, with a new list for what a dataclass makes anew."
    return args and args.replace('<factory>', '[]'), returns

def skip(app, what, name, obj, skipped, options):
    "The handler of `autodoc-skip-member`: fields of a NamedTuple say nothing of themselves."
    return True if (getattr(obj, '__doc__', '') or '').startswith('Alias for field') else None
