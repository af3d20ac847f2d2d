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
//	  "own": {
//	    "example.org": {
//	      "srv": [
//	        {"service": "_xmpps-client", "target": "chat.example.org", "port": 5223, "priority": 5, "weight": 5, "ttl": 3600}
//	      ],
//	      "fallback": true,
//	      "addresses": {
//	        "chat.example.org": ["198.51.100.10"]
//	      },
//	      "dnssec": "secure"
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
// "own" is the same about the domains of the policy's own servers, with the
// records of clients besides. Checks compare it with the policy; nothing is
// compiled from it. "xmppconnect" is true where a domain still has the TXT
// records that XEP-0156 section 4 warns of.
//
// "dnssec" is what a validating resolver said of the answers: secure,
// insecure, bogus, or unknown where none was asked (RFC 4035 section 4.3).
package lock
