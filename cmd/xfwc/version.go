package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// newVersion builds `xfwc version`.
func newVersion(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of xfwc",
		Args:  cobra.NoArgs,
	}
	format := formatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := versionOf(debug.ReadBuildInfo())
		if format.value == "json" {
			return writeJSON(s.out, v)
		}
		text := "xfwc " + v.Version
		if v.Revision != "" {
			text += " (" + v.Revision + ")"
		}
		_, err := fmt.Fprintf(s.out, "%s, %s %s\n", text, v.Go, v.Platform)
		return err
	}
	return cmd
}

// version says which xfwc this is.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // "+dirty" follows when the tree was changed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// versionOf reads what the Go linker recorded.
func versionOf(info *debug.BuildInfo, ok bool) version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value[:min(12, len(s.Value))] + v.Revision
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Revision += "+dirty"
		}
	}
	return v
}
