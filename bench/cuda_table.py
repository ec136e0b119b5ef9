#!/usr/bin/env python3
"""Tables of bench/results/cuda.json: for a terminal, and in Markdown for the documentation.

    bench/cuda_table.py [FILE] [--batches 1 64] [--precisions fp32 fp16] [--networks ...]
"""

import argparse
import json
import pathlib

CASE = ("device", "network", "batch", "precision")
VARIANTS = ("dense-direct", "dense-fused", "dense-staged", "dense", "wins", "wins-b", "wins-ab", "wins-ab+bcbp", "wins+round8", "wins-ab+round8",
            "wins-ab+bcbp+round8", "fp", "wwp")
OURS = {"wins": "", "wins-tuned": " tuned"}  # what a column's name ends with, by engine
OUR_COLUMNS = [variant + end for variant in VARIANTS for end in OURS.values()]


def by_case(rows):
    """{case: rows}, in the order of the file."""
    cases = {}
    for row in rows:
        cases.setdefault(tuple(row[key] for key in CASE), []).append(row)
    return cases


def best_peer(rows):
    """Of one case; None without any."""
    return min((row for row in rows if row["engine"] not in OURS), key=lambda row: row["median_ms"], default=None)


def text(rows):
    lines = [f"{'network':14} {'batch':>5} {'prec':4} {'engine':21} {'variant':13} {'ratio %':>7} {'median ms':>10} {'min ms':>9} "
             f"{'memory MB':>9} {'error':>8} {'vs best peer':>12}"]
    for case in by_case(rows).values():
        best = best_peer(case)
        for row in case:
            factor = f"{best['median_ms'] / row['median_ms']:.2f}x" if best else "-"
            memory, error = (format(row[key], spec) if row[key] is not None else "-" for key, spec in (("memory_mb", ".0f"), ("error", ".1e")))
            lines.append(f"{row['network']:14} {row['batch']:5} {row['precision']:4} {row['engine']:21} {row['variant']:13} {row['ratio']:7} "
                         f"{row['median_ms']:10.3f} {row['min_ms']:9.3f} {memory:>9} {error:>8} {factor:>12}")
    return "\n".join(lines)


def cell(row, best):
    if row is None:
        return "-"
    return f"{row['median_ms']:.3g}, {best['median_ms'] / row['median_ms']:.2f}x" if best else f"{row['median_ms']:.3g}"


def columns_of(rows):
    """Our rows by column."""
    return {row["variant"] + OURS[row["engine"]]: row for row in rows if row["engine"] in OURS}


def markdown(rows):
    """A table for each device: the best peer, then our variants with the factor to it."""
    cases, lines = by_case(rows), []
    for device in dict.fromkeys(case[0] for case in cases):
        mine = {case: rows for case, rows in cases.items() if case[0] == device}
        present = {column for rows in mine.values() for column in columns_of(rows)}
        columns = [column for column in OUR_COLUMNS if column in present]
        lines += [f"{device}:", "", f"| network | batch | precision | best peer, ms | {' | '.join(columns)} |", "|---" * (4 + len(columns)) + "|"]
        for (_, network, batch, precision), rows in mine.items():
            best = best_peer(rows)
            ours = columns_of(rows)
            ratio = max((row["ratio"] for row in ours.values()), default=0)
            peer = f"{best['median_ms']:.3g} ({best['engine']})" if best else "-"
            lines.append(f"| {network} ({ratio} %) | {batch} | {precision} | {peer} | {' | '.join(cell(ours.get(c), best) for c in columns)} |")
        lines.append("")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "results/cuda.json")
    parser.add_argument("--networks", nargs="+")
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--precisions", nargs="+")
    options = parser.parse_args()
    wanted = lambda row: all(values is None or row[key] in values for key, values in (
        ("network", options.networks), ("batch", options.batches), ("precision", options.precisions)))
    print(markdown([row for row in json.loads(options.file.read_text())["rows"] if wanted(row)]))


if __name__ == "__main__":
    main()
