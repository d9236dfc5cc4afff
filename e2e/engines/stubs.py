"""Lets an engine's own metrics code be imported without what it stands on.

Whatever is not installed, and what an engine's other modules would pull in, is an empty stand-in.
Nothing of it is called while metrics are written: a wrong stand-in fails, and makes no number.
"""

import importlib.abc
import importlib.machinery
import sys
import types


class _Kind(type):
    """Can be inherited from, decorated with, or'ed and subscripted, as types are."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing

    def __call__(cls, *args, **kwargs):
        if cls is not Nothing:
            return super().__call__(*args, **kwargs)
        is_decorator = len(args) == 1 and isinstance(args[0], types.FunctionType)
        return args[0] if is_decorator else Nothing

    def __or__(cls, other):
        return cls

    __ror__ = __or__

    def __getitem__(cls, key):
        return cls

    def __iter__(cls):
        return iter(())

    def __bool__(cls):
        return False


class Nothing(metaclass=_Kind):
    pass


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `own` modules of a package in its folder, and stand-ins for the rest of it."""

    def __init__(self, package, folder, own):
        self.package, self.folder, self.own = package, folder, own

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != self.package:
            there = importlib.machinery.PathFinder.find_spec(top)
            if top in sys.stdlib_module_names or there is not None:
                return None
        elif name in self.own:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        # So that its own modules are found, though its `__init__` is not run.
        module.__path__ = [str(self.folder.joinpath(*spec.name.split(".")))]

        def attribute(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return Nothing

        module.__getattr__ = attribute
        return module

    def exec_module(self, module):
        pass


def let_import(package, folder, own):
    """Makes `own` modules of a package in `folder` importable, and all its others stand-ins."""
    sys.meta_path.insert(0, _Finder(package, folder, own))


def body(registry, prefix):
    """What a scraper gets of the engine: without what is of Python and of this process, and without
    the sentences about each metric."""
    from prometheus_client import generate_latest

    lines = generate_latest(registry).decode().splitlines(keepends=True)
    kept = (prefix, f"# TYPE {prefix}")
    return "".join(line for line in lines if line.startswith(kept))
