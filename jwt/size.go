package jwt

const (
	// MaxInHeader is how many bytes a token may have to arrive everywhere as
	// "Authorization: Bearer …": nginx takes 8192 bytes of a header line with its
	// end, Apache 8190 without, unless somebody has told them otherwise. Nothing in
	// this package refuses a longer one: whoever makes tokens out of what they do
	// not rule over, such as groups, compares len(token) with it and says so, there
	// and then. Some servers take 8 KiB of all headers together: stay well below.
	MaxInHeader = 8190 - len("Authorization: Bearer ")

	// MaxInCookie is how many bytes a browser keeps of a cookie, RFC 6265 §6.1: the
	// token, the cookie's name and its attributes together.
	MaxInCookie = 4096
)
