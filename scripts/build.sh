#!/usr/bin/env bash
# Builds master-svr, svr and clt and puts them under build/dev/.
#
#   scripts/build.sh
#
# Works from any directory. Cargo leaves the programs in target/release, too.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    [[ $1 == -h || $1 == --help ]] && exit 0 || exit 64
fi

programs=(master-svr svr clt)
cargo build --locked --release "${programs[@]/#/--bin=}"

target=$(cargo metadata --format-version 1 --no-deps --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
mkdir -p build/dev
for program in "${programs[@]}"; do
    # Under another name first: a running program can be replaced but not overwritten.
    cp "$target/release/$program" "build/dev/.$program"
    mv "build/dev/.$program" "build/dev/$program"
done
