package webhook_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/notifiertest"
	"github.com/laneswap/laneswap/adapters/webhook"
)

func TestGuard_knowsWhichAddressesArePublic(t *testing.T) {
	t.Parallel()
	for why, addrs := range map[string]string{
		"": "1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.1.1 169.253.1.1 11.0.0.1 223.255.255.255 168.63.129.15 " +
			"2606:4700:4700::1111 2a00:1450:4001::200e 2400:cb00::1 2001:4860:4860::8888 64:ff9b::8.8.8.8 2002:808:808::1 ::ffff:8.8.8.8",
		"unspecified":                "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b::0.0.0.0",
		"loopback":                   "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::1 ::1%lo",
		"private":                    "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 fc00::1 fd00:ec2::254 fec0::1 ::ffff:10.1.2.3 64:ff9b::192.168.1.1 2002:ac10:1::1",
		"shared by a carrier":        "100.64.0.1 100.127.255.255 100.100.100.200 ::ffff:100.64.0.1",
		"link-local":                 "169.254.169.254 169.254.0.1 fe80::1 fe80::1%eth0 febf::1 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1",
		"multicast":                  "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
		"a cloud's metadata service": "168.63.129.16 ::ffff:168.63.129.16",
		"reserved": "192.0.0.192 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 192.88.99.1 " +
			"2001::1 2001:db8::1 3fff::1 100::1 5f00::1 ::7f00:1 ::8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b:1::1 4000::1 e000::1",
	} {
		for addr := range strings.FieldsSeq(addrs) {
			require.Equal(t, why, webhook.Private(netip.MustParseAddr(addr)), addr)
		}
	}
	require.NotEmpty(t, webhook.Private(netip.Addr{}), "no address at all")
}

func FuzzGuard_judgesAnAddressTheSameHoweverItIsWritten(f *testing.F) {
	for _, addr := range []string{"127.0.0.1", "8.8.8.8", "169.254.169.254", "64:ff9b::10.0.0.1", "fe80::1", "2606:4700::1"} {
		f.Add(netip.MustParseAddr(addr).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		why := webhook.Private(addr)
		if addr.Is4() {
			require.Equal(t, why, webhook.Private(netip.AddrFrom16(addr.As16())), "mapped")
			nat := netip.MustParseAddr("64:ff9b::").As16()
			copy(nat[12:], b)
			require.Equal(t, why, webhook.Private(netip.AddrFrom16(nat)), "behind NAT64")
		} else {
			require.Equal(t, why, webhook.Private(addr.WithZone("eth0")))
		}
		bare := addr.Unmap()
		if bare.IsLoopback() || bare.IsPrivate() || bare.IsLinkLocalUnicast() || bare.IsMulticast() || bare.IsUnspecified() {
			require.NotEmpty(t, why, addr)
		}
	})
}

// names is a name service on loopback that gives every name the same address.
func names(t *testing.T, addr netip.Addr) (r *net.Resolver, asked *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	asked = new(atomic.Int64)
	go func() { // ends when conn is closed
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			_, _ = conn.WriteTo(answerOf(buf[:n], addr), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}, asked
}

// answerOf is the answer to a question for a name: addr, if it is of the kind that
// was asked for.
func answerOf(query []byte, addr netip.Addr) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	answer := append([]byte(nil), query[:end+5]...)
	binary.BigEndian.PutUint16(answer[2:], 0x8180) // an answer, and no error
	binary.BigEndian.PutUint16(answer[6:], 0)
	binary.BigEndian.PutUint16(answer[8:], 0)
	binary.BigEndian.PutUint16(answer[10:], 0)
	if kind == 1 && addr.Is4() || kind == 28 && addr.Is6() {
		binary.BigEndian.PutUint16(answer[6:], 1)
		answer = append(answer, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(addr.AsSlice())))
		answer = append(answer, addr.AsSlice()...)
	}
	return answer
}

func TestGuard_checksTheResolvedAddress(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for addr, why := range map[string]string{
		"127.0.0.1": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback", "64:ff9b::7f00:1": "loopback", "169.254.169.254": "link-local", "0.0.0.0": "unspecified",
	} {
		resolver, asked := names(t, netip.MustParseAddr(addr))
		n := newNotifier(t, "http://canary.example.org:"+port+"/canary", webhook.WithHTTPClient(webhook.GuardedClient(resolver)))
		err = n.Notify(t.Context(), notifiertest.Notifications(now)[0])
		require.ErrorIs(t, err, webhook.ErrPrivateNetwork, addr)
		require.ErrorContains(t, err, "an address that is "+why+": webhook.WithPrivateNetworks allows it")
		require.NotContains(t, err.Error(), "canary")
		require.Positive(t, asked.Load(), "the name was looked up")
	}
	require.Zero(t, reached.Load())
}

// A host that looks like no address to us may be one to the system.
func TestGuard_looksAtAddressesInDisguise(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"} {
		n, err := webhook.New("http://" + host + ":" + port)
		if err != nil {
			continue
		}
		require.Error(t, n.Notify(t.Context(), notifiertest.Notifications(now)[0]), host)
	}
	require.Zero(t, reached.Load())
}

// proxyOfChild says that this test binary is the child whose environment has a
// proxy: net/http reads the environment once in a process.
const proxyOfChild = "WEBHOOK_TEST_PROXY"

func TestNotify_usesNoProxyOfTheEnvironmentUnlessOpen(t *testing.T) {
	t.Parallel()
	// A proxy on this machine would be refused as an address; others must not be asked.
	require.Nil(t, webhook.GuardedClient(nil).Transport.(*http.Transport).Proxy)
	if os.Getenv(proxyOfChild) != "" {
		resolver, _ := names(t, netip.MustParseAddr("127.0.0.1"))
		n := newNotifier(t, "http://hooks.example.org/closed", webhook.WithHTTPClient(webhook.GuardedClient(resolver)))
		require.ErrorIs(t, n.Notify(t.Context(), notifiertest.Notifications(now)[0]), webhook.ErrPrivateNetwork)
		n = newNotifier(t, "http://hooks.example.org/open", webhook.WithPrivateNetworks())
		require.NoError(t, n.Notify(t.Context(), notifiertest.Notifications(now)[0]))
		return
	}
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.WriteHeader(204)
	}))
	t.Cleanup(proxy.Close)
	binary, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), proxyOfChild+"=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	proxy.Close() // no request is under way any more
	require.Equal(t, []string{"/open"}, asked)
}

func TestNotify_saysThatANameIsNotKnownWithoutTheName(t *testing.T) {
	t.Parallel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no canary here")
	}}
	n := newNotifier(t, "http://canary.example.org/", webhook.WithHTTPClient(webhook.GuardedClient(resolver)))
	err := n.Notify(t.Context(), notifiertest.Notifications(now)[0])
	require.EqualError(t, err, "the name of the server could not be looked up")
}
