package model

// What a confirmation is for.
const (
	ConfirmSignUp  = "sign-up" // an account for somebody who has proven their address
	ConfirmMail    = "mail"    // an address, of somebody who has an account
	ConfirmRecover = "recover" // a new password for somebody who has lost theirs
	ConfirmSignIn  = "sign-in" // a factor of a sign-in
	ConfirmUndo    = "undo"    // the address that was replaced
	ConfirmInvite  = "invite"  // the first password of an account that was made for somebody
	ConfirmReset   = "reset"   // a new password, by the favour of an administrator
)

// Confirmation waits until somebody answers a letter.
type Confirmation struct {
	ID          string
	Purpose     string
	UserID      UserID // empty: nobody, or nobody yet
	Address     string // that the letter went to
	Holder      string // ID of the request of a sign-in that it belongs to; empty: none
	BrowserHash string // Secret.Hash of what the browser that asked holds; empty: any browser will do
	CodeHash    string // empty: there is no code, or it was used
	LinkHash    string
	Data        Pending
	Tries       int64
	ProvenAt    int64 // when the letter was answered; 0: not yet
	CreatedAt   int64
	ExpiresAt   int64
}

// Pending is what becomes true when a letter is answered.
type Pending struct {
	Login        string `json:"login,omitempty"`
	Name         string `json:"name,omitempty"`
	PasswordHash string `json:"password_hash,omitempty"`
	Address      string `json:"address,omitempty"`
}
