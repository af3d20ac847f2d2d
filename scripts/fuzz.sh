#!/bin/sh
# Runs every fuzz target of the module: the parser and the formatter for
# FUZZTIME (2m), the others for FUZZSHORT (10s). A crash leaves its input under
# testdata/fuzz, to be committed with the mend.
set -eu
cd "$(dirname "$0")/.."
: "${FUZZTIME:=2m}" "${FUZZSHORT:=10s}"

for package in $(go list ./...); do
	go test -list '^Fuzz' "$package" | grep '^Fuzz' | while read -r target; do
		case "$target" in
		FuzzParse | FuzzFormat) time=$FUZZTIME ;;
		*) time=$FUZZSHORT ;;
		esac
		echo "== $package $target ($time)"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=2s "$package" </dev/null
	done
done
