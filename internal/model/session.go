package model

// Session is one signed-in browser. Its cookie is stored as a hash.
type Session struct {
	ID         SessionID
	CookieHash string
	UserID     UserID
	AuthTime   int64 // when the person last proved who they are
	ACR        string
	AMR        []string // RFC 8176
	Remember   bool
	CreatedAt  int64
	SeenAt     int64 // last use; written at most once a minute
	IdleAt     int64 // ends by itself then, unless used before
	ExpiresAt  int64 // ends by itself then, whatever happens
	EndedAt    int64 // ended by somebody
	UserAgent  string
	Address    string
}

// Live reports whether the session can still be used at the time now.
func (s Session) Live(now int64) bool {
	return s.EndedAt == 0 && now < s.IdleAt && now < s.ExpiresAt
}
