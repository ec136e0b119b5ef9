#!/usr/bin/env bash
# Builds the fuzz targets and runs each one.
#
#   scripts/fuzz.sh [SECONDS]      seconds for each target, 60 by default
#
# The seeds in fuzz/corpus/<name> are copied, so the checkout stays as it is; what a target finds is
# kept in build/fuzz/findings/<name>. Fails if any target crashed, leaked, hung or passed 1 GiB.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
build=build/fuzz

cmake --preset fuzz
targets=()
for source in fuzz/*_fuzz.cpp; do
  [[ -e $source ]] || { echo "fuzz: error: no targets in fuzz/" >&2; exit 1; }
  name=$(basename "$source" _fuzz.cpp)
  targets+=("$name")
done
cmake --build "$build" --target "${targets[@]/#/fuzz_}"

failed=()
for name in "${targets[@]}"; do
  corpus=$build/corpus/$name
  findings=$build/findings/$name
  rm -rf "$corpus" "$findings"
  mkdir -p "$corpus" "$findings"
  if [[ -d fuzz/corpus/$name ]]; then
    cp -r "fuzz/corpus/$name/." "$corpus/"
  fi
  dictionary=()
  [[ -e fuzz/$name.dict ]] && dictionary=(-dict="fuzz/$name.dict")
  echo "fuzz: $name for $seconds s, $(find "$corpus" -type f | wc -l) seeds"
  log=$build/$name.log
  if OMP_NUM_THREADS=1 "$build/fuzz/fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=25 \
    -print_final_stats=1 -artifact_prefix="$findings/" "${dictionary[@]}" "$corpus" >"$log" 2>&1; then
    awk -v name="$name" '/number_of_executed_units|new_units_added|peak_rss_mb/ { v[$1] = $2 }
      END { printf "fuzz: %s passed: %d runs, %d new inputs, peak %d MB\n", name,
            v["stat::number_of_executed_units:"], v["stat::new_units_added:"], v["stat::peak_rss_mb:"] }' "$log"
  else
    tail -n 60 "$log"
    echo "fuzz: $name FAILED, its input is in $findings"
    failed+=("$name")
  fi
done

if ((${#failed[@]} > 0)); then
  echo "fuzz: failed: ${failed[*]}"
  exit 1
fi
echo "fuzz: all ${#targets[@]} targets passed"
