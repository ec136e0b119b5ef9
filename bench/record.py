"""Result files of the benchmarks."""

import json
import shlex
import sys

# Options whose value is a place on the machine.
PLACES = ("--tool", "--lib", "--output", "--compile-cache")


def command(script):
    """The command line without the machine's paths."""
    words = [word for i, word in enumerate(sys.argv) if i > 0 and word not in PLACES and sys.argv[i - 1] not in PLACES]
    return shlex.join([script, *words])


def kept_rows(earlier, rows, keys):
    """Rows of an earlier record whose case, by `keys`, has none among `rows`."""
    case = lambda row: tuple(row.get(key) for key in keys)
    done = {case(row) for row in rows}
    return [row for row in earlier.get("rows", []) if case(row) not in done]


def write(path, record):
    """A program that is stopped leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(path)
