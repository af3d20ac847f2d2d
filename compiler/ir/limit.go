package ir

import (
	"fmt"
	"strconv"
)

// KeyWords is what a limit counts by, as a policy says it: "per source",
// "per prefix 24/56", "global".
func (l *Limit) KeyWords() string {
	switch l.Key {
	case Global:
		return "global"
	case PerPrefix:
		return fmt.Sprintf("per prefix %d/%d", l.Prefix4, l.Prefix6)
	}
	return "per " + string(l.Key)
}

// AmountWords is how much a limit lets pass, as a policy says it: "20",
// "30/minute burst 10", "256KiB after auth", "60s".
func (l *Limit) AmountWords() string {
	text := strconv.FormatUint(uint64(l.Count), 10)
	burst := ""
	if l.Burst != 0 {
		burst = fmt.Sprintf(" burst %d", l.Burst)
	}
	switch {
	case l.Bytes != 0:
		text = SizeWords(l.Bytes)
		if l.BurstBytes != 0 {
			burst = " burst " + SizeWords(l.BurstBytes)
		}
	case l.Seconds != 0:
		text = DurationWords(l.Seconds)
	}
	if l.Unit != "" {
		text += "/" + l.Unit
	}
	switch {
	case l.Before:
		text += " before auth"
	case l.After:
		text += " after auth"
	}
	return text + burst
}

// SizeWords writes a number of bytes with the largest unit that divides it.
func SizeWords(n uint64) string {
	for _, u := range []struct {
		name string
		size uint64
	}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatUint(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}

// DurationWords writes a number of seconds with the largest unit that divides it.
func DurationWords(n uint64) string {
	for _, u := range []struct {
		name string
		size uint64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatUint(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10) + "s"
}

// Unseen says why no device on the wire counts what the limit bounds.
func (l *Limit) Unseen() string {
	switch l.Kind {
	case Bandwidth:
		return "conversations are judged when they open; this version writes nothing that counts the bytes of one"
	case StanzaSize, Stanzas, Recipients:
		return "stanzas are within TLS, and where they are not they do not end where packets end: only the server, which parses them, can count them"
	case Requests:
		return "HTTP requests are counted where TLS ends, not here"
	case Registrations:
		return "a new account is asked for within the stream (XEP-0077): only the server sees it"
	case Resources:
		return "which account a session belongs to is known to the server alone"
	case Logins:
		return "whether a login failed is known to the server alone"
	case Negotiation:
		return "when a stream is authenticated is known to the server alone"
	}
	return ""
}
