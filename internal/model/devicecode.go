package model

// DeviceCode is a device without a browser that waits for its person to agree at
// another one, RFC 8628 §3.2.
type DeviceCode struct {
	Hash      string // Secret.Hash of what the device holds
	UserHash  string // of what it shows, under a key of the server
	ClientID  ClientID
	Asked     Asked
	GrantID   GrantID // what the person agreed to; empty: they have not yet
	Denied    bool    // they have refused
	Pause     int64   // seconds that the device must wait before it asks again
	AskedAt   int64   // when it asked last, in milliseconds
	UsedAt    int64   // when it got its tokens
	CreatedAt int64
	ExpiresAt int64
}

// Open reports whether somebody can still say yes or no at the time now.
func (d DeviceCode) Open(now int64) bool {
	return d.GrantID == "" && !d.Denied && now < d.ExpiresAt
}
