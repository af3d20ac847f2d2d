package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"xfwc/compiler/ir"
)

// measure is how large a picture is drawn, in pixels. Names are in a font of one
// width, so that it is known what fits.
type measure struct {
	id           string // begins the identifiers of this picture
	width        float64
	left, right  float64 // columns of sources and of homes
	wall         float64 // width of a gateway
	name, small  float64 // sizes of letters
	pad, gap     float64 // within a box, and between boxes
	notes        int     // lines that a source has besides its name
	upright      bool    // gateways show their name upright, and no more
	captionSpace float64
}

var (
	wide   = measure{id: "w", width: 1040, left: 236, right: 262, wall: 136, name: 13, small: 11, pad: 10, gap: 10, notes: 2, captionSpace: 30}
	narrow = measure{id: "n", width: 348, left: 124, right: 126, wall: 18, name: 10.5, small: 9.5, pad: 6, gap: 7, notes: 0, upright: true, captionSpace: 24}
)

// A picture is what the template draws.
type picture struct {
	ID            string
	Width, Height float64
	Captions      []label
	Under, Over   []path // lines behind and before the gateways
	Walls, Boxes  []box
	Gates         []dot // where lines are judged
	Outlets       []dot // where a gateway opens lines itself
	Empty         bool
}

// Sights are the visibilities that lines have.
func (*picture) Sights() []ir.Visibility { return []ir.Visibility{ir.Clear, ir.StartTLS, ir.TLS} }

type label struct {
	X, Y  float64
	Class string
	Text  string
	Full  string // where Text is cut
}

type path struct {
	D          string
	Sees       string
	Start, End bool // arrowheads
	Title      string
	Picture    string
}

type box struct {
	X, Y, W, H float64
	Class      string
	Labels     []label
	Sockets    []dot
	Rules      []label // at X, Y: thin lines across the box
}

type dot struct {
	X, Y float64
	Sees string
}

// draw lays a site out.
func draw(s *site, m measure) *picture {
	pic := &picture{ID: m.id, Width: m.width, Empty: len(s.lines) == 0 && len(s.homes) == 0 && len(s.gates) == 0}
	top := m.captionSpace
	if len(s.gates) > 0 && !m.upright {
		top = max(top, 40+m.line()*float64(m.headLines(s.gates)))
	}
	bottom := m.homes(s, pic, top)
	sources := m.sources(s, pic, top)
	if low := (sources - bottom) / 2; low > 0 {
		// The shorter column stands in the middle of the longer one.
		pic.Boxes, pic.Captions = nil, nil
		m.homes(s, pic, top+low)
		m.sources(s, pic, top)
	} else {
		pic.Boxes, pic.Captions = nil, nil
		m.homes(s, pic, top)
		m.sources(s, pic, top-low)
	}
	bottom = max(bottom, sources)
	bottom = m.walls(s, pic, top, bottom)
	m.lines(s, pic)
	pic.Height = math.Ceil(bottom + 8)
	return pic
}

// headLines is how many lines of text the heads of gateways have at most.
func (m measure) headLines(gates []*place) int {
	n := 0
	for _, g := range gates {
		n = max(n, len(m.head(g)))
	}
	return n
}

