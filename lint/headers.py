#!/usr/bin/env python3
"""headers.py: a header declares one component.

NAME.h, or NAME_private.h, declares what NAME.c defines, with NAME_*.c; or it is the door of a room,
has its folder's name (http/http.h; http/private.h inside) and declares what the files of
that folder define. A door has at most 30 names.

The names by which a program finds what is plugged into it (lint/layers) may be in any header.
"""

import collections
import fnmatch
import os
import re
import sys

from layers import backend_objects, module_objects, read_layers, sources, symbols
from project import Exceptions, text

DOOR = 30


def declared(header):
    """The names before a "(", or at the end of an extern declaration, outside of braces."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text(header), flags=re.S)
    outside = None
    while outside != code:
        outside, code = code, re.sub(r"\{[^{}]*\}", ";", code)
    functions = re.findall(r"\b(\w+)\s*\(", code)
    variables = re.findall(r"\bextern\b[^;(]*?(\w+)(?:\[[^\]]*\])*;", code)
    return set(functions + variables)


def stem(name):
    base = os.path.splitext(os.path.basename(name))[0]
    return re.sub(r"^ngx_http_weir_?|_private$", "", re.sub(r"_private$", "", base))


def is_door(header):
    """Whether the header has its folder's name, alone or after that of the folder around it."""
    folders = header.split("/")[:-1]
    return stem(header) in ("", "private", folders[-1], "_".join(folders[-2:]))


def belongs(file, header):
    """Whether the header may declare what the file defines."""
    if is_door(header):
        return file.startswith(os.path.dirname(header) + "/")
    return f"{stem(file)}_".startswith(f"{stem(header)}_")


def main():
    exceptions = Exceptions("header")
    _, plugs = read_layers()
    definers = {}
    for objects in (backend_objects(), module_objects()):
        defined, _ = symbols(objects)
        definers.update({symbol: files for symbol, files in defined.items() if len(files) == 1})
    for header in sources(".h"):
        files = collections.defaultdict(list)
        for name in sorted(declared(header)):
            if any(fnmatch.fnmatchcase(name, plug) for plug in plugs):
                continue
            for file in definers.get(name, ()):
                files[file].append(name)
        if is_door(header):
            count = sum(map(len, files.values()))
            if count > DOOR:
                exceptions.find(("header", header),
                                f"{header} declares {count} names, more than {DOOR}")
        for file, names in sorted(files.items()):
            if not belongs(file, header):
                exceptions.find(("header", header),
                                f"{header} declares {names[0]}(), which {file} defines")
    return exceptions.finish("headers")


if __name__ == "__main__":
    sys.exit(main())
