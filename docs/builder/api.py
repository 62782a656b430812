"""API reference: one page per public name, with its signature, types, and docstring."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras

import deeprnn_keras
from docs.builder.docstrings import described_names, first_sentence, to_markdown
from docs.builder.pages import ORPHAN, toctree

PACKAGE = "deeprnn_keras"
FENCE = "``````"  # longer than the fences in docstrings
KERAS_MODULES = (keras.layers, keras.callbacks, keras.initializers, keras.metrics, keras.optimizers)
MEMBERS = {staticmethod: "py:staticmethod", classmethod: "py:classmethod"}


@dataclass(frozen=True)
class PublicName:
    """Object with a page of its own.

    Attributes:
        module: Module in which the page lists it, the first that exports it: `deeprnn_keras`, then its submodules.
        name: Its name there.
        value: The object.
        exporters: All modules that export it under this name.
    """

    module: str
    name: str
    value: object
    exporters: tuple[str, ...]

    @property
    def path(self) -> str:
        """Full name, for example `deeprnn_keras.data.digits`."""
        return f"{self.module}.{self.name}"

    @property
    def page(self) -> str:
        """Page of the site."""
        return f"api/{self.path}"

    def spellings(self) -> Iterator[str]:
        """Yield the names by which pages refer to the object."""
        for exporter in self.exporters:
            path = f"{exporter}.{self.name}"
            yield from (path, path.removeprefix(f"{PACKAGE}."))


def modules() -> list[str]:
    """Return the names of the public modules, the package first."""
    names = [name for name in deeprnn_keras.__all__ if inspect.ismodule(getattr(deeprnn_keras, name))]
    return [PACKAGE, *(f"{PACKAGE}.{name}" for name in sorted(names))]


@functools.cache
def public_names() -> tuple[PublicName, ...]:
    """Return the objects that the package and its public submodules export, without the modules themselves."""
    exporters: dict[tuple[str, int], list[str]] = {}
    values: dict[tuple[str, int], object] = {}
    for module in modules():
        loaded = importlib.import_module(module)
        for name in getattr(loaded, "__all__", ()):
            value = getattr(loaded, name)
            if not inspect.ismodule(value):
                exporters.setdefault((name, id(value)), []).append(module)
                values[name, id(value)] = value
    return tuple(PublicName(found[0], key[0], values[key], tuple(found)) for key, found in exporters.items())


def pages() -> dict[str, str]:
    """Return the pages of the reference, {page: Markdown}."""
    names = public_names()
    by_module = {module: [name for name in names if module in name.exporters] for module in modules()}
    texts = {name.page: _object_page(name) for name in names}
    texts |= {f"api/{module}": _module_page(module, exported) for module, exported in by_module.items()}
    return texts | {"api/index": _index_page()}


def _index_page() -> str:
    rows = [
        f"| [`{name}`]({name}.md) | {first_sentence(_docstring(importlib.import_module(name)))} |" for name in modules()
    ]
    table = "\n".join(["| Module | Contents |", "|---|---|", *rows])
    text = (
        f"`{PACKAGE}` exports the names that most programs need; its submodules export the others. Modules and names "
        "are imported on first use."
    )
    return f"# API reference\n\n{text}\n\n{table}\n\n{toctree(modules())}"


def _module_page(module: str, exported: list[PublicName]) -> str:
    body = to_markdown(_docstring(importlib.import_module(module)))
    rows = [f"| [`{name.name}`]({name.path}.md) | {_summary(name)} |" for name in sorted(exported, key=_sort_key)]
    table = "\n".join(["| Name | Description |", "|---|---|", *rows]) if rows else ""
    parts = [f"# {module}", f"```{{py:module}} {module}\n```", body, table]
    return "\n\n".join(filter(None, parts)) + "\n"


def _object_page(name: PublicName) -> str:
    value = name.value
    statement = f"```python\nfrom {name.module} import {name.name}\n```"
    if inspect.isclass(value):
        body = f"{_directive('py:class', name.name, value, name.module)}\n\n{_bases(value)}{_class_body(value)}"
    elif inspect.isfunction(value):
        documentation = to_markdown(_docstring(value), _types(value))
        body = f"{_directive('py:function', name.name, value, name.module)}\n\n{documentation}"
    else:
        body = f"```{{py:data}} {name.name}\n:module: {name.module}\n```\n\nValue: `{_value_text(value)}`"
    above = f"[API reference](index.md) / [{name.module}]({name.module}.md)"
    return f"{ORPHAN}# {name.name}\n\n{above}\n\n{statement}\n\n{body}\n\n{_source(value)}"


def _class_body(cls: type) -> str:
    documentation = to_markdown(_docstring(cls), _types(cls))
    members = [_member(cls, name, value) for name, value in documented_members(cls)]
    return "\n\n".join([documentation, *(["## Methods and properties", *members] if members else [])])


def documented_members(cls: type) -> list[tuple[str, object]]:
    """Return the public methods and properties with a docstring that classes without a page of their own define."""
    public = {id(name.value) for name in public_names()} - {id(cls)}
    found: dict[str, object] = {}
    for base in cls.__mro__:
        if not base.__module__.startswith(PACKAGE) or id(base) in public:
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and _is_member(value) and name not in found:
                found[name] = value
    return [(name, value) for name, value in found.items() if _docstring(_unwrap(value))]


def _member(cls: type, name: str, value: object) -> str:
    path = next(entry for entry in public_names() if entry.value is cls)
    inner, head, options = _unwrap(value), f"{path.name}.{name}", f":module: {path.module}\n"
    body = to_markdown(_docstring(inner), {} if _is_property(value) else _types(inner))
    if _is_property(value):
        kind, options = "py:property", options + f":type: {_return_type(inner)}\n"
    else:
        kind = MEMBERS.get(type(value), "py:method")
        head += _signature(inner, skip_first=kind != "py:staticmethod")
    return f"{FENCE}{{{kind}}} {head}\n{options}\n{body}\n{FENCE}"


def _is_member(value: object) -> bool:
    return inspect.isfunction(_unwrap(value)) or _is_property(value)


def _is_property(value: object) -> bool:
    return isinstance(value, (property, functools.cached_property))


def _unwrap(value: object) -> object:
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    return value.func if isinstance(value, functools.cached_property) else value


def _directive(kind: str, name: str, value: object, module: str) -> str:
    return f"```{{{kind}}} {name}{_signature(value)}\n:module: {module}\n```"


def _signature(value: object, skip_first: bool = False) -> str:
    """Return the signature, with the types of the arguments if the docstring does not describe them."""
    signature = inspect.signature(value)  # type: ignore[arg-type]
    typed = not described_names(_docstring(value))
    parameters = [_parameter(one, typed) for one in signature.parameters.values()][1 if skip_first else 0 :]
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    result = None if inspect.isclass(value) else _return_type(value)
    return f"{text} -> {result}" if result else text


def _parameter(parameter: inspect.Parameter, typed: bool) -> inspect.Parameter:
    annotation: object = inspect.Parameter.empty
    if typed and parameter.annotation is not inspect.Parameter.empty:
        annotation = _Source(_annotation(parameter.annotation))
    return parameter.replace(annotation=annotation, default=_default(parameter))


@dataclass(frozen=True)
class _Source:
    """Default value or type that is printed as source code."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _default(parameter: inspect.Parameter) -> object:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return default
    text = default.__name__ if inspect.isclass(default) or inspect.isfunction(default) else repr(default)
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return _Source("...")
    return _Source(text)


