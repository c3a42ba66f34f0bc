package oauth

import (
	"testing"

	"github.com/ostiary/ostiary/jwa"
)

// TestHalfHash: OpenID Connect Core §3.1.3.6, with values that another
// implementation publishes.
func TestHalfHash(t *testing.T) {
	const token = "YmJiZTAwYmYtMzgyOC00NzhkLTkyOTItNjJjNDM3MGYzOWIy9sFhvH8K_x8UIHj1osisS57f5DduL-ar_qw5jl3lthwpMjm283aVMQXDmoqqqydDSqJfbhptzw8rUVwkuQbolw"
	const short, long = "x7vk7f6BvQj0jQHYFIk4ag", "EGEAhGYyfuwDaVTifvrWSoD5MSy_5hZPy6I7Vm-7pTQ"
	for alg, want := range map[jwa.Algorithm]string{jwa.RS256: short, jwa.PS256: short, jwa.ES256: short, jwa.EdDSA: long} {
		if got := halfHash(alg, token); got != want {
			t.Errorf("%s: %s, want %s", alg, got, want)
		}
	}
	if got := halfHash(jwa.RS256, ""); got != "" {
		t.Errorf("of nothing: %s", got)
	}
}
