#!/usr/bin/env bash
# Times the CPU engine and its peers in turn (bench/cpu.py, which takes the arguments), in an environment of their own.
#
#   scripts/bench_cpu.sh [--quick] [--networks resnet18 ...] [--threads N] ...
#
# The peers (2 GB with PyTorch) go to ${WINS_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/wins}/peers, pinned by
# requirements/peers.txt.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

peers=$(scripts/setup.sh --print-prefix)/peers
wanted=$(sha256sum <requirements/peers.txt | cut -c1-16)
if [[ $(cat "$peers/stamp" 2>/dev/null) != "$wanted" ]]; then
  printf 'bench-cpu: installing the peers into %s\n' "$peers"
  rm -rf "$peers"
  python3 -m venv "$peers"
  "$peers/bin/pip" install --quiet --disable-pip-version-check --requirement requirements/peers.txt
  printf '%s\n' "$wanted" >"$peers/stamp"
fi
exec "$peers/bin/python" bench/cpu.py "$@"
