#!/bin/sh
# Takes the office example down the whole road: checked, compiled, explained,
# then put in force in throw-away network namespaces, tested with real packets,
# drifted and healed. Nothing of this machine is read or changed.
set -eu
cd "$(dirname "$0")/.."

run() {
	printf '\n$ xfwc'
	for word; do
		case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
	done
	printf '\n'
	"${XFWC:-bin/xfwc}" "$@" 2>&1
}

run check examples/office/policy.xfw
run compile examples/office/policy.xfw --check golden/examples/office
run explain examples/office/policy.xfw 'tcp 203.0.113.9 -> chat:5269'
run try examples/office/policy.xfw
