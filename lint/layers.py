#!/usr/bin/env python3
"""layers.py: no call runs up from room to room, and files do not call each other in circles.

lint/layers says which rooms there are and which is above which. Who uses whom is read from the
object files (nm): an object defines symbols and needs symbols of others. What is in headers only
(types, macros) leaves nothing there, so the #include lines of the sources are read too.

The objects are the backend's, in build/obj, and the module's, as nginx's makefile names them. Both
must have been built.
"""

import collections
import fnmatch
import os
import re
import subprocess
import sys

from project import ROOT, Exceptions, path, text

FOLDERS = ("common", "backend", "ngx_module")
MODULE_MAKEFILE = "build/nginx/objs/Makefile"


def sources(*suffixes):
    """The programs' files with one of the suffixes; no tests and no templates."""
    found = []
    for folder in FOLDERS:
        for parent, folders, names in os.walk(path(folder)):
            folders[:] = set(folders) - {"t", "template"}
            found += [os.path.relpath(os.path.join(parent, name), ROOT)
                      for name in names if name.endswith(suffixes)]
    return sorted(found)


# --- rooms ------------------------------------------------------------------------------------


def read_layers():
    """({room: line}, patterns of names that are no calls); a smaller number is higher."""
    rooms, names = {}, []
    for number, line in enumerate(text("lint/layers").splitlines()):
        words = line.split("#")[0].split()
        if words[:1] == ["names:"]:
            names += words[1:]
            continue
        for room in words:
            if room in rooms:
                sys.exit(f"lint/layers: {room} stands twice")
            rooms[room] = number
    return rooms, names


def room_of(name, rooms):
    """The innermost room that a file is in."""
    place = name if name in rooms else os.path.splitext(name)[0]
    while place not in rooms:
        place = os.path.dirname(place)
        if not place:
            return None
    return place


# --- who uses whom ----------------------------------------------------------------------------


def backend_objects():
    """{object: source}"""
    return {f"build/obj/{name[:-2]}.o": name
            for name in sources(".c") if not name.startswith("ngx_module/")}


def module_objects():
    """{object: source}, from nginx's makefile: a rule "OBJECT.o: …", some lines on its SOURCE.c.

    The paths in it are absolute; the project may have been moved or copied since.
    """
    objects, wanted = {}, None
    if not os.path.exists(path(MODULE_MAKEFILE)):
        sys.exit("lint: the module is not built: make module")
    for line in text(MODULE_MAKEFILE).splitlines():
        rule = re.match(r"(.*)/(build/nginx/objs/addon/.*\.o):", line)
        if rule:
            built_in, wanted = rule.groups()
        source = re.match(r"\t(\S+\.c)$", line)
        if source and wanted:
            name = os.path.relpath(source.group(1), built_in)
            if name.startswith(FOLDERS):
                objects[wanted] = name
            wanted = None
    return objects


def symbols(objects):
    """({symbol: the files that define it}, {(file, symbol that it needs)})"""
    missing = [name for name in objects if not os.path.exists(path(name))]
    if missing:
        sys.exit(f"lint: not built: {missing[0]} and perhaps others: make")
    defined, needed = collections.defaultdict(set), set()
    listed = subprocess.run(["nm", "-A", "-P", *objects],
                            cwd=ROOT, check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        label, symbol, kind = line.split()[:3]
        source = objects[label.rstrip(":")]
        if kind == "U":
            needed.add((source, symbol))
        elif kind.isupper():
            defined[symbol].add(source)
    return defined, needed


def symbol_uses(objects, names):
    """(from, to, symbol) for each symbol that one file defines and another needs.

    Those that match names are none: see lint/layers.
    """
    defined, needed = symbols(objects)
    for source, symbol in sorted(needed):
        if any(fnmatch.fnmatchcase(symbol, pattern) for pattern in names):
            continue
        for definer in sorted(defined[symbol]):
            yield source, definer, symbol


def include_uses():
    """(from, to, line) for each header of the project that a file includes."""
    for name in sources(".c", ".h"):
        for header in re.findall(r'^#include "(.*)"', text(name), re.M):
            for folder in (os.path.dirname(name), "", "ngx_module", "backend"):
                found = os.path.normpath(os.path.join(folder, header))
                if os.path.isfile(path(found)):
                    yield name, found, f'#include "{header}"'
                    break


# --- circles ----------------------------------------------------------------------------------


def reachable(graph, start):
    """The files that calls lead to from start, each with the one before it on a shortest way."""
    before, waiting = {}, [start]
    for file in waiting:
        for target in sorted(graph.get(file, ())):
            if target not in before:
                before[target] = file
                waiting.append(target)
    return before


def circles(uses):
    """For each set of files that all reach one another: the set, and a shortest way round."""
    graph, symbols = collections.defaultdict(set), {}
    for source, target, symbol in sorted(uses, reverse=True):
        graph[source].add(target)
        symbols[source, target] = symbol
    ways = {file: reachable(graph, file) for file in graph}
    seen = set()
    for file in sorted(graph):
        if file not in ways[file] or file in seen:
            continue
        together = tuple(sorted(other for other in ways[file] if file in ways.get(other, ())))
        seen.update(together)
        rounds = []
        for start in together:
            way, target = [], start
            while not way or target != start:
                source = ways[start][target]
                way.insert(0, (source, target, symbols[source, target]))
                target = source
            rounds.append(way)
        yield together, min(rounds, key=len)


# --- the check --------------------------------------------------------------------------------


def main():
    rooms, names = read_layers()
    exceptions = Exceptions("up", "circle")
    for name in sources(".c", ".h"):
        if room_of(name, rooms) is None:
            exceptions.findings.append(f"{name}: lint/layers has no room for it")

    calls = [*symbol_uses(backend_objects(), names), *symbol_uses(module_objects(), names)]
    for source, target, what in sorted(set(calls + list(include_uses()))):
        upper, lower = room_of(source, rooms), room_of(target, rooms)
        if upper is None or lower is None or upper == lower or rooms[upper] < rooms[lower]:
            continue
        way = "runs up" if rooms[upper] > rooms[lower] else "stands beside"
        exceptions.find(("up", source, target), f"{source}: {what} of {target} {way}: "
                        f"{upper} may not use {lower} (lint/layers)")

    known = [set(about[1:]) for about in exceptions.limits if about[0] == "circle"]
    inside = [(source, target, what) for source, target, what in calls
              if source != target and room_of(source, rooms) == room_of(target, rooms)]
    for together, way in circles(inside):
        larger = next((circle for circle in known if circle > set(together)), None)
        if larger:
            exceptions.met.add(("circle", *sorted(larger)))
            exceptions.findings.append("lint/exceptions: a circle is smaller now: circle "
                                       + " ".join(together))
            continue
        exceptions.find(("circle", *together), "\n    ".join(
            ["a circle of calls: circle " + " ".join(together)]
            + [f"{source} calls {target}: {what}" for source, target, what in way]))
    return exceptions.finish("layers")


if __name__ == "__main__":
    sys.exit(main())
