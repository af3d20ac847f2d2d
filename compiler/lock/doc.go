// Package lock reads and writes xfwc.lock: every outside fact that a compile
// uses, so that the same policy and lock always give the same artefacts.
//
//	{
//	  "version": 1,
//	  "peers": {
//	    "branch.example": {
//	      "srv": [
//	        {"service": "_xmpp-server", "target": "xmpp.branch.example", "port": 5269, "priority": 10, "weight": 5, "ttl": 3600}
//	      ],
//	      "addresses": {
//	        "xmpp.branch.example": ["203.0.113.50", "2001:db8:50::5"]
//	      },
//	      "dnssec": "unknown"
//	    },
//	    "small.example": {
//	      "fallback": true,
//	      "addresses": {
//	        "small.example": ["203.0.113.70"]
//	      },
//	      "dnssec": "unknown"
//	    }
//	  },
//	  "feeds": {
//	    "feeds/drop.txt": {"digest": "sha256:…", "entries": 1120}
//	  }
//	}
//
// A peer without an SRV answer has "fallback": its A and AAAA records were
// asked for, and the port is 5269 (RFC 6120 section 3.2.2). A single SRV record
// with the target "." says that the peer offers no such service (RFC 6120
// section 3.2.1).
//
// "dnssec" is what a validating resolver said of the answers: secure,
// insecure, bogus, or unknown when none was asked (RFC 4035 section 4.3).
package lock
