#!/usr/bin/env python3
"""style.py: the form of the C.

The project's own is that of .clang-format. The module's glue keeps nginx's, which clang-format has
no words for; of that this looks at what can be seen line by line: no tab, no blank at a line's end,
a function's return type on a line of its own, and two empty lines between functions.
"""

import re
import subprocess
import sys

from project import ROOT, Exceptions, files, is_nginx_style, text


def check_format(names, exceptions):
    formatted = subprocess.run(["clang-format", "--dry-run", *names],
                               cwd=ROOT, capture_output=True, text=True)
    lines = re.findall(r"^(\S+?):(\d+):\d+: warning: code should be clang-formatted",
                       formatted.stderr, re.M)
    if formatted.returncode:
        sys.exit(f"lint: clang-format failed\n{formatted.stderr}")
    first = {}
    for name, line in lines:
        first.setdefault(name, line)
    for name, line in sorted(first.items()):
        exceptions.find(("format", name), f"{name}:{line}: not as .clang-format has it: "
                                          f"clang-format {name} shows how it would be")


def nginx_faults(source):
    """(line, what is wrong)"""
    lines = source.split("\n")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "a blank at the end of the line"
        if line == "{" and not re.match(r"\w+\(|    ", lines[number - 2]):
            yield number - 1, "a function begins with its name on a line of its own"
        if line == "}" and number < len(lines) - 1:
            after = lines[number:number + 3]
            if after[:2] != ["", ""] or after[2:] == [""]:
                yield number, "two empty lines come after a function"


def check_nginx_style(names, exceptions):
    for name in names:
        found = list(nginx_faults(text(name)))
        if found:
            told = "".join(f"\n    line {line}: {what}" for line, what in found[:5])
            exceptions.find(("nginx-style", name), f"{name}: not nginx's style{told}", len(found))


def main():
    exceptions = Exceptions("format", "nginx-style")
    names = [name for name in files() if name.endswith((".c", ".h"))]
    check_format([name for name in names if not is_nginx_style(name)], exceptions)
    check_nginx_style([name for name in names if is_nginx_style(name)], exceptions)
    return exceptions.finish("style")


if __name__ == "__main__":
    sys.exit(main())
