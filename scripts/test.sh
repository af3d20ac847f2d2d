#!/bin/sh
# Runs every test and prints go test's closing line of each package, the whole
# output of the packages that failed, and at the end every test that was
# skipped with its reason. Further arguments go to go test.
set -u
cd "$(dirname "$0")/.."
# nft, haproxy and the like are in sbin, which an ordinary user's PATH lacks.
PATH="$PATH:/usr/sbin:/sbin"
export PATH

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
trap 'exit 1' HUP INT TERM

# go test writes the packages one after the other, each ended by its own line.
{
	go test -v -timeout 15m ${CI:+-count=1} "$@" ./... 2>&1
	echo $? >"$out/status"
} | awk -v skips="$out/skips" '
	/^(ok  |\?   )\t/ { print; fflush(); n = 0; next }
	/^FAIL\t/         { for (i = 1; i <= n; i++) print kept[i]; print; fflush(); n = 0; next }
	# -v streams what a test logs, so the reason of a skip stands before its line.
	/^=== (RUN|PAUSE|CONT|NAME)/ { running = $3; next }
	/: skipped: /     { reason[running] = $0; sub(/^.*: skipped: /, "", reason[running]) }
	/^[ \t]*--- SKIP/ { print $3 ": " reason[$3] >skips; next }
	/^[ \t]*--- PASS/ { next }
	                  { kept[++n] = $0 }
	END               { for (i = 1; i <= n; i++) if (kept[i] != "FAIL" && kept[i] != "PASS") print kept[i] }
'
status=$(cat "$out/status")

if [ -s "$out/skips" ]; then
	echo
	echo 'skipped tests:'
	sort -u "$out/skips" | sed 's/^/  /'
fi
if [ "$status" = 0 ]; then echo 'all tests passed'; else echo 'tests FAILED'; fi
exit "$status"
