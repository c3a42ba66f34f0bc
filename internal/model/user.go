package model

// UserStatus says whether a person may sign in and hold tokens.
type UserStatus string

const (
	UserActive UserStatus = "active"
	UserLocked UserStatus = "locked"
)

// User is a person with an account of ours; in JSON, as an administrator sees them.
type User struct {
	ID           UserID     `json:"id"`
	Login        string     `json:"login"` // as typed at sign-in, normalised by account; unique
	PasswordHash string     `json:"-"`     // PHC string; empty: the person has no password
	Status       UserStatus `json:"status"`
	Admin        bool       `json:"admin"`
	Profile      Profile    `json:"profile"`
	CreatedAt    int64      `json:"created_at"`
	UpdatedAt    int64      `json:"updated_at"`            // the "updated_at" claim
	PasswordAt   int64      `json:"password_at,omitempty"` // when the password was last set

	SignIn SignInPolicy `json:"sign_in,omitzero"` // what an administrator asks of them beside what everybody is asked
}

// Profile holds the standard claims about a person, named and typed as in
// OpenID Connect Core §5.1. What is empty is not told.
type Profile struct {
	Name                string   `json:"name,omitempty"`
	GivenName           string   `json:"given_name,omitempty"`
	FamilyName          string   `json:"family_name,omitempty"`
	MiddleName          string   `json:"middle_name,omitempty"`
	Nickname            string   `json:"nickname,omitempty"`
	PreferredUsername   string   `json:"preferred_username,omitempty"`
	Page                string   `json:"profile,omitempty"` // URL of the profile page
	Picture             string   `json:"picture,omitempty"`
	Website             string   `json:"website,omitempty"`
	Gender              string   `json:"gender,omitempty"`
	Birthdate           string   `json:"birthdate,omitempty"` // YYYY-MM-DD or YYYY
	Zoneinfo            string   `json:"zoneinfo,omitempty"`
	Locale              string   `json:"locale,omitempty"` // BCP 47
	Email               string   `json:"email,omitempty"`
	EmailVerified       bool     `json:"email_verified,omitempty"`
	PhoneNumber         string   `json:"phone_number,omitempty"` // E.164
	PhoneNumberVerified bool     `json:"phone_number_verified,omitempty"`
	Address             *Address `json:"address,omitempty"`
	Groups              []string `json:"groups,omitempty"`
}

// Address is the "address" claim, OpenID Connect Core §5.1.1.
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}
