#!/bin/sh
# Reads the defaults of the Debian packages of prosody and ejabberd out of the
# real files, and writes them as KEY=VALUE lines of compiler/testdata/debian.txtar,
# which TestDebianSettings holds the table to. Needs the package sources of
# Debian 12 with backports; changes nothing else on this machine.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/compiler/testdata/debian.txtar
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prosody/bookworm prosody/bookworm-backports ejabberd/bookworm ejabberd/bookworm-backports

# number FILE OPTION: the default that Lua code gives to an option, in plain
# numbers; periods are written in words there.
number() {
	sed -n "s/.*\"$2\",[ \"]*\([0-9][0-9* ]*\(minutes\)\{0,1\}\).*/\1/p" "$1" | head -n 1 |
		awk '{sub(/ *minutes/, "*60"); n = 1; k = split($0, f, "*"); for (i = 1; i <= k; i++) n *= f[i]; print n; found = 1} END {exit !found}'
}

# truth FILE OPTION YES NO: the same for a switch.
truth() {
	case $(sed -n "s/.*\"$2\",.*\(true\|false\).*/\1/p" "$1" | head -n 1) in
	true) echo "$3" ;;
	false) echo "$4" ;;
	esac
}

prosody() {
	m=$1/usr/lib/prosody/modules
	c=$1/etc/prosody/prosody.cfg.lua
	! grep -qE '^[^-]*(c2s|s2s)_require_encryption|^[^-]*_size_limit|^[^-]*c2s_timeout|^[^-]*bosh_max' "$c"
	echo "admin-bind=$(grep -q '^[^-]*"admin_shell"' "$c" && echo socket)"
	echo "anonymous=$(grep -q '^authentication = "internal_hashed"' "$c" && echo off)"
	echo "anonymous-s2s=$(truth "$m/mod_auth_anonymous.lua" allow_anonymous_s2s on off)"
	echo "anonymous-storage=$(truth "$m/mod_auth_anonymous.lua" allow_anonymous_storage on off)"
	for o in inactivity polling wait; do
		echo "bosh-$o=$(number "$m/mod_bosh.lua" bosh_max_$o)"
	done
	echo "c2s-tls=$(truth "$m/mod_tls.lua" c2s_require_encryption required optional)"
	echo "component-check-from=$(truth "$m/mod_component.lua" validate_from_addresses on off)"
	echo "dane=$(truth "$m/mod_s2s.lua" use_dane on off)"
	echo "negotiation=$(number "$m/mod_c2s.lua" c2s_timeout)"
	echo "plain-without-tls=$(truth "$m/mod_saslauth.lua" allow_unencrypted_plain_auth on off)"
	echo "preauth-size=$(number "$m/mod_c2s.lua" c2s_unauthed_stanza_size_limit || echo none)"
	echo "preauth-size-s2s=$(number "$m/mod_s2s.lua" s2s_unauthed_stanza_size_limit || echo none)"
	echo "proxy65-access=$(truth "$m/mod_proxy65.lua" proxy65_open_access all local)"
	echo "registration=$(grep -q '^[^-]*"invites_register"' "$c" && ! grep -q '^allow_registration = true' "$c" && echo invite)"
	echo "s2s-auth=$(grep -q '^s2s_secure_auth = true' "$c" && echo certificate)"
	echo "s2s-tls=$(truth "$m/mod_tls.lua" s2s_require_encryption required optional)"
	echo "shaper-c2s=$(awk '/c2s = /{f=1} f&&/rate/{gsub(/[^0-9]/,""); print $0 "000/second"; exit}' "$c")"
	echo "shaper-s2s=$(awk '/s2sin = /{f=1} f&&/rate/{gsub(/[^0-9]/,""); print $0 "000/second"; exit}' "$c")"
	echo "stanza-size-c2s=$(number "$m/mod_c2s.lua" c2s_stanza_size_limit)"
	echo "stanza-size-s2s=$(number "$m/mod_s2s.lua" s2s_stanza_size_limit)"
	echo "tls-min=$(grep -q '"tls_profile") or "intermediate"' "$1/usr/lib/prosody/core/certmanager.lua" && echo 1.2)"
}

# listener PORT OPTION: what ejabberd.yml.example states of a listener.
listener() {
	awk -v port="$1" -v option="$2:" '$1 == "-" {f=0} $1 == "port:" {f = $2 == port} f && $1 == option {gsub(/"/, "", $2); print $2; exit}' "$y"
}

