#!/usr/bin/env python3
"""Runs every command that a document shows.

Usage: scripts/docs_check.py [--list] [FILE...]      (README.md by default)

Each fenced block that starts with ```sh is run with `bash -eux`, in the order of the document, in one
scratch clone of this checkout (files that are not committed included), so the examples may build on
each other and cannot touch the checkout. If lines of a block start with "$ ", only these are run. A
block that starts with ```sh no-check is not run. A block with `git clone` starts outside the clone, and
whatever address it names gives that clone.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOT_NAME = "wins"  # the folder that the README's "git clone" makes
FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*(.*?)\s*$")


def blocks(path):
    """Yields (line number, info words, text) of each fenced block."""
    opening = None
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = FENCE.match(line)
        if opening is None:
            if match and match.group(3):
                opening = (number, len(match.group(1)), match.group(2), match.group(3).split())
                lines = []
            elif match:
                opening = (number, len(match.group(1)), match.group(2), [])
                lines = []
        elif match and not match.group(3) and match.group(2).startswith(opening[2]):
            yield opening[0], opening[3], "\n".join(lines)
            opening = None
        else:
            indent = len(line) - len(line.lstrip(" "))
            lines.append(line[min(opening[1], indent):])
    if opening is not None:
        sys.exit(f"docs-check: error: {path}:{opening[0]}: this block is not closed")


def commands(text):
    """The commands of a block: all of it, or, if it shows prompts, only the lines with one."""
    lines = text.splitlines()
    if any(line.startswith("$ ") for line in lines):
        kept = []
        continued = False
        for line in lines:
            if line.startswith("$ ") or continued:
                kept.append(line.removeprefix("$ "))
                continued = line.endswith("\\")
        lines = kept
    return "\n".join(lines)


def scratch_clone(target):
    """A clone with the present state of the work tree: tracked files, and untracked ones not ignored."""
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(target)], check=True)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True).stdout.decode()
    present = set(filter(None, listing.split("\0")))
    for name in present:
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
        elif copy.exists():
            copy.unlink()


def main():
    parser = argparse.ArgumentParser(description="Run every command that a document shows.")
    parser.add_argument("--list", action="store_true", help="print the blocks, run nothing")
    parser.add_argument("files", nargs="*", default=["README.md"])
    options = parser.parse_args()

    found = []
    skipped = 0
    for name in options.files:
        path = ROOT / name
        if not path.is_file():
            sys.exit(f"docs-check: error: {name} does not exist")
        for line, info, text in blocks(path):
            if not info or info[0] != "sh":
                continue
            if "no-check" in info[1:]:
                skipped += 1
                continue
            found.append((f"{name}:{line}", commands(text)))
    if not found:
        sys.exit(f"docs-check: error: no ```sh block in {', '.join(options.files)}")
    if options.list:
        for where, script in found:
            print(f"# {where}\n{script}\n")
        return

    with tempfile.TemporaryDirectory(prefix="wins-docs-") as folder:
        pristine = pathlib.Path(folder) / "pristine"
        scratch_clone(pristine)
        outside = pathlib.Path(folder) / "work"
        outside.mkdir()
        inside = outside / ROOT_NAME
        # Any address in a "git clone" means this checkout.
        wrapper = pathlib.Path(folder) / "bin"
        wrapper.mkdir()
        (wrapper / "git").write_text(
            "#!/bin/sh\n"
            'if [ "$1" = clone ]; then\n'
            "  for last; do :; done\n"
            '  case $last in *://*|*@*:*) last=$(basename "$last" .git);; esac\n'
            f'  exec cp -aT "{pristine}" "$last"\n'
            "fi\n"
            f'exec "{shutil.which("git")}" "$@"\n')
        (wrapper / "git").chmod(0o755)
        environment = dict(os.environ, PATH=f"{wrapper}:{os.environ['PATH']}")
        for number, (where, script) in enumerate(found, start=1):
            print(f"docs-check: {number}/{len(found)} {where}", flush=True)
            if "git clone" in script:
                shutil.rmtree(inside, ignore_errors=True)
            elif not inside.exists():
                shutil.copytree(pristine, inside, symlinks=True)
            status = subprocess.run(["bash", "-eux", "-o", "pipefail", "-c", script],
                                    cwd=outside if "git clone" in script else inside,
                                    env=environment, stdin=subprocess.DEVNULL).returncode
            if status != 0:
                sys.exit(f"docs-check: error: {where}: status {status} from:\n{script}")
    print(f"docs-check: {len(found)} blocks ran, {skipped} are marked no-check")


if __name__ == "__main__":
    main()
