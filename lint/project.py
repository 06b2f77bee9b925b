"""What the checks of lint/ share: the project's files, and what is known to be wrong."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

def path(name):
    return os.path.join(ROOT, name)


def text(name):
    with open(path(name), encoding="utf-8", newline="") as file:
        return file.read()


def files():
    """The names of the project's files, those that are not committed yet among them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(listed)
                  if name and os.path.isfile(path(name)) and is_ours(name))


def is_ours(name):
    """Whether a file is no input of a fuzz target, no copy of nginx's sources and no template."""
    corpus = os.path.isfile(path(os.path.dirname(name) + "_fuzz.c"))
    return not corpus and not name.startswith("t/worlds/asan/") and "/template/" not in name


def is_nginx_style(name):
    """Whether a C file is glue, in nginx's style; the plain cores beside it are not."""
    folder, base = os.path.split(name)
    return base.startswith("ngx_http_") or folder.endswith("/probe")


def key(words):
    """A line of lint/exceptions without its number; of the files of a circle none is the first."""
    return (words[0], *sorted(words[1:])) if words[0] == "circle" else tuple(words)


class Exceptions:
    """The lines of lint/exceptions of some kinds.

    A line is a kind, what it is about, and for some kinds a number that may not be exceeded. What
    is found is either covered by a line or complained of; at the end a line that covers nothing is
    complained of too.
    """

    def __init__(self, *kinds):
        self.limits = {}
        self.met = set()
        self.findings = []
        for line in text("lint/exceptions").splitlines():
            words = line.split()
            if not words or words[0] not in kinds:
                continue
            number = int(words.pop()) if words[-1].isdigit() else None
            self.limits[key(words)] = number

    def find(self, about, complaint, number=None):
        """Complains, unless a line of the list says `about` and allows the number."""
        about = key(about)
        if about in self.limits and (number is None or number <= self.limits[about]):
            self.met.add(about)
            return
        self.findings.append(complaint)
        if about in self.limits:
            self.met.add(about)
            self.findings[-1] += f" (lint/exceptions allows {self.limits[about]})"

    def finish(self, name):
        """Prints what was found; the exit status."""
        for about in sorted(self.limits.keys() - self.met):
            self.findings.append(f'lint/exceptions: "{" ".join(about)}" is no longer needed: '
                                 "take the line out, or name the file as it is called now")
        for finding in self.findings:
            print(finding)
        if self.findings:
            print(f"lint: {name}: {len(self.findings)} finding(s)", file=sys.stderr)
        return 1 if self.findings else 0
