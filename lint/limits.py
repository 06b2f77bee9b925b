#!/usr/bin/env python3
"""limits.py: how long a line and a function may be, and how full a folder.

- A line of C, of a script and of a document has at most 100 columns. In documents, lines of tables
  and single words (links) may be longer, because they can't be wrapped.
- A function of production code has at most 70 lines, from its brace to its brace.
- A folder has at most 16 files. What is in a folder of that folder does not count.
"""

import collections
import os
import re
import sys

from project import Exceptions, files, text

COLUMNS = 100
FUNCTION = 70
FOLDER = 16
PRODUCTION = ("common/", "backend/", "ngx_module/")
LINES_OF = (".c", ".h", ".sh", ".pl", ".pm", ".t", ".py", ".jq", ".lua", ".js", ".css", ".md",
            ".conf", ".conf.in", ".ci/run", "weir")


def is_too_long(name, line):
    if len(line.expandtabs(8)) <= COLUMNS:
        return False
    if not name.endswith(".md"):
        return True
    longest_word = max(map(len, line.split()))
    return not line.startswith("|") and longest_word < COLUMNS - 8


def check_columns(names, exceptions):
    for name in names:
        if not name.endswith(LINES_OF):
            continue
        long = [number for number, line in enumerate(text(name).splitlines(), 1)
                if is_too_long(name, line)]
        if long:
            exceptions.find(("columns", name), f"{name}:{long[0]}: more than {COLUMNS} columns, "
                            f"as {len(long)} line(s) of this file", len(long))


def functions(source):
    """(name, first line, lines) of each function: what is between braces in the first column."""
    lines = source.splitlines()
    begin = None
    for number, line in enumerate(lines):
        if line == "{":
            begin = number
        elif line.startswith("}") and begin is not None:
            head = begin - 1
            while head > 0 and not re.match(r"\w.*\(", lines[head]):
                head -= 1
            called = re.match(r".*?(\w+)\(", lines[head])
            yield called.group(1) if called else "?", begin + 1, number - begin + 1
            begin = None


def check_functions(names, exceptions):
    for name in names:
        if name.startswith(PRODUCTION) and name.endswith(".c"):
            for function, line, lines in functions(text(name)):
                if lines > FUNCTION:
                    exceptions.find(("function", name, function), f"{name}:{line}: {function}() "
                                    f"has {lines} lines, more than {FUNCTION}", lines)


def check_folders(names, exceptions):
    full = collections.Counter(os.path.dirname(name) or "." for name in names)
    for folder, count in sorted(full.items()):
        if count > FOLDER:
            exceptions.find(("folder", folder),
                            f"{folder}/ has {count} files, more than {FOLDER}", count)


def main():
    names = files()
    exceptions = Exceptions("columns", "function", "folder")
    check_columns(names, exceptions)
    check_functions(names, exceptions)
    check_folders(names, exceptions)
    return exceptions.finish("limits")


if __name__ == "__main__":
    sys.exit(main())
