package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"xfwc/compiler"
	"xfwc/compiler/ir"
)

// newDefaults builds `xfwc defaults`.
func newDefaults(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaults [SOFTWARE [VERSION]]",
		Short: "Show what a server does that nobody configured: its ports and its options",
		Long: `defaults prints the ports that the version of a server opens, and what the
options are that checks ask about: in the program's code, in the project's own
example configuration, and in the file that Debian installs. A "-" means that
the place does not state the option, so that the code decides; "unknown" means
that no source was read for it.

Without VERSION it is the last version that is known, and without SOFTWARE it
lists what is known.`,
		Example: "  xfwc defaults ejabberd 24.12",
		Args:    cobra.MaximumNArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return compiler.Software(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	format := formatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return listSoftware(s.out, format.value)
		}
		d, err := defaultsOf(args[0], args[1:]...)
		if err != nil {
			return err
		}
		if format.value == "json" {
			return writeJSON(s.out, d)
		}
		return d.print(s.out)
	}
	return cmd
}

// knownSoftware is a product and the versions whose defaults are known.
type knownSoftware struct {
	Software string `json:"software"`
	First    string `json:"first"`
	Last     string `json:"last"`
}

func listSoftware(w io.Writer, format string) error {
	var all []knownSoftware
	for _, name := range compiler.Software() {
		first, last, _ := compiler.KnownVersions(name)
		all = append(all, knownSoftware{name, first, last})
	}
	if format == "json" {
		return writeJSON(w, all)
	}
	for _, k := range all {
		if _, err := fmt.Fprintf(w, "%-10s  %s to %s\n", k.Software, k.First, k.Last); err != nil {
			return err
		}
	}
	return nil
}

// serverDefaults is what is known of one version.
type serverDefaults struct {
	Software  string            `json:"software"`
	Version   string            `json:"version"`
	Package   string            `json:"package,omitempty"` // the Debian package that was read
	Listeners []defaultListener `json:"listeners"`
	Settings  []defaultSetting  `json:"settings"`
}

type defaultListener struct {
	Service   string `json:"service"`
	Port      string `json:"port"`
	Bind      string `json:"bind"`
	Off       bool   `json:"off,omitempty"` // nothing listens before it is configured
	Transport string `json:"transport"`
	Debian    string `json:"debian"` // the transport in Debian's package, or "off"
	Source    string `json:"source"`
}

type defaultSetting struct {
	Key     string `json:"key"`
	Meaning string `json:"meaning"`
	Option  string `json:"option"`
	Code    string `json:"code"`
	Example string `json:"example,omitempty"`
	Debian  string `json:"debian,omitempty"`
	Source  string `json:"source"`
}

func defaultsOf(software string, version ...string) (*serverDefaults, error) {
	software = strings.ToLower(software)
	first, last, ok := compiler.KnownVersions(software)
	if !ok {
		return nil, fmt.Errorf("the defaults of %q are not known; known are %s", software, strings.Join(compiler.Software(), ", "))
	}
	d := &serverDefaults{Software: software, Version: last, Listeners: []defaultListener{}, Settings: []defaultSetting{}}
	if len(version) > 0 {
		d.Version = version[0]
	}
	listeners, ok := compiler.Defaults(software, d.Version)
	if !ok {
		return nil, fmt.Errorf("the defaults of %s %q are not known; known are %s to %s", software, d.Version, first, last)
	}
	for _, l := range listeners {
		debian, ok := compiler.DebianListener(software, d.Version, l)
		if !ok {
			debian = compiler.Unknown
		}
		d.Listeners = append(d.Listeners, defaultListener{l.Service, ir.Ports([]ir.PortSpan{l.Port}), l.Bind, l.Off, l.Transport, debian, l.Source})
	}
	meanings := map[string]string{}
	for _, k := range compiler.SettingKeys() {
		meanings[k.Key] = k.Meaning
	}
	settings, _ := compiler.Settings(software, d.Version)
	for _, o := range settings {
		d.Package = o.Package
		d.Settings = append(d.Settings, defaultSetting{o.Key, meanings[o.Key], o.Option, o.Code, o.Example, o.Debian, o.Source})
	}
	return d, nil
}

func (d *serverDefaults) print(w io.Writer) error {
	debian := "DEBIAN"
	if d.Package != "" {
		debian += " " + d.Package
	}
	rows := [][]string{{"SERVICE", "PORT", "BOUND TO", "TRANSPORT", debian, "SOURCE"}}
	for _, l := range d.Listeners {
		bind := l.Bind
		if l.Off {
			bind += ", when configured"
		}
		rows = append(rows, []string{l.Service, l.Port, bind, l.Transport, l.Debian, l.Source})
	}
	if err := printColumns(w, fmt.Sprintf("%s %s\n\n", d.Software, d.Version), rows); err != nil {
		return err
	}
	rows = [][]string{{"SETTING", "CODE", "EXAMPLE", debian, "OPTION", "SOURCE"}}
	for _, o := range d.Settings {
		rows = append(rows, []string{o.Key, o.Code, cmp.Or(o.Example, "-"), cmp.Or(o.Debian, "-"), o.Option, o.Source})
	}
	return printColumns(w, "\n", rows)
}

// printColumns writes rows as a table, after a head.
func printColumns(w io.Writer, head string, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	b.WriteString(head)
	for _, r := range rows {
		for i, cell := range r[:len(r)-1] {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		b.WriteString(r[len(r)-1] + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
