"""Makes untrusted text inert: names of classes, files, studies and plugins, and error messages.

A name can hold anything: escape sequences that rewrite the screen, marks that reverse the order of
what follows, lines that pretend to be ours.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
"""Stands where a character was taken away, so that two names that differ still look different."""


def plain(value: object) -> str:
    """``value`` as one line without control characters.

    What Unicode does not count as printable (control and format characters, among them ESC and the
    marks of writing direction; lone surrogates, from file names that are not UTF-8; unassigned
    code points) becomes :data:`REPLACEMENT`, and any run of white space one space.
    """
    return " ".join(plain_lines(value).split())


def plain_word(text: object) -> str:
    """A word that is one of ours unless somebody has changed the study: as such nowhere markup."""
    return re.sub(r"[^\w .,-]", "", plain(text))


def plain_lines(value: object) -> str:
    """As :func:`plain`, but lines and their indentation are kept."""
    return "\n".join(
        "".join(
            char if char.isprintable() else " " if char.isspace() else REPLACEMENT for char in line
        )
        for line in str(value).split("\n")
    )
