#!/usr/bin/env bash
# Installs everything that a build of wins needs, pinned and cached; a second run changes nothing.
#
#   scripts/setup.sh [--no-training] [--print-prefix] [--help]
#
#   --no-training    skip libtorch (1.3 GB); configure with -DWINS_TRAINING=OFF then
#   --print-prefix   print the folder of the cached dependencies and exit
#
# Debian 12 or Ubuntu 24.04, as root or with sudo. System packages come from the distribution; the
# rest goes to ${WINS_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/wins}:
#   venv/   Python packages of requirements/tools.txt, and libtorch (requirements/torch.txt)
#   onnx/   the ONNX C++ library, built from source against the distribution's protobuf
# Each step leaves a stamp that names what it installed, and works beside its final place, so the
# script may be interrupted at any moment and started again.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=${WINS_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/wins}
jobs=${WINS_JOBS:-$(nproc)}
training=1

for argument in "$@"; do
  case $argument in
    --no-training) training=0 ;;
    --print-prefix) printf '%s\n' "$deps"; exit 0 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) printf 'setup: unknown option %s (see --help)\n' "$argument" >&2; exit 2 ;;
  esac
done

step() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# Runs a command quietly; on failure shows the end of what it printed.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    tail -n 40 "$log" >&2
    rm -f "$log"
    fail "this command failed with status $status: $*"
  fi
  rm -f "$log"
}

# A short name for what it reads; where that came from must not matter.
digest() { sha256sum | cut -c1-16; }

# ---------------------------------------------------------------------------------------------------
# Distribution

[[ -r /etc/os-release ]] || fail "no /etc/os-release; this script knows Debian 12 and Ubuntu 24.04"
. /etc/os-release
case "$ID-${VERSION_ID:-}" in
  debian-12) clang_rt=libclang-rt-14-dev ;;
  ubuntu-24.04) clang_rt=libclang-rt-18-dev ;;
  *) fail "${PRETTY_NAME:-$ID} is not known here; this script knows Debian 12 and Ubuntu 24.04" ;;
esac

packages=(
  build-essential cmake ninja-build ccache pkg-config git python3 python3-dev python3-venv
  libfmt-dev libspdlog-dev libcli11-dev nlohmann-json3-dev
  libprotobuf-dev protobuf-compiler
  libturbojpeg0-dev libpng-dev zlib1g-dev libarchive-dev
  libdnnl-dev libhwy-dev libopenblas-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  clang "$clang_rt" libomp-dev
  dataset-fashion-mnist
)

missing_packages() {
  # dpkg-query prints what it knows and complains about the rest, hence the || true.
  { dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true; } |
    awk -v wanted="${packages[*]}" '
      $1 == "installed" { have[$2] = 1 }
      END { n = split(wanted, w, " "); for (i = 1; i <= n; ++i) if (!(w[i] in have)) print w[i] }'
}

install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    step "distribution packages: present"
    return
  fi
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "not root and no sudo; install these first: ${missing[*]}"
    as_root=(sudo)
  fi
  step "distribution packages: installing ${missing[*]}"
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
}

# ---------------------------------------------------------------------------------------------------
# Python

python=/usr/bin/python3

venv=  # where install_venv put the environment

install_venv() {
  local key place
  key=$({ $python --version && cat "$root/requirements/tools.txt"; } | digest)
  # An environment cannot be moved, so it is made under a name of its own; the link moves.
  place=$deps/venv-$key
  if [[ ! -f $place/.tools ]]; then
    step "Python packages: installing requirements/tools.txt"
    rm -rf "$place"
    quietly $python -m venv "$place"
    quietly "$place/bin/python" -m pip install --no-deps -r "$root/requirements/tools.txt"
    touch "$place/.tools"
  else
    step "Python packages: present"
  fi
  venv=$place
}

install_torch() {
  local stamp key
  stamp=$venv/.torch
  key=$(digest <"$root/requirements/torch.txt")
  if ((training == 0)); then
    step "libtorch: skipped (--no-training)"
  elif [[ $(cat "$stamp" 2>/dev/null || true) == "$key" ]]; then
    step "libtorch: present"
  else
    step "libtorch: installing requirements/torch.txt (1.3 GB)"
    rm -f "$stamp"
    quietly "$venv/bin/python" -m pip install --no-deps --no-compile \
      -r "$root/requirements/torch.txt"
    printf '%s\n' "$key" >"$stamp.new"
    mv "$stamp.new" "$stamp"
  fi
}

# The link moves when the new environment is complete; then the earlier ones would only take space.
publish_venv() {
  local name old
  name=$(basename "$venv")
  if [[ $(readlink "$deps/venv" || true) != "$name" ]]; then
    ln -sfn "$name" "$deps/.venv-link"
    mv -T "$deps/.venv-link" "$deps/venv"
  fi
  for old in "$deps"/venv-*; do
    [[ $old == "$venv" ]] || rm -rf "$old"
  done
}

# ---------------------------------------------------------------------------------------------------
# ONNX C++ library

install_onnx() {
  local stamp key work
  stamp=$deps/onnx/.stamp
  key=$({ cat "$root/requirements/onnx-source.txt" && protoc --version && declare -f install_onnx; } | digest)
  if [[ $(cat "$stamp" 2>/dev/null || true) == "$key" ]]; then
    step "ONNX C++ library: present"
    return
  fi
  work=$deps/onnx.work
  rm -rf "$work"
  mkdir -p "$work/archive" "$work/source"
  step "ONNX C++ library: fetching the source archive"
  quietly $python -m venv "$work/venv"
  quietly "$work/venv/bin/python" -m pip install --no-deps -r "$root/requirements/onnx-build.txt"
  quietly env PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" -m pip download --no-binary onnx --no-deps --no-build-isolation \
    -d "$work/archive" -r "$root/requirements/onnx-source.txt"
  tar -xzf "$work"/archive/onnx-*.tar.gz -C "$work/source" --strip-components=1
  step "ONNX C++ library: compiling with $jobs jobs (2 to 5 minutes)"
  quietly "$work/venv/bin/cmake" -S "$work/source" -B "$work/build" -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_CXX_STANDARD=17 \
    -DBUILD_SHARED_LIBS=OFF -DONNX_ML=ON -DONNX_BUILD_PYTHON=OFF -DONNX_BUILD_TESTS=OFF \
    -DONNX_WERROR=OFF -DONNX_USE_PROTOBUF_SHARED_LIBS=ON -DONNX_DISABLE_EXCEPTIONS=OFF \
    -DPython3_EXECUTABLE="$work/venv/bin/python"
  quietly "$work/venv/bin/cmake" --build "$work/build" -j "$jobs"
  quietly "$work/venv/bin/cmake" --install "$work/build" --prefix "$work/onnx"
  printf '%s\n' "$key" >"$work/onnx/.stamp"
  rm -rf "$deps/onnx"
  mv "$work/onnx" "$deps/onnx"
  rm -rf "$work"
}

# ---------------------------------------------------------------------------------------------------

install_packages
mkdir -p "$deps"
exec 9>"$deps/.lock"
if ! flock -n 9; then
  step "waiting for another setup that is under way"
  flock 9
fi
install_venv
install_torch
publish_venv
install_onnx
step "ready in $deps"
