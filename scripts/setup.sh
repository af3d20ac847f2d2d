#!/bin/sh
# Makes the machine ready for `make test` and `make demo`: Go is a must; the
# real programs are installed when this runs as root. Without root it names
# what is missing and goes on, except in CI, where nothing may be missing.
set -eu
cd "$(dirname "$0")/.."

command -v go >/dev/null 2>&1 || {
	echo 'setup: Go is missing: install Go 1.26 or later and put it on PATH' >&2
	exit 1
}

if [ "$(id -u)" = 0 ]; then
	exec scripts/install-tools.sh
fi

# An ordinary user's PATH often lacks the sbin folders these programs are in.
PATH="$PATH:/usr/sbin:/sbin"
missing=
for program in nft ip haproxy conntrack suricata chromium vim; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
echo "setup: missing:$missing" >&2
echo 'setup: run scripts/install-tools.sh as root to install them; tests that need them are skipped' >&2
[ -z "${CI:-}" ]
