"""Result files of the benchmarks."""

import json


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
