"""Docstrings of langevax as the site's tools read them: a griffe extension."""

import ast
import re
from functools import partial
from typing import Any

import griffe

DATA_CLASSES = {"equinox.Module", "typing.NamedTuple"}
"""Classes whose arguments are their fields, without saying so by a decorator."""

DOCTEST = re.compile(r"(?:^|(?<=\n\n))(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*)*", re.MULTILINE)

ATTRIBUTES = re.compile(r"^Attributes:\n(?:    .*\n?)+", re.MULTILINE)


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = read_as_markdown(obj.docstring.value)
            obj.docstring.value = ATTRIBUTES.sub(partial(_own_types, obj), text)

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        if pkg.path != "langevax":
            return
        _add_functions_on_use(pkg)
        for module in _modules(pkg):
            for cls in module.classes.values():
                if not cls.is_alias and "__init__" not in cls.members and _is_made_of_fields(cls):
                    _let_fields_be_arguments(cls)


def read_as_markdown(text: str) -> str:
    """Examples in their section or in a fence; several names are one; `> 0` is no quotation, `loss*_i` no emphasis."""
    text = re.sub(r"^    \w+_?(, \w+)+:", lambda names: names[0].replace(", ", ",\u00a0"), text, flags=re.MULTILINE)
    text = re.sub(r"^( +[\w, ]+: )>(?!>>)", r"\1\\>", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=\w)\*_(?=\w)", r"\\*\\_", text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    head, sections, rest = text.partition("\nExamples:\n")
    return DOCTEST.sub(_fenced, head) + sections + rest


def _fenced(match: re.Match) -> str:
    indent = match["indent"]
    return f"{indent}```pycon\n{match[0]}\n{indent}```"


def _own_types(obj: griffe.Object, section: re.Match) -> str:
    """Attributes made by `fit` have no annotation: by default griffe gives them that of the one before."""
    known = {name for parent in _parents(obj) for name in parent.attributes} if obj.is_class else set()
    return re.sub(
        r"^    ([\w,\u00a0]+):",
        lambda name: name[0] if name[1] in known else f"    {name[1]} ():",
        section[0],
        flags=re.MULTILINE,
    )


def _add_functions_on_use(pkg: griffe.Module) -> None:
    """Add functions that are imported on first use, and `langevax.simulate`, which has the name of its module."""
    packages = ast.literal_eval(str(pkg["_FUNCTIONS_ON_USE"].value)) | {"simulate": "run"}
    for name, package in packages.items():
        pkg.set_member(name, griffe.Alias(name, pkg[package].imports[name]))


def _modules(module: griffe.Module) -> list[griffe.Module]:
    below = [inner for inner in module.modules.values() if not inner.is_alias]
    return [module, *(submodule for inner in below for submodule in _modules(inner))]


def _parents(cls: griffe.Class) -> list[griffe.Class]:
    try:
        return [cls, *cls.mro()]
    except (ValueError, griffe.AliasResolutionError):
        return [cls]


def _is_made_of_fields(cls: griffe.Class) -> bool:
    bases = {base.canonical_path for parent in _parents(cls) for base in parent.bases if not isinstance(base, str)}
    return bool(bases & DATA_CLASSES)


def _let_fields_be_arguments(cls: griffe.Class) -> None:
    kind = griffe.ParameterKind.positional_or_keyword
    parameters = {"self": griffe.Parameter("self", kind=kind)}
    for parent in reversed(_parents(cls)):
        for field in filter(_is_argument, parent.attributes.values()):
            parameters[field.name] = griffe.Parameter(
                field.name, annotation=field.annotation, kind=kind, default=_default(field)
            )
    cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters.values())))


def _is_argument(field: griffe.Attribute) -> bool:
    """Annotated, and neither a property nor a ClassVar, which griffe knows as an attribute of the class alone."""
    of_class_alone = "class-attribute" in field.labels and "instance-attribute" not in field.labels
    return field.annotation is not None and "property" not in field.labels and not of_class_alone


def _default(field: griffe.Attribute) -> Any:
    """The value, or what `eqx.field(default=...)` gives."""
    if isinstance(field.value, griffe.ExprCall) and field.value.canonical_path == "equinox.field":
        arguments = {argument.name: argument.value for argument in field.value.arguments}
        return arguments.get("default")
    return field.value
