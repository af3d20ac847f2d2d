#!/bin/sh
# Installs the programs that the tests run against, on Debian 12 or later:
# nft, ip, haproxy, conntrack, Chromium, Vim and Suricata 7 (in Debian 12 from
# backports).
# Run it as root. It starts no service, prints nothing unless it has to
# install something or fails, and does nothing when all is there.
set -eu

want_suricata=7 # the oldest major version whose rule language the backend writes
packages='nftables iproute2 haproxy conntrack suricata chromium fonts-dejavu-core vim'

fail() {
	echo "install-tools: $*" >&2
	exit 1
}

# suricata_major prints the major version of the installed Suricata, or 0.
suricata_major() {
	v=$(suricata -V 2>/dev/null | sed -n 's/.*version \([0-9][0-9]*\)\..*/\1/p')
	echo "${v:-0}"
}

# An ordinary user's PATH often lacks the sbin folders these programs are in.
PATH="$PATH:/usr/sbin:/sbin"

complete() {
	for program in nft ip haproxy conntrack suricata chromium vim; do
		command -v "$program" >/dev/null 2>&1 || return 1
	done
	[ "$(suricata_major)" -ge "$want_suricata" ]
}

complete && exit 0

[ "$(id -u)" = 0 ] || fail 'programs are missing; run this as root to install them'
command -v apt-get >/dev/null 2>&1 || fail "this machine has no apt-get; install by hand: $packages"

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
own_policy=
cleanup() {
	rm -f "$log"
	[ -z "$own_policy" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# Package scripts ask policy-rc.d before they start a service; 101 says no.
# One that the machine already has is its owner's and stays.
if [ ! -e "$policy" ]; then
	own_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
		>"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		fail "apt-get $1 failed, see above"
	}
}

# candidate_major prints the major version of the Suricata that apt would install.
candidate_major() {
	v=$(apt-cache policy suricata | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9][0-9]*\)\..*/\2/p')
	echo "${v:-0}"
}

echo 'install-tools: installing what the tests need' >&2
apt update

if [ "$(suricata_major)" -lt "$want_suricata" ] && [ "$(candidate_major)" -lt "$want_suricata" ]; then
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ -n "$codename" ] || fail '/etc/os-release has no VERSION_CODENAME, so the backports suite is unknown'
	suite=$codename-backports

	# targets prints "URI suite" for each suite that apt is set up for.
	targets() {
		apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u
	}
	if ! targets | grep -q " $suite\$"; then
		# Backports lie on the same mirror as the release itself.
		mirror=$(targets | sed -n "s/ $codename\$//p" | head -n 1)
		[ -n "$mirror" ] || fail "apt has no source for $codename, so the mirror of $suite is unknown"
		keyring=/usr/share/keyrings/debian-archive-keyring.gpg
		{
			echo "# Written by xfwc's scripts/install-tools.sh, for Suricata $want_suricata."
			echo 'Types: deb'
			echo "URIs: $mirror"
			echo "Suites: $suite"
			echo 'Components: main'
			[ ! -e "$keyring" ] || echo "Signed-By: $keyring"
		} >/etc/apt/sources.list.d/xfwc-backports.sources
		apt update
	fi
	# Backports are never chosen by themselves; -t asks for them, and for the
	# libraries that this Suricata is built against.
	apt install -y --no-install-recommends -t "$suite" suricata
fi

# shellcheck disable=SC2086 # a list of package names
apt install -y --no-install-recommends $packages

complete || fail "packages are installed, but a program is still missing or Suricata is older than $want_suricata"
