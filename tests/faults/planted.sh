#!/usr/bin/env bash
# Runs the table of docs/faults.md: with its fault planted each suite must fail, and without it pass.
set -euo pipefail
cd "$(dirname "$0")/../.."
# What a planted fault makes fail is nothing to remember.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
export TRAINWIRE_CUTS=5
missed=()
suites=$(sed -n 's/^| `[a-z-]*` |.*| `\(-p [^`]*\)` |$/\1/p' docs/faults.md | sort -u)
while read -r suite; do
    # shellcheck disable=SC2086 # words of a command line
    cargo test --locked --quiet --profile faults --features planted-faults $suite >/dev/null 2>&1 ||
        { echo "fails without a fault: cargo test $suite"; exit 1; }
done <<<"$suites"
while IFS='|' read -r _ fault _ suite _; do
    fault=$(tr -d ' `' <<<"$fault") suite=$(tr -d '`' <<<"$suite")
    if [[ $suite =~ power_cut|wall_clock ]] && ! command -v linux.uml >/dev/null; then
        echo "$fault: needs user-mode-linux"
        continue
    fi
    # shellcheck disable=SC2086
    if TRAINWIRE_PLANTED=$fault timeout 300 cargo test --locked --quiet --profile faults --features planted-faults $suite >/dev/null 2>&1; then
        echo "$fault: not caught by$suite"
        missed+=("$fault")
    else
        echo "$fault: caught"
    fi
done < <(grep '^| `' docs/faults.md)
test ${#missed[@]} = 0