// head is what stands below the name of a gateway, in lines that fit it.
func (m measure) head(pl *place) []string {
	var out []string
	for _, note := range pl.notes {
		line := ""
		for _, word := range strings.Fields(note) {
			longer := strings.TrimSpace(line + " " + word)
			if _, cut := fit(longer, m.wall-2*m.pad, m.small); cut != "" && line != "" {
				out = append(out, strings.TrimSuffix(line, ","))
				longer = word
			}
			line = longer
		}
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

// line is the height of a line of small text.
func (m measure) line() float64 { return m.small + 5 }

// fit cuts a text to a width.
func fit(text string, width, size float64) (shown, full string) {
	most := int(width / (size * 0.605))
	if utf8.RuneCountInString(text) <= most {
		return text, ""
	}
	return string([]rune(text)[:max(1, most-1)]) + "…", text
}

func (m measure) label(x, y, width, size float64, class, text string) label {
	shown, full := fit(text, width, size)
	return label{x, y, class, shown, full}
}

// homes draws the right column from the top on, and gives where it ends.
func (m measure) homes(s *site, pic *picture, top float64) float64 {
	y := top
	x := m.width - m.right
	for _, pl := range s.homes {
		b := box{X: x, Y: y, W: m.right, Class: "home"}
		if pl.kind == machine {
			b.Class = "home plain"
		}
		inner := m.right - 2*m.pad
		at := y + m.pad + m.name
		b.Labels = append(b.Labels, m.label(x+m.pad, at, inner, m.name, "name", pl.name))
		at += 4
		for _, note := range pl.notes {
			if note == "" {
				continue
			}
			at += m.line()
			b.Labels = append(b.Labels, m.label(x+m.pad, at-3, inner, m.small, "note", note))
		}
		at += m.pad * 0.8
		if len(pl.rows) > 0 {
			b.Rules = append(b.Rules, label{X: x, Y: at})
		}
		for _, r := range pl.rows {
			at += m.line() + 7
			r.y = at - 8
			b.Labels = append(b.Labels, m.label(x+m.pad+4, r.y+m.small*0.35, inner-4, m.small, "row", r.label))
			b.Sockets = append(b.Sockets, dot{X: x, Y: r.y})
		}
		b.H = at + m.pad*0.9 - y
		pl.x, pl.y, pl.w, pl.h = x, y, b.W, b.H
		pic.Boxes = append(pic.Boxes, b)
		y += b.H + 2.2*m.gap
	}
	return y - 2.2*m.gap
}

// pull is where the other ends of a source's lines are on average, so that lines
// cross as little as may be.
func (s *site) pull(pl *place) float64 {
	sum, n := 0.0, 0.0
	for _, l := range s.lines {
		for _, e := range [][2]end{{l.from, l.to}, {l.to, l.from}} {
			if e[0].place != pl {
				continue
			}
			switch {
			case e[1].row != nil && e[1].row.y > 0: // that of a gateway is laid out later
				sum, n = sum+e[1].row.y, n+1
			}
		}
	}
	if n == 0 {
		return math.Inf(1)
	}
	return sum / n
}

// sources draws the left column, by the side of the site that they are on.
func (m measure) sources(s *site, pic *picture, top float64) float64 {
	pulls := map[*place]float64{}
	side := map[string]float64{}
	for _, pl := range s.sources {
		pulls[pl] = s.pull(pl)
		if pl.kind == internet {
			pulls[pl] = -1
		}
		if old, ok := side[pl.behind]; !ok || pulls[pl] < old {
			side[pl.behind] = pulls[pl]
		}
	}
	side["Internet"] = -1
	slices.SortStableFunc(s.sources, func(a, b *place) int {
		return cmp.Or(cmp.Compare(side[a.behind], side[b.behind]), cmp.Compare(a.behind, b.behind),
			compareBool(a.denied, b.denied), cmp.Compare(pulls[a], pulls[b]))
	})
	y := top
	for i, pl := range s.sources {
		if i == 0 || s.sources[i-1].behind != pl.behind {
			if i > 0 {
				y += m.captionSpace
			}
			pic.Captions = append(pic.Captions, m.label(0, y-8, m.left, m.small, "caption", pl.behind))
		}
		b := box{X: 0, Y: y, W: m.left, Class: "source " + pl.kind}
		at := y + m.pad*0.7 + m.name
		inner := m.left - 2*m.pad
		b.Labels = append(b.Labels, m.label(m.pad, at, inner, m.name, "name", pl.name))
		at += 3
		notes := pl.notes
		if pl.denied {
			b.Class += " denied"
			notes = append([]string{"denied everywhere"}, notes...)
			notes = notes[:min(len(notes), max(1, m.notes))]
		} else {
			notes = notes[:min(len(notes), m.notes)]
		}
		for k, note := range notes {
			at += m.line()
			class := "note"
			if pl.denied && k == 0 {
				class = "note bar"
			}
			b.Labels = append(b.Labels, m.label(m.pad, at-3, inner, m.small, class, note))
		}
		b.H = at + m.pad*0.7 - y
		pl.x, pl.y, pl.w, pl.h = 0, y, b.W, b.H
		pic.Boxes = append(pic.Boxes, b)
		y += b.H + m.gap
	}
	return y - m.gap
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// walls draws the gateways from the top to the bottom of the picture, with the
// services that they offer themselves.
func (m measure) walls(s *site, pic *picture, top, bottom float64) float64 {
	footer := 0.0
	between := m.width - m.left - m.right - m.wall*float64(len(s.gates))
	for i, pl := range s.gates {
		pl.x = m.left + between/float64(len(s.gates)+1)*float64(i+1) + m.wall*float64(i)
		pl.w = m.wall
		y := top
		slices.SortStableFunc(pl.rows, func(a, b *row) int { return cmp.Compare(s.level(pl, a), s.level(pl, b)) })
		for _, r := range pl.rows {
			r.y = max(y+m.line(), s.level(pl, r))
			y = r.y + 4
		}
		bottom = max(bottom, y+m.line())
		if m.upright {
			footer = max(footer, min(110, 20+m.name*0.62*float64(utf8.RuneCountInString(pl.name))))
		}
	}
	bottom += footer
	for _, pl := range s.gates {
		pl.y, pl.h = 0, bottom
		b := box{X: pl.x, Y: 0, W: pl.w, H: bottom, Class: "wall"}
		if m.upright { // the name stands below all lines
			b.Class += " upright"
			shown, full := fit(pl.name, footer-14, m.name)
			b.Labels = append(b.Labels, label{pl.x + pl.w/2, bottom - footer/2, "name upright", shown, full})
		} else {
			at := m.pad + m.name
			inner := pl.w - 2*m.pad
			b.Labels = append(b.Labels, m.label(pl.x+m.pad, at, inner, m.name, "name", pl.name))
			for _, note := range m.head(pl) {
				at += m.line()
				b.Labels = append(b.Labels, m.label(pl.x+m.pad, at+2, inner, m.small, "note", note))
			}
		}
		for _, r := range pl.rows {
			if strings.HasPrefix(r.label, "calls ") {
				continue // a line starts here that another one brought
			}
			b.Sockets = append(b.Sockets, dot{X: pl.x, Y: r.y})
			if !m.upright {
				b.Labels = append(b.Labels, m.label(pl.x+m.pad, r.y+m.small*0.35, pl.w-2*m.pad, m.small, "row", r.label))
			}
		}
		pic.Walls = append(pic.Walls, b)
	}
	return bottom
}

// level is where a service of a gateway is best put: level with who uses it.
func (s *site) level(gate *place, r *row) float64 {
	sum, n := 0.0, 0.0
	for _, l := range s.lines {
		for _, e := range [][2]end{{l.from, l.to}, {l.to, l.from}} {
			if e[0].place == gate && e[0].row == r && e[1].place.kind != gateway {
				sum, n = sum+e[1].middle(), n+1
			}
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// middle is the height of an end before lines are spread.
func (e end) middle() float64 {
	if e.row != nil {
		return e.row.y
	}
	return e.place.y + e.place.h/2
}

// lines draws the ways between the boxes.
func (m measure) lines(s *site, pic *picture) {
	// Lines at one end are spread over it, in the order of where they go.
	ends := map[end][]*line{}
	for _, l := range s.lines {
		ends[l.from] = append(ends[l.from], l)
		ends[l.to] = append(ends[l.to], l)
	}
	height := func(e end, l *line) float64 {
		ls := slices.Clone(ends[e])
		other := func(l *line) float64 {
			if l.from == e {
				return l.to.middle()
			}
			return l.from.middle()
		}
		slices.SortStableFunc(ls, func(a, b *line) int { return cmp.Compare(other(a), other(b)) })
		room := 4.0 // at a row
		if e.row == nil {
			room = e.place.h - 10
		}
		step := min(6, room/float64(max(1, len(ls)-1)))
		return e.middle() + step*(float64(slices.Index(ls, l))-float64(len(ls)-1)/2)
	}
	for _, l := range s.lines {
		a, z := l.from, l.to
		start, stop := l.back, l.there
		if a.place.x > z.place.x {
			a, z, start, stop = z, a, stop, start
		}
		x1, y1 := a.place.x+a.place.w, height(a, l)
		x2, y2 := z.place.x, height(z, l)
		reach := (x2 - x1) * 0.45
		d := fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, x1+reach, y1, x2-reach, y2, x2, y2)
		if a.place.x == z.place.x { // both are in one column: the line bows out of it
			bow := 46.0
			if a.place.kind == server || a.place.kind == machine {
				x1, bow = a.place.x, -bow
			}
			x2 = x1
			d = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, x1+bow, y1, x2+bow, y2, x2, y2)
		}
		p := path{D: d, Sees: string(l.sees), Start: start, End: stop, Title: strings.Join(l.says, "\n"), Picture: m.id}
		var passed []dot
		for _, g := range s.gates {
			if slices.Contains(l.gates, g) && g.x >= x1 && g.x+g.w <= x2 {
				x := g.x + g.w/2
				passed = append(passed, dot{X: x, Y: bezier(x, x1, y1, x2, y2), Sees: string(l.sees)})
			}
		}
		if a.place.kind == gateway && a.place.x != z.place.x {
			pic.Outlets = append(pic.Outlets, dot{X: x1, Y: y1})
		}
		if len(passed) > 0 {
			pic.Over = append(pic.Over, p)
			pic.Gates = append(pic.Gates, passed...)
		} else {
			pic.Under = append(pic.Under, p)
		}
	}
}

// bezier is the height of a line at x.
func bezier(x, x1, y1, x2, y2 float64) float64 {
	reach := (x2 - x1) * 0.45
	at := func(t, a, b, c, d float64) float64 {
		u := 1 - t
		return u*u*u*a + 3*u*u*t*b + 3*u*t*t*c + t*t*t*d
	}
	lo, hi := 0.0, 1.0
	for range 40 {
		t := (lo + hi) / 2
		if at(t, x1, x1+reach, x2-reach, x2) < x {
			lo = t
		} else {
			hi = t
		}
	}
	return at(lo, y1, y1, y2, y2)
}
