#!/usr/bin/env python3
"""tidy.py: clang-tidy, with the checks of .clang-tidy, on the C of programs, module and benchmarks.

Writes build/compile_commands.json, which clang-tidy reads and editors may. A file that was clean is
looked at again only when it, a header of the project that it includes, its flags, the checks or
clang-tidy have changed: the user's cache (~/.cache/weir-lint) has an empty file for each digest of
these that was clean. There are no paths in it, so clones share it.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time

from layers import MODULE_MAKEFILE, backend_objects, module_objects
from project import ROOT, files, path, text

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                     "weir-lint")
KEPT_DAYS = 30
# What changes the checks, or nginx's own headers.
CONFIGURED_BY = (".clang-tidy", "ngx_module/.clang-tidy", "build/nginx/configured")
INCLUDED_FROM = ("", "ngx_module", "backend")


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


# --- how each file is compiled ----------------------------------------------------------------


def nginx_includes():
    """The -I of nginx's makefile, which are relative to the tree that it was configured in."""
    block = re.search(r"^ALL_INCS = (.*?)\n\n", text(MODULE_MAKEFILE), re.M | re.S).group(1)
    for folder in re.findall(r"-I (\S+)", block):
        inside = re.match(r".*?/build/nginx/(objs)$", folder)
        if inside:
            yield path("build/nginx/objs")
        elif not os.path.isabs(folder):
            yield path(f"build/nginx/src/{folder}")


def compile_commands():
    """{file: arguments}"""
    ours = output("make", "-s", "compile-flags").split()
    glue = [f"-I{folder}" for folder in (ROOT, path("ngx_module"), *nginx_includes())]
    backend, module = set(backend_objects().values()), set(module_objects().values())
    commands = {}
    for name in files():
        if name.startswith("bench/") and name.endswith(".c") or name in backend:
            commands[name] = ours
        elif name in module:
            commands[name] = glue
    return {name: ["cc", "-O2", *flags, "-c", path(name)] for name, flags in commands.items()}


def write_commands(commands):
    with open(path("build/compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump([{"directory": ROOT, "file": path(name), "arguments": arguments}
                   for name, arguments in commands.items()], file, indent=1)


# --- what has changed -------------------------------------------------------------------------


def with_headers(name, found):
    """Adds the file to found, and the headers of the project that it includes, with theirs."""
    if name in found:
        return
    found.add(name)
    for header in re.findall(r'^#include "(.*)"', text(name), re.M):
        for folder in (os.path.dirname(name), *INCLUDED_FROM):
            other = os.path.normpath(os.path.join(folder, header))
            if os.path.isfile(path(other)):
                with_headers(other, found)
                break


def digest(name, arguments, tool):
    found = set()
    with_headers(name, found)
    seen = hashlib.sha256("\0".join([tool, *arguments]).replace(ROOT, "").encode())
    for file in sorted(found):
        seen.update(f"\0{file}\0{text(file)}".encode())
    return seen.hexdigest()


def was_clean(key):
    try:
        os.utime(os.path.join(CACHE, key))
        return True
    except OSError:
        return False


def note_clean(key):
    with open(os.path.join(CACHE, key), "w", encoding="utf-8"):
        pass


def open_cache():
    os.makedirs(CACHE, exist_ok=True)
    for entry in os.scandir(CACHE):
        if entry.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
            os.unlink(entry.path)


# --- the check --------------------------------------------------------------------------------


def look(name):
    """What clang-tidy says of the file; "" when it is clean."""
    ran = subprocess.run(["clang-tidy", "--quiet", "-p", "build", name],
                         cwd=ROOT, capture_output=True, text=True)
    said = ran.stdout.replace(ROOT + "/", "").strip()
    return said or (ran.stderr if ran.returncode else "")


def main():
    commands = compile_commands()
    write_commands(commands)
    tool = output("clang-tidy", "--version") + "".join(map(text, CONFIGURED_BY))
    open_cache()
    keys = {name: digest(name, arguments, tool) for name, arguments in commands.items()}
    wanted = [name for name in keys if not was_clean(keys[name])]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, said in zip(wanted, pool.map(look, wanted)):
            if said:
                print(said, flush=True)
                failed += 1
            else:
                note_clean(keys[name])
    if failed:
        print(f"lint: clang-tidy: findings in {failed} file(s)", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
