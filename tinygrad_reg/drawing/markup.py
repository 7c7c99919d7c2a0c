"""Markup: text put into DOT and HTML such that none of it is taken for anything but text.

Names, types, formulas and notes are strings; what a picture is written in is `Markup`.  A string
becomes markup in `safe` alone, which escapes it, and `joined` and `tag` call that for all that
they are given.  So no care is needed to write a picture, and none can be forgotten.

>>> tag("TD", "a < b", ALIGN="LEFT").source
'<TD ALIGN="LEFT">a &lt; b</TD>'
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple, TypeAlias

from .words import printable


class Markup(NamedTuple):
    """Tags and escaped text, as they are written; only constants are made into it by hand."""

    source: str


Content: TypeAlias = "Markup | str | int"


def safe(content: Content) -> str:
    """Markup as it is; text escaped, and what nothing can show (see `printable`) as in Python."""
    return content.source if isinstance(content, Markup) else escape(printable(str(content)))


def joined(*content: Content) -> Markup:
    """All of it, one after the other."""
    return Markup("".join(map(safe, content)))


def tag(name: str, *content: Content, **attributes: Content) -> Markup:
    """<name attribute="…">content</name>; for dashes in the names of attributes write _."""
    said = [f' {key.replace("_", "-")}="{safe(value)}"' for key, value in attributes.items()]
    return Markup(f"<{name}{''.join(said)}>{''.join(map(safe, content))}</{name}>")
