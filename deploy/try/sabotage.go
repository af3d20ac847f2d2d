package try

import (
	"errors"
	"fmt"
	"strings"

	"xfwc/backends/nftables"
)

// removeTable deletes the table of this thread's namespace.
func removeTable() error {
	c, err := nftables.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	var b nftables.Batch
	b.DelTable()
	return c.Commit(&b, 0)
}

// sabotage deletes one rule of the table in this thread's namespace, as an
// intruder or a hasty administrator would, and says which: the first that denies
// something for a policy line, because without it more can pass.
func sabotage() (string, error) {
	c, err := nftables.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	snap, err := c.Dump(nftables.DumpOptions{})
	if err != nil {
		return "", err
	}
	var chain string
	var rule nftables.Item
	for _, o := range snap.Objects {
		if o.Kind != "chain" {
			continue
		}
		for _, i := range o.Items {
			if i.Comment == "" {
				continue
			}
			if chain == "" || strings.Contains(i.Text, "drop") && !strings.Contains(rule.Text, "drop") {
				chain, rule = o.Name, i
			}
		}
	}
	if chain == "" {
		return "", errors.New("the table has no rule that comes from a policy line")
	}
	var b nftables.Batch
	b.DelRule(chain, rule.Handle)
	if err := c.Commit(&b, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("deleting the rule %q from chain %s", rule.Comment, chain), nil
}
