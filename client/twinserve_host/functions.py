"""A user's function, named on the command line or in a manifest as ``module:function``."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final

_FORM: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class FunctionError(Exception):
    """There is no such function; the message says what is missing."""


def is_function_name(text: str) -> bool:
    """Whether ``text`` has the form ``module:function``."""
    return _FORM.fullmatch(text) is not None


def import_function(text: str) -> Callable[..., Any]:
    """Import ``module:function``; modules in the current folder are found, too.

    Raises:
        FunctionError: the module cannot be imported, or has no such function.
    """
    if not is_function_name(text):
        raise FunctionError(f"{text!r}: is not module:function, for example metrics:word_error_rate")
    name, _, attribute = text.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # a console script's path starts with its own folder
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise FunctionError(f"{text}: there is no module {error.name} in {here}, nor is it installed") from None
        raise FunctionError(f"{text}: the module needs {error.name}, which is not installed") from None
    except Exception as error:  # noqa: BLE001  (a module can raise anything while it is imported)
        raise FunctionError(f"{text}: the module cannot be imported ({type(error).__name__}: {error})") from None
    found = getattr(module, attribute, None)
    if not callable(found):
        raise FunctionError(f"{text}: module {'does not define' if found is None else 'has no function'} {attribute}")
    function: Callable[..., Any] = found
    return function
