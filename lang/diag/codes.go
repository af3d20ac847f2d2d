package diag

// Code describes a code that is not a best-practice check: the catalogue of
// what the language, the resolver, the backends and the running side report.
// Best-practice checks carry the same fields in their own literals.
// Codes are words, never reused and never given another meaning.
type Code struct {
	Code     string
	Severity Severity
	Title    string
	Remedy   string
}

// Codes lists every finding code of this kind, ordered by code.
func Codes() []Code { return codes }

// CodeOf looks a code up.
func CodeOf(code string) (Code, bool) {
	for _, c := range codes {
		if c.Code == code {
			return c, true
		}
	}
	return Code{}, false
}

// New makes a finding from the catalogue row of code: severity and remedy come
// from there, and can be overwritten in the result. It panics on a code that is
// not listed, which is a mistake in the program, never in a policy.
func New(code string, span Span, summary string) Finding {
	c, ok := CodeOf(code)
	if !ok {
		panic("diag: code " + code + " is not in the catalogue")
	}
	return Finding{Code: code, Severity: c.Severity, Span: span, Summary: summary, Remedy: c.Remedy}
}

// codes: syntax-* from lang, name-* and value-* from the resolver, ledger-*
// from placement and backends, test-* from policy tests, apply-*/drift-* from
// the running side.
var codes = []Code{
	{"syntax-block", Error, "a block is not closed or not opened", "Balance the braces: every { needs its }."},
	{"syntax-character", Error, "a character that the language does not use", "Remove the character; text outside ASCII belongs in strings and comments."},
	{"syntax-include", Error, "an include cannot be read, or includes itself", "Name an existing .xfw file, relative to the file that includes it."},
	{"syntax-keyword", Error, "an unknown keyword", "Use one of the keywords that the message lists."},
	{"syntax-size", Error, "a file is larger or nested deeper than the language allows", "Move address lists into feed files."},
	{"syntax-statement", Error, "a statement is not well formed", "Write the statement as SPEC.md shows it."},
	{"syntax-string", Error, "a string is not closed or holds a control character", "Close the string with \" on the same line."},
	{"name-duplicate", Error, "two statements give the same name", "Rename one of them."},
	{"name-unknown", Error, "a name that nothing defines", "Define the name, or correct its spelling."},
	{"name-unused", Info, "a name that nothing uses", "Remove it, or use it."},
	{"value-invalid", Error, "a value that is not of the kind the statement needs", "Write the value as SPEC.md shows it."},
	{"value-conflict", Error, "two statements contradict each other", "Keep one of them."},
	{"value-repeated", Info, "an entry that stands in a list twice", "Remove one of them: it has no effect."},
	{"value-spelling", Info, "a value in an uncommon spelling", "Spell it in the common way, in which a search finds it."},
	{"value-missing", Error, "a statement lacks something it needs", "Add what the message names."},
	{"value-version", Info, "a server version newer than the table of defaults", "State with port what the new version listens on, where it differs from the version before."},
	{"feed-changed", Error, "more of a feed changed than its max-change allows", "Look at the feed: a list that was emptied or swapped does harm. Fetch it again, or accept it with xfwc lock --accept."},
	{"feed-duplicate", Info, "a feed lists an entry twice", "Nothing breaks; the publisher may want to know."},
	{"feed-empty", Warning, "a feed without a single entry", "Fetch the feed again; a list that nobody is on does nothing."},
	{"feed-unreadable", Error, "a feed file cannot be read", "Create the file; paths are relative to the policy that names them."},
	{"feed-entry-expired", Warning, "the last day of an entry of a feed has passed", "Fetch the feed again, then run xfwc lock: entries whose day has passed are left out from then on."},
	{"feed-line", Error, "a line of a feed is no entry", "Write one address, domain or text a line, as the statement that names the feed asks for."},
	{"feed-stale", Warning, "a feed is older than its max-age", "Fetch the feed again, then run xfwc lock."},
	{"lock-absent", Warning, "DNS says that a peer takes no federation", "Remove the peer from the policy, or ask its operators about their SRV records."},
	{"lock-address", Warning, "DNS gives a peer an address that no peer can have", "Ask the peer's operators to correct the record; the address is left out."},
	{"lock-bogus", Error, "the answers of DNS about a peer fail DNSSEC validation", "Do not use the peer until its operators or your resolver mend it: the answers may be forged."},
	{"lock-lookup", Error, "DNS does not answer, or has no address, for a peer", "Check the peer's domain and the resolver, then run xfwc lock again; or state the peer's address in the policy."},
	{"lock-missing", Error, "a peer's addresses are not in xfwc.lock", "Run xfwc lock, or state the peer's address in the policy."},
	{"lock-invalid", Error, "xfwc.lock cannot be read", "Run xfwc lock --refresh to write it anew."},
	{"lock-unanswered", Info, "DNS does not answer about a domain whose records are only compared with the policy", "Run xfwc lock --refresh when DNS answers; until then the checks that compare leave the domain out."},
	{"lock-stale", Warning, "a feed is not the one that xfwc.lock records", "Look at what has changed in the feed, then run xfwc lock."},
	{"waive-unused", Warning, "a waiver that sets nothing aside", "Remove the waiver."},
	{"waive-expired", Error, "a waiver whose date has passed", "Mend what it set aside, or state a later date."},
	{"test-empty", Error, "a line of a test that no packet fits", "State sources and a destination of one address family, and except less than is named."},
	{"test-failed", Error, "a test of the policy does not hold", "Correct the policy, or the test if it states the wrong intent."},
	{"internal-error", Error, "the compiler contradicts itself", "Nothing was compiled. Please report the policy that shows it."},
	{"engine-by-hand", Info, "an engine that this version writes nothing for", "Configure by hand what the message counts, and test it: xfwc ledger lists it."},
	{"ledger-by-hand", Warning, "an intent that only a configuration written by hand can hold", "Write it by hand and waive the finding, or state what this version writes."},
	{"ledger-none", Warning, "an intent that no engine of this policy enforces", "Add an engine that can hold it, or remove the statement."},
}
