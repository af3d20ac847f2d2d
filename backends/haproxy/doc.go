// Package haproxy writes the HAProxy 2.6 configuration of a point where TLS of
// a server's web traffic ends: BOSH (XEP-0124) on one path, over HTTPS.
//
// One artefact, haproxy.cfg, is the whole configuration of a HAProxy of its
// own. It looks for the certificate with its key in /etc/xfwc/tls/POINT.pem, or
// in the folder that the environment variable XFWC_TLS_DIR of the HAProxy
// process names. Check it with
//
//	haproxy -c -dW -f haproxy.cfg
//
// The description that a running HAProxy reports ("show info" on its master
// socket) is a SHA-256 over the file without the description line, so that a
// process which still runs an older file can be told from the file's text.
//
// What is enforced in the proxy: TLS 1.2 or later, the exact path, its methods,
// hosts and origins, the size of the body, how long the server may take to
// answer, and the limits of the web statement. Connections are counted when they
// are accepted, before TLS costs anything, and requests when they are read: IPv4
// by address, IPv6 by /64. What the network decides (who may connect to other
// ports) is left to the packet filter. Other kinds of routes are not written:
// their paths answer 404 like every other path. The ledger has a line for each
// thing that a route states and this file does not hold.
//
//	file         holds
//	emit.go      what a point serves, and the ledger
//	routes.go    what a path asks of a request
//	write.go     the typed writer: the only place that makes HAProxy syntax
//	findings.go  what the backend has to complain of
package haproxy
