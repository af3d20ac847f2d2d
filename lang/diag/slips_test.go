package diag

import "testing"

func TestMeant(t *testing.T) {
	words := []string{"required", "optional", "off", "on", "none", "http", "https", "tls1", "tls2"}
	for typed, want := range map[string]string{
		"requierd": "required", "REQUIRED": "required", "requried": "required", "reqired": "required", "requirred": "required",
		"optoinal": "optional", "ptional": "optional", "require": "required",
		"rquire": "required", "rqire": "", // three slips are too many
		"no": "", "of": "", "in": "", "On": "on", "nonee": "none", "htps": "https", "httpx": "", "tls3": "", "tsl1": "tls1", "": "",
	} {
		if got := Meant(typed, words); got != want {
			t.Errorf("%q means %q, want %q", typed, got, want)
		}
	}
}

func TestMeantName(t *testing.T) {
	names := []string{"lan-a", "office", "guests", "dmz2", "edge", "partner.example", "irc"}
	for typed, want := range map[string]string{
		"lan-b": "", "LAN-A": "lan-a", "lna-a": "lan-a", "offcie": "office", "ofice": "office", "offfice": "office",
		"guest": "", "guestss": "guests", "gests": "guests", "dmz1": "", "dmzz2": "dmz2", "edgee": "edge", "edges": "", "egde": "edge",
		"Partner.Example": "partner.example", "partnr.example": "partner.example", "irrc": "", "IRC": "irc", "wan": "",
	} {
		if got := MeantName(typed, names); got != want {
			t.Errorf("%q means %q, want %q", typed, got, want)
		}
	}
}
