#!/usr/bin/env python3
"""Looks through compiled kernels for registers that a `wgmma` may still read when something else is written into them.

    scripts/wgmma_check.py OBJECT_OR_LIBRARY...

A `wgmma` whose A operand stands in registers reads them while later instructions run, until a wait; ptxas takes them for free at
once (kernels hold them, src/runtime/cuda/group_multiply.cuh). Needs cuobjdump of the CUDA toolkit. Branches are not followed: code is
read from top to bottom. Exit status 1 with a line for each write that comes too early.
"""

import re
import subprocess
import sys

FUNCTION = re.compile(r"Function : (\S+)")
INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]{4,5})\*/\s+(.*?);")
PRODUCT = re.compile(r"HGMMA\.\S+\s+R\d+, R(\d+),")  # sums, A in registers
TARGET = re.compile(r"(?:@!?U?P\d+ )?(\S+)\s+R(\d+)")
A_REGISTERS = 4
# Their first operand is read, or they end the straight run.
WITHOUT_TARGET = ("ST", "RED", "BRA", "BAR", "SYNCS", "EXIT", "WARPSYNC")


def width(operation):
    """Registers that an instruction writes."""
    return 4 if ".128" in operation else 2 if ".64" in operation or "CS2R" in operation or "WIDE" in operation else 1


def early_writes(sass):
    """(function, address, instruction) of each."""
    function, reading = "", set()
    for line in sass:
        if name := FUNCTION.search(line):
            function, reading = name[1], set()
        instruction = INSTRUCTION.match(line)
        if not instruction:
            continue
        address, text = instruction.groups()
        if product := PRODUCT.search(text):
            first = int(product[1])
            reading |= set(range(first, first + A_REGISTERS))
        elif "WARPGROUP.DEPBAR" in text:
            reading = set()
        elif (target := TARGET.match(text)) and not target[1].startswith(WITHOUT_TARGET):
            first = int(target[2])
            if reading & set(range(first, first + width(target[1]))):
                yield function, address, text


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.split("\n")[2].strip())
    found = products = 0
    for path in sys.argv[1:]:
        try:
            done = subprocess.run(["cuobjdump", "-sass", path], capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("wgmma_check: cuobjdump is not on the PATH; it comes with the CUDA toolkit")
        if done.returncode != 0:
            sys.exit(f"wgmma_check: {path}: {(done.stderr.strip() or 'cuobjdump failed').splitlines()[0]}")
        lines = done.stdout.splitlines()
        products += sum("HGMMA" in line for line in lines)
        for function, address, text in early_writes(lines):
            print(f"{path}: {function} at {address}: {text}")
            found += 1
    print(f"{products} products of warp groups, {found} registers written too early")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