# transport PORT: what a listener speaks; "off" where there is none.
transport() {
	if [ -z "$(listener "$1" module)" ]; then
		echo off
	elif [ "$(listener "$1" tls)" = true ]; then
		echo tls
	elif [ "$(listener "$1" starttls_required)" = true ]; then
		echo starttls-required
	else
		echo clear
	fi
}

# default FILE OPTION: the default that the manual gives.
default() {
	awk -v option="$2:" 'index($0, option) == 1 {f=1} f && /default value is/ {getline; gsub(/[^0-9]/, ""); print; exit}' "$1"
}

# loaded MODULE: whether ejabberd.yml.example loads it.
loaded() { grep -q "^  $1:" "$y"; }

ejabberd() {
	y=$1/usr/share/ejabberd/ejabberd.yml.example
	man=$work/man
	stun=$(awk '$1 == "port:" {p = $2} $1 == "module:" && $2 == "ejabberd_stun" {print p}' "$y")
	echo "clients tcp/5222=$(transport 5222)"
	echo "clients-tls tcp/5223=$(transport 5223)"
	echo "federation tcp/5269=$(grep -q '^s2s_use_starttls: required' "$y" && [ "$(listener 5269 module)" = ejabberd_s2s_in ] && echo starttls-required)"
	echo "http tcp/5280=$(transport 5280)"
	echo "admin tcp/5280=$([ "$(listener 5280 /admin)" = ejabberd_web_admin ] && transport 5280 || echo off)"
	echo "https tcp/5443=$(transport 5443)"
	echo "admin tcp/5443=$([ "$(listener 5443 /admin)" = ejabberd_web_admin ] && transport 5443 || echo off)"
	echo "mqtt tcp/1883=$(transport 1883)"
	echo "stun udp/$stun=$(transport "$stun")"
	echo "proxy65 tcp/7777=$(loaded mod_proxy65 && echo clear || echo off)"
	zcat "$1/usr/share/man/man5/ejabberd.yml.5.gz" | sed 's/\\f[BIR]//g; s/\\-/-/g; s/\\&//g; s/\\m\[[a-z]*\]//g' >"$man"
	echo "admin-bind=$([ "$(listener 5280 ip)" = :: ] && echo any)"
	echo "admin-tls=$([ "$(listener 5280 tls)" = true ] && echo on)"
	echo "bosh-inactivity=$(default "$man" max_inactivity)"
	echo "c2s-tls=$([ "$(listener 5222 starttls_required)" = true ] && echo required)"
	echo "ipv6=$([ "$(listener 5222 ip)" = :: ] && echo on)"
	echo "login-ban=$(loaded mod_fail2ban && default "$man" c2s_max_auth_failures) in $(default "$man" c2s_auth_ban_lifetime)h"
	echo "negotiation=$(default "$man" negotiation_timeout)"
	echo "proxy65-access=$(loaded mod_proxy65 || echo off)"
	echo "registration=$(loaded mod_register || echo off)"
	echo "registration-rate=1/$(default "$man" registration_timeout) seconds"
	echo "resources=$(awk '$1 == "max_user_sessions:" {print $2}' "$y")"
	echo "s2s-auth=$(loaded mod_s2s_dialback && echo dialback)"
	echo "s2s-tls=$(awk '$1 == "s2s_use_starttls:" {print $2}' "$y")"
	echo "shaper-c2s=$(awk '$1 == "normal:" {f=1} f && $1 == "rate:" {print $2 "/second"; exit}' "$y")"
	echo "shaper-s2s=$(if [ "$(listener 5269 shaper)" = s2s_shaper ]; then awk '$1 == "fast:" {print $2 "/second"; exit}' "$y"; else echo unlimited; fi)"
	echo "stanza-size-c2s=$(listener 5222 max_stanza_size)"
	echo "stanza-size-s2s=$(listener 5269 max_stanza_size)"
	echo "tls-min=$(grep -q '"no_tlsv1_1"' "$y" && echo 1.2)"
	echo "upload-size=$(default "$man" max_size)"
	echo "ws-idle=$(default "$man" websocket_timeout)"
}

{
	echo "What the files of Debian's packages state; scripts/debian-defaults.sh writes this."
	for deb in *.deb; do
		name=$(dpkg-deb -f "$deb" Package)
		dpkg-deb -x "$deb" "$work/x"
		echo "-- $name $(dpkg-deb -f "$deb" Version) --"
		"$name" "$work/x"
		rm -rf "$work/x"
	done
} >"$out"