def _types(value: object) -> Mapping[str, str]:
    """Return the types of the arguments, {name: type}, with * or ** stripped from the names."""
    parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    return {
        one.name: _annotation(one.annotation)
        for one in parameters
        if one.name not in ("self", "cls") and one.annotation is not inspect.Parameter.empty
    }


def _return_type(value: object) -> str | None:
    annotation = inspect.signature(value).return_annotation  # type: ignore[arg-type]
    return None if annotation is inspect.Signature.empty else _annotation(annotation)


def _annotation(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation.strip("'\"")
    return inspect.formatannotation(annotation)


def _bases(cls: type) -> str:
    known = {id(name.value): name.path for name in public_names()}
    bases = [known.get(id(base)) or _keras_name(base) for base in cls.__bases__]
    shown = ", ".join(f"`{base}`" for base in bases if base)
    return f"Subclass of {shown}.\n\n" if shown else ""


def _keras_name(cls: type) -> str | None:
    """Return the public name of a class of Keras, for example `keras.layers.Layer`, or None for other classes."""
    modules_with_it = [one for one in KERAS_MODULES if getattr(one, cls.__name__, None) is cls]
    return f"keras.{modules_with_it[0].__name__.rpartition('.')[2]}.{cls.__name__}" if modules_with_it else None


def _source(value: object) -> str:
    module = getattr(value, "__module__", None)
    if not module or not module.startswith(PACKAGE):
        return ""
    path = module.replace(".", "/").replace(f"{PACKAGE}/zoo", "zoo")
    return f"Defined in `{path}.py`.\n"


def _summary(name: PublicName) -> str:
    is_object = inspect.isclass(name.value) or inspect.isfunction(name.value)
    text = first_sentence(_docstring(name.value)) if is_object else f"`{_value_text(name.value)}`"
    return text.replace("|", r"\|")


def _value_text(value: object) -> str:
    if isinstance(value, functools.partial):
        keywords = "".join(f", {key}={option!r}" for key, option in value.keywords.items())
        return f"partial({value.func.__name__}{keywords})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {getattr(item, '__name__', item)}" for key, item in value.items()) + "}"
    return ascii(value)


def _docstring(value: object) -> str:
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def _sort_key(name: PublicName) -> tuple[bool, str]:
    return not inspect.isclass(name.value), name.name.lower()
