#!/bin/sh
# Runs every fuzz target of the module: parser, formatter and SARIF writer for
# FUZZTIME (2m), the others for FUZZSHORT (10s). A crash leaves its input under
# testdata/fuzz, to be committed with the mend.
set -u
cd "$(dirname "$0")/.."
: "${FUZZTIME:=2m}" "${FUZZSHORT:=10s}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz runs one target. The go command sometimes fails at the end of the time
# with nothing but "context deadline exceeded"; a real failure names its input.
fuzz() {
	go test -run='^$' -fuzz="^$2\$" -fuzztime="$3" -fuzzminimizetime=2s "$1" </dev/null >"$log" 2>&1 && return
	grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"
}

failed=
for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz'); do
		case "$target" in
		FuzzParse | FuzzFormat | FuzzSARIF) time=$FUZZTIME ;;
		*) time=$FUZZSHORT ;;
		esac
		if fuzz "$package" "$target" "$time"; then
			echo "ok    $package $target  $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
		else
			cat "$log"
			echo "FAIL  $package $target"
			failed="$failed $target"
		fi
	done
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed" >&2; exit 1; }
