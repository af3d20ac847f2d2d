package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"xfwc/compiler/ir"
)

// newLedger builds `xfwc ledger`.
func newLedger(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger POLICY",
		Short: "Show what is enforced where, how exactly, and what nowhere",
		Long: `ledger lists every intent of the policy (flows, limits, content rules, routes)
with every engine that could hold it:

  exact  the engine's artefact means just the intent
  over   it admits more than the intent
  under  it blocks more than the intent
  none   this engine does not hold it

each with the reason. An intent that no engine of any point holds is marked
NOWHERE. With --point only what concerns that point is listed.`,
		Args: onePolicy,
	}
	point := cmd.Flags().String("point", "", "only this point")
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		src, err := s.loadToAsk(args[0])
		if err != nil {
			return err
		}
		rows := ledgerRows(emit(src.policy, src.policy.Points, "").Ledger)
		if *point != "" {
			if _, err := pointNamed(src.policy, *point); err != nil {
				return err
			}
			rows = atPoint(rows, *point)
		}
		if format.value == "json" {
			return writeJSON(s.out, map[string]any{"policy": src.policy.Name, "intents": rows})
		}
		if err := printLedger(s.out, rows); err != nil {
			return err
		}
		nowhere := 0
		for _, r := range rows {
			if r.Nowhere {
				nowhere++
			}
		}
		s.note("%s, %d of them held nowhere", count(len(rows), "intent"), nowhere)
		return nil
	}
	return cmd
}

// ledgerRow is one intent with every engine's answer.
type ledgerRow struct {
	Intent  string         `json:"intent"`
	Origin  string         `json:"origin"` // file:line
	Nowhere bool           `json:"nowhere"`
	Held    []ledgerHolder `json:"held"`
}

// ledgerHolder is one engine's answer.
type ledgerHolder struct {
	Point  string       `json:"point"`
	Engine string       `json:"engine"`
	Exact  ir.Exactness `json:"exact"`
	Reason string       `json:"reason"`
}

// ledgerRows gathers the entries of all points by intent, in the order in
// which the intents first appear.
func ledgerRows(entries []ir.LedgerEntry) []*ledgerRow {
	rows := []*ledgerRow{}
	byIntent := map[string]*ledgerRow{}
	for _, e := range entries {
		row := byIntent[e.Intent]
		if row == nil {
			row = &ledgerRow{Intent: e.Intent, Origin: place(e.Origin), Nowhere: true}
			byIntent[e.Intent] = row
			rows = append(rows, row)
		}
		row.Held = append(row.Held, ledgerHolder{e.Point, e.Engine, e.Exact, e.Reason})
		if e.Exact != ir.None {
			row.Nowhere = false
		}
	}
	return rows
}

// atPoint keeps the answers of one point, and the intents that have one. What is
// held nowhere is still about all points: an intent that another point holds is
// not lost.
func atPoint(rows []*ledgerRow, point string) []*ledgerRow {
	kept := []*ledgerRow{}
	for _, r := range rows {
		r.Held = slices.DeleteFunc(r.Held, func(h ledgerHolder) bool { return h.Point != point })
		if len(r.Held) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

func printLedger(w io.Writer, rows []*ledgerRow) error {
	width := 0
	for _, r := range rows {
		for _, h := range r.Held {
			width = max(width, len(h.Point)+1+len(h.Engine))
		}
	}
	for i, r := range rows {
		head := r.Intent
		if r.Origin != "" {
			head += "  (" + r.Origin + ")"
		}
		if r.Nowhere {
			head += "  NOWHERE"
		}
		if i > 0 {
			head = "\n" + head
		}
		if _, err := fmt.Fprintln(w, head); err != nil {
			return err
		}
		for _, h := range r.Held {
			if _, err := fmt.Fprintf(w, "  %-5s  %-*s  %s\n", h.Exact, width, h.Point+"/"+h.Engine, h.Reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// place is file:line of where a thing comes from, or "".
func place(o ir.Origin) string {
	if !o.Span.IsValid() {
		return ""
	}
	return filepath.ToSlash(o.Span.Start.Filename) + ":" + strconv.Itoa(o.Span.Start.Line)
}
