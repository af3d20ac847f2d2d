package suricata

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"
)

// conversation writes a capture file of one TCP connection, packet by packet,
// with correct checksums. The format is that of pcap-savefile(5).
type conversation struct {
	client, server netip.AddrPort
	at             time.Time
	seq            [2]uint32 // next sequence number of client, server
	file           bytes.Buffer
	packets        int
}

const (
	fromClient = 0
	fromServer = 1

	flagSYN, flagPSH, flagACK = 0x02, 0x08, 0x10
)

// converse opens a connection with the three-way handshake.
func converse(client, server string) *conversation {
	c := &conversation{
		client: netip.MustParseAddrPort(client), server: netip.MustParseAddrPort(server),
		at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), seq: [2]uint32{1000, 9000},
	}
	const ethernet = 1
	for _, v := range []any{uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(ethernet)} {
		binary.Write(&c.file, binary.LittleEndian, v)
	}
	c.packet(fromClient, flagSYN, nil)
	c.seq[fromClient]++
	c.packet(fromServer, flagSYN|flagACK, nil)
	c.seq[fromServer]++
	c.packet(fromClient, flagACK, nil)
	return c
}

// say sends text in segments of at most size bytes, each acknowledged, and
// returns the number of the packet that carries its last byte.
func (c *conversation) say(who int, text string, size int) int {
	last := 0
	for len(text) > 0 {
		n := min(size, len(text))
		c.packet(who, flagPSH|flagACK, []byte(text[:n]))
		last = c.packets
		c.seq[who] += uint32(n)
		c.packet(1-who, flagACK, nil)
		text = text[n:]
	}
	return last
}

func (c *conversation) packet(who int, flags byte, payload []byte) {
	src, dst := c.client, c.server
	if who == fromServer {
		src, dst = dst, src
	}
	ack := c.seq[1-who]
	if flags&flagACK == 0 {
		ack = 0
	}
	tcp := binary.BigEndian.AppendUint16(nil, src.Port())
	tcp = binary.BigEndian.AppendUint16(tcp, dst.Port())
	tcp = binary.BigEndian.AppendUint32(tcp, c.seq[who])
	tcp = binary.BigEndian.AppendUint32(tcp, ack)
	tcp = append(tcp, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	tcp = append(tcp, payload...)
	pseudo := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(tcp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, 6)
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))

	frame := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	if src.Addr().Is4() {
		ip := []byte{0x45, 0}
		ip = binary.BigEndian.AppendUint16(ip, uint16(20+len(tcp)))
		ip = append(ip, 0, 0, 0x40, 0, 64, 6, 0, 0)
		ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
		frame = append(append(frame, 0x08, 0x00), ip...)
	} else {
		ip := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(tcp)))
		ip = append(ip, 6, 64)
		ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		frame = append(append(frame, 0x86, 0xdd), ip...)
	}
	frame = append(frame, tcp...)

	c.at = c.at.Add(time.Millisecond)
	for _, v := range []uint32{uint32(c.at.Unix()), uint32(c.at.Nanosecond() / 1000), uint32(len(frame)), uint32(len(frame))} {
		binary.Write(&c.file, binary.LittleEndian, v)
	}
	c.file.Write(frame)
	c.packets++
}

// checksum is the internet checksum, RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (c *conversation) save(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, c.file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
