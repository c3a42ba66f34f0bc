package model

// Session is one signed-in browser. Its cookie is stored as a hash. In
// JSON it is what an administrator sees.
type Session struct {
	ID         SessionID `json:"id"`
	CookieHash string    `json:"-"`
	UserID     UserID    `json:"user_id"`
	AuthTime   int64     `json:"auth_time"` // when the person proved who they are: the oldest of the Factors
	ACR        string    `json:"acr"`
	AMR        []string  `json:"amr"` // RFC 8176
	Factors    []Factor  `json:"-"`   // what it stands on
	Remember   bool      `json:"remember"`
	CreatedAt  int64     `json:"created_at"`
	SeenAt     int64     `json:"seen_at"`            // last use; written at most once a minute
	IdleAt     int64     `json:"idle_at"`            // ends by itself then, unless used before
	ExpiresAt  int64     `json:"expires_at"`         // ends by itself then, whatever happens
	EndedAt    int64     `json:"ended_at,omitempty"` // ended by somebody
	UserAgent  string    `json:"user_agent,omitempty"`
	Address    string    `json:"address,omitempty"`
}

// Live reports whether the session can still be used at the time now.
func (s Session) Live(now int64) bool {
	return s.EndedAt == 0 && now < s.IdleAt && now < s.ExpiresAt
}
